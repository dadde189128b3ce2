"""What the contract suite needs of a provider: an account at its sandbox, a request that it takes, and the controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import requests

from deploy.sandbox.aura import Aura
from deploy.sandbox.noonlight import Noonlight
from shared.clock import boot_time, utc_now
from shared.domain.alarm import Address, Coordinates, Device, DispatchRequest, Person, Site
from shared.domain.kinds import Kind
from shared.domain.outcome import Accepted, Outcome
from shared.providers.base import Account, Call, Provider, Token

SITE = Site(
    reference="site /%#ü 1",
    name="Warehouse",
    address=Address("123 Some Street", "St. Louis", "MO", "63101-1234"),
    coordinates=Coordinates(-26.1, 28.05),
)
REQUEST = DispatchRequest(
    incident_id="in_1",
    incident_ref="REF-77",
    kind=Kind.BURGLARY,
    services=frozenset({"police"}),
    occurred_at=datetime(2026, 11, 22, 10, tzinfo=UTC),
    test=False,
    triggered_by="device",
    context=(("ALARM", "burglary"), ("ZONE", "front door")),
    device=Device("contact", "open", "Front door"),
    person=Person("John Smith", "+1 (555) 444-0003", "1234"),
    site=SITE,
)


class MemoryTokens:
    """A token store without a store."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self.kept: dict[str, Token] = {}

    def get(self, account_id: str) -> Token | None:
        """The token unless it is due."""
        token = self.kept.get(account_id)
        return token if token and token.renew_at > utc_now() else None

    def put(self, account_id: str, token: Token) -> None:
        """Keep it."""
        self.kept[account_id] = token

    def drop(self, account_id: str, value: str) -> None:
        """Forget it if it is still the one."""
        if account_id in self.kept and self.kept[account_id].value == value:
            del self.kept[account_id]


@dataclass
class Rig:
    """One provider and its sandbox. `create_path` is the raw path of a create."""

    provider: Provider
    account: Account
    service: Noonlight | Aura
    create_path: str
    request: DispatchRequest = REQUEST
    tokens: MemoryTokens = field(default_factory=MemoryTokens)

    def call(self, seconds: float = 5.0, before_send: Callable[[], None] | None = None) -> Call:
        """A call that may last so long."""
        return Call(boot_time() + seconds, self.tokens, before_send)

    def create(self, seconds: float = 5.0, before_send: Callable[[], None] | None = None) -> Outcome:
        """One create."""
        return self.provider.dispatch.create(self.call(seconds, before_send), self.account, self.request)

    def created(self) -> str:
        """The id of an alarm that was accepted."""
        outcome = self.create()
        assert isinstance(outcome, Accepted), outcome
        return outcome.provider_id

    def control(self, **settings: Any) -> None:
        """Make the sandbox misbehave."""
        answer = requests.post(f"{self.service.url}/_control", json=settings, timeout=5)
        assert answer.status_code < 300, answer.text

    def misbehave(self, fault: str, **rule: Any) -> None:
        """One fault on creates."""
        self.control(**{fault: [{"path": self.create_path, "method": "POST", **rule}]})

    def step(self, alarm: str, event: str, **more: Any) -> None:
        """Play the dispatcher."""
        answer = requests.post(f"{self.service.url}/_step", json={"id": alarm, "event": event, **more}, timeout=5)
        assert answer.status_code < 300, answer.text

    def log(self, path: str | None = None) -> list[dict[str, Any]]:
        """The requests that the sandbox saw, creates unless a path is given."""
        entries = requests.get(f"{self.service.url}/_log", params={"path": path or self.create_path}, timeout=5).json()
        return [entry for entry in entries if path or entry["method"] == "POST"]

    def alarms(self) -> list[dict[str, Any]]:
        """The alarms that exist at the sandbox."""
        state = requests.get(f"{self.service.url}/_state", timeout=5).json()
        found: list[dict[str, Any]] = state.get("alarms", state.get("callouts"))
        return found

    def elsewhere(self, base_url: str) -> Rig:
        """The same account at another address."""
        return replace(self, account=replace(self.account, base_url=base_url))
