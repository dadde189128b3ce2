"""The rehearsal's hands: Tocsin's own API, the sandbox's control surface, and waiting by conditions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.05


class SceneFailedError(RuntimeError):
    """A scene cannot go on: no answer, another one than expected, or nothing happened in time."""


def until(what: str, holds: Callable[[], bool], within_s: float, *, fail: bool = True) -> bool:
    """Wait until `holds()`, `within_s` at most. Raises SceneFailedError, or answers False where `fail` is off."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            if fail:
                raise SceneFailedError(f"not within {within_s:.0f} s: {what}")
            return False
        time.sleep(LOOK_EVERY_S)
    return True


class Api:
    """Tocsin as a platform or a panel sees it; any answer but the expected one raises."""

    def __init__(self, web: str, key: str) -> None:
        self._web = web
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._session.trust_env = False

    def raise_alarm(self, body: dict[str, Any]) -> str:
        """POST an alarm; its incident's id."""
        taken = self._call("POST", "/v1/alarms", 202, body)
        return str(taken["incident_id"])

    def cancel(self, incident_id: str, body: dict[str, Any]) -> None:
        """Ask to stop the response."""
        self._call("POST", f"/v1/incidents/{incident_id}/cancel", 202, body)

    def incident(self, incident_id: str) -> dict[str, Any]:
        """The incident with legs and timeline."""
        return self._call("GET", f"/v1/incidents/{incident_id}", 200)

    def status(self, incident_id: str) -> str:
        """The incident's status."""
        return str(self.incident(incident_id)["status"])

    def put_site(self, site_ref: str, body: dict[str, Any]) -> None:
        """Save a site."""
        self._call("PUT", f"/v1/sites/{quote(site_ref, safe='')}", 201, body)

    def site_is_synced(self, site_ref: str) -> bool:
        """Whether the provider has it."""
        shown = self._call("GET", f"/v1/sites/{quote(site_ref, safe='')}", 200)
        return bool(shown["sync_state"] == "synced" and shown["provider_site_id"])

    def watchman_acted(self) -> int:
        """How many rows the watchman worked itself, from `/metrics`."""
        text = self._session.get(f"{self._web}/metrics", timeout=TIMEOUT_S).text
        found = re.search(r"^tocsin_watchman_acted (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def _call(self, method: str, path: str, expected: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._session.request(method, f"{self._web}{path}", json=body, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise SceneFailedError(f"{method} {path} got no answer ({type(error).__name__})") from None
        if answer.status_code != expected:
            raise SceneFailedError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        document: dict[str, Any] = answer.json()
        return document


class Control:
    """One sandbox service's control surface."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str, **query: str) -> Any:
        """Read."""
        answer = self._session.get(f"{self._url}{path}", params=query, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Command."""
        self._session.post(f"{self._url}{path}", json=body, timeout=TIMEOUT_S).raise_for_status()
