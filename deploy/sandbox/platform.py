"""The operator's system: takes write-backs and escalations, verifies their signatures, says where its people are.

`GET /_writebacks?incident_ref=` and `GET /_escalations?incident_ref=` show what came, once per `webhook-id`.
`POST /_location {"incident_ref": r, "position": p}` sets what `GET /locations/{r}` answers; null: 404, none yet.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook

from deploy.sandbox.config import PlatformConfig, PlatformOptions
from deploy.sandbox.exchange import Answer, RefusedError, Request
from deploy.sandbox.routing import Route
from deploy.sandbox.service import Service


@dataclass
class Mailbox:
    """What one address has received; `rejected` and `duplicates` count requests."""

    secret: str
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: int = 0
    duplicates: int = 0

    def take(self, message_id: str, item: dict[str, Any]) -> None:
        if message_id in self.items:
            self.duplicates += 1
            self.items[message_id]["deliveries"] += 1
        else:
            self.items[message_id] = item

    def as_json(self, incident_ref: str | None) -> dict[str, Any]:
        items = list(self.items.values())
        if incident_ref is not None:
            items = [item for item in items if _mentions(item["body"], incident_ref)]
        return {"items": items, "rejected": self.rejected, "duplicates": self.duplicates}


def _mentions(document: Any, incident_ref: str) -> bool:
    """Whether `incident_ref` has this value anywhere inside; an escalation may bundle several."""
    if isinstance(document, dict):
        return document.get("incident_ref") == incident_ref or any(
            _mentions(part, incident_ref) for part in document.values()
        )
    return isinstance(document, list) and any(_mentions(part, incident_ref) for part in document)


class Platform(Service[PlatformOptions]):
    """Both addresses on one port; each has a secret of its own."""

    def __init__(self, config: PlatformConfig) -> None:
        self.config = config
        super().__init__(config.port, PlatformOptions())
        self.writeback_url = f"{self.url}/writebacks"
        self.escalation_url = f"{self.url}/escalation"
        self.location_source_url = f"{self.url}/locations/{{incident_ref}}"
        self.forget()
        self._control_routes += (
            Route("GET", "/_writebacks", lambda request: self._show(self._writebacks, request)),
            Route("GET", "/_escalations", lambda request: self._show(self._escalations, request)),
            Route("POST", "/_location", self._set_location),
        )

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST", "/writebacks", lambda request: self._receive(self._writebacks, request)),
            Route("POST", "/escalation", lambda request: self._receive(self._escalations, request)),
            Route("GET", "/locations/{}", self._locate),
        )

    def forget(self) -> None:
        self._writebacks = Mailbox(self.config.writeback_secret)
        self._escalations = Mailbox(self.config.escalation_secret)
        self._positions: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        return {"writebacks": self._writebacks.as_json(None), "escalations": self._escalations.as_json(None)}

    def _receive(self, mailbox: Mailbox, request: Request) -> Answer:
        try:
            body = Webhook(mailbox.secret).verify(request.body, request.headers)
        except Exception:  # noqa: BLE001 - the library leaks ValueError and UnicodeDecodeError on junk
            with self.lock:
                mailbox.rejected += 1
            raise RefusedError(self.error(401, "wrong signature")) from None
        message_id = request.headers["webhook-id"]
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        item = {"id": message_id, "at": time.time(), "deliveries": 1, "headers": headers, "body": body}
        with self.lock:
            mailbox.take(message_id, item)
        return Answer(200, {"status": "received"})

    def _set_location(self, request: Request) -> Answer:
        wanted = request.json()
        with self.lock:
            self._positions[wanted["incident_ref"]] = wanted["position"]
        return Answer(200, {"status": "set"})

    def _locate(self, request: Request, incident_ref: str) -> Answer:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.config.location_token}".encode()):
            raise RefusedError(self.error(401, "wrong token"))
        with self.lock:
            position = self._positions.get(incident_ref)
        if position is None:
            raise RefusedError(self.error(404, "no position yet"))
        return Answer(200, position)

    def _show(self, mailbox: Mailbox, request: Request) -> Answer:
        with self.lock:
            return Answer(200, mailbox.as_json(request.query.get("incident_ref")))
