"""AURA's one active webhook per customer source: a registration replaces the one before."""

from __future__ import annotations

import json
from dataclasses import dataclass

from deploy.sandbox.aura_callouts import Callout
from deploy.sandbox.webhooks import Delivery, Emitter

_ACKNOWLEDGED = "RESPONDER_ACKNOWLEDGED_CALLOUT"


@dataclass(frozen=True)
class Notifier:
    """Where deliveries go, and the headers on each; `events` None means all of them."""

    url: str | None
    headers: dict[str, str]
    events: list[str] | None = None

    def name_for(self, event: str) -> str | None:
        """None when the event was not registered; the deprecated name of an acknowledge still works."""
        if self.events is None or event in self.events:
            return event
        old = f"{event}_WITH_ETA"
        return old if event == _ACKNOWLEDGED and old in self.events else None

    def emit(self, emitter: Emitter, callout: Callout, event: str) -> Delivery | None:
        name = self.name_for(event)
        if name is None:
            return None
        raw = json.dumps(callout.webhook(name), separators=(",", ":"), ensure_ascii=False).encode()
        return emitter.emit(self.url, raw, self.headers, str(callout.id), name)
