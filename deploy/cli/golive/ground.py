"""What the checks stand on: the running Tocsin by HTTP and by its database, its accounts, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from deploy.cli.probing import call_now
from shared.providers import registry
from shared.providers.base import Account, Call, ReadFailed, Reading
from shared.settings import Settings

BY = "tocsin golive"
LOOK_EVERY_S = 0.1
ANSWER_S = 10.0
# The person of every rehearsed alarm: a number of fiction (NANP 555-01xx), so that nobody is called.
PERSON: dict[str, str] = {"name": "Tocsin Golive", "phone": "+12025550142", "pin": "4711"}


class DoorFailedError(Exception):
    """The door did not answer as expected; the words are fit for the list."""


@dataclass
class Ground:
    """One run. `staging` accounts are rehearsed with, at `sites`; those `registered` are taken out at the end."""

    settings: Settings
    sessions: sessionmaker[Session]
    platform_id: str
    accounts: list[Account]
    key: str = field(repr=False)
    data: Path
    run: str
    sample: int
    wait_s: float
    sites: dict[str, list[str]] = field(default_factory=dict)
    registered: dict[str, list[str]] = field(default_factory=dict)
    incidents: dict[str, str] = field(default_factory=dict)

    @property
    def staging(self) -> list[Account]:
        """Whom a rehearsal may call."""
        return [account for account in self.accounts if account.environment == "staging"]

    # -- the door --------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Call the door; with `headers` without the key. Raises DoorFailedError when nobody answers."""
        given = headers if headers is not None else {"Authorization": f"Bearer {self.key}"}
        url = f"{self.settings.public_url.rstrip('/')}{path}"
        session = requests.Session()
        session.trust_env = False
        try:
            return session.request(
                method, url, json=body, data=data, headers=dict(given), timeout=ANSWER_S, allow_redirects=False
            )
        except requests.RequestException as error:
            raise DoorFailedError(f"the door gave no answer to {method} {path} ({type(error).__name__})") from None

    def taken(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer's object. Raises DoorFailedError for any refusal."""
        answer = self.request(method, path, body)
        if not answer.ok:
            raise DoorFailedError(f"{method} {path} answered {answer.status_code}: {answer.text[:200]}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def raise_alarm(self, name: str, site_ref: str) -> str:
        """A test alarm; its incident's id."""
        body = {
            "incident_ref": f"golive-{self.run}-{name}",
            "kind": "burglary",
            "site_ref": site_ref,
            "person": PERSON,
            "test": True,
            "message": "A rehearsal before going live: nobody is in danger",
        }
        return str(self.taken("POST", "/v1/alarms", body)["incident_id"])

    def incident(self, incident_id: str) -> dict[str, Any]:
        """The incident with legs and timeline."""
        return self.taken("GET", f"/v1/incidents/{incident_id}")

    def provider_alarm_id(self, incident_id: str) -> str:
        """The newest leg's id at its provider; empty while it has none."""
        ids = [leg["provider_alarm_id"] for leg in self.incident(incident_id)["legs"]]
        return next((str(found) for found in reversed(ids) if found), "")

    def events(self, incident_id: str) -> list[str]:
        """What stands on the timeline."""
        return [entry["event"] for entry in self.incident(incident_id)["timeline"]]

    # -- behind the door -------------------------------------------------------------------------------------------

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of one short read."""
        with self.sessions() as session:
            return list(session.execute(text(query), values))

    def written_back(self, incident_id: str, event: str) -> bool:
        """Whether the platform has taken a step."""
        query = """
            SELECT 1 FROM outbox WHERE kind = 'writeback' AND incident_id = :i AND state = 'done'
                AND body->>'event' = :e
        """
        return bool(self.rows(query, i=incident_id, e=event))

    def at_rest(self, account_id: str) -> bool:
        """Whether every delivery of the account has been worked."""
        query = "SELECT 1 FROM inbox WHERE account_id = :a AND state = 'pending' LIMIT 1"
        return not self.rows(query, a=account_id)

    # -- the provider ----------------------------------------------------------------------------------------------

    def call(self) -> Call:
        """The frame of one call of this command's own."""
        return call_now(self.settings.call_s)

    def read(self, account: Account, provider_alarm_id: str) -> Reading | None:
        """The alarm as its provider has it; None when that cannot be read."""
        try:
            return registry.get(account.provider).dispatch.read(self.call(), account, provider_alarm_id)
        except ReadFailed:
            return None

    def until(self, holds: Callable[[], bool], within_s: float | None = None) -> bool:
        """Wait for a condition; False when the time is over."""
        end = time.monotonic() + (self.wait_s if within_s is None else within_s)
        while not holds():
            if time.monotonic() > end:
                return False
            time.sleep(LOOK_EVERY_S)
        return True


def site_path(reference: str) -> str:
    """The path of a site."""
    return f"/v1/sites/{quote(reference, safe='')}"
