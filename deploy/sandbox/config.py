"""What the sandbox is told at its start: ports, credentials, hooks, and each provider's open questions."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self


def _token() -> str:
    return secrets.token_hex(16)


def _standard_webhooks_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Options:
    """Settings that `POST /_control` may change while the service runs, checked by name and type."""

    def changed(self, values: dict[str, Any]) -> Self:
        """A copy with these values; ValueError names an unknown key or a wrong type."""
        known = {f.name for f in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown option: {name}")
            was = getattr(self, name)
            if isinstance(was, bool) is not isinstance(value, bool) or not isinstance(value, _like(was)):
                raise ValueError(f"{name} must be like {was!r}")
        return replace(self, **values)


def _like(value: object) -> type | tuple[type, ...]:
    return (int, float) if isinstance(value, int | float) else type(value)


@dataclass(frozen=True)
class NoonlightOptions(Options):
    """What is not public about Noonlight, and what the sandbox takes for it."""

    cancel_echo: bool = False
    """Whether a cancel through the API also sends `alarm.status.canceled`."""
    flat_workflow: bool = False
    """Whether a create names its workflow as `workflow_id`, not as `workflow: {id}`; two public clients disagree."""


@dataclass(frozen=True)
class AuraOptions(Options):
    """Where AURA's documentation disagrees with itself or is silent, and what the sandbox does."""

    token_spelling: str = "camel"
    """`camel`: accessToken, tokenType, expiresIn (current). `snake`: access_token, ... (earlier)."""
    token_lifetime_s: float = 3600.0
    flat_answer: bool = False
    """The earlier, flat answer to the creation of a callout."""
    return_existing: bool = False
    """A create at a site with an active callout returns that one (documented for customer callouts only)."""
    allow_duplicate_references: bool = False
    """Off: a second location with the same externalReferenceId is refused with 409."""
    paging: str = "none"
    """`none`, `page` (`page` from 1, `limit`) or `offset` (`offset`, `limit`): how the listing of locations is cut."""
    page_size: int = 100
    """Records of a page at most."""
    csv_delay_s: float = 0.2
    """Seconds between the answer to an upload and its effect."""
    csv_callback: bool = True
    """Whether an upload is called back at all."""
    envelope: str = ""
    """The listing is a bare array, or stands under this name in an object."""
    eta_field: str = "etaSeconds"
    """The name of the ETA inside incidentInformation; AURA does not publish it."""
    clock_skew_s: float = 0.0
    """Seconds that AURA's clock (its times and its Date header) is ahead of ours."""


@dataclass(frozen=True)
class PlatformOptions(Options):
    """The platform has none."""


@dataclass(frozen=True)
class NoonlightConfig:
    """A Noonlight account. `webhook_url` None means that none is saved in the dashboard yet."""

    port: int = 0
    token: str = field(default_factory=_token)
    webhook_url: str | None = None
    webhook_secret: str = field(default_factory=_token)
    webhook_backoff_s: float = 0.5
    options: NoonlightOptions = NoonlightOptions()


@dataclass(frozen=True)
class AuraConfig:
    """An AURA customer source. `webhook_url` was registered in the portal; a registration by API replaces it.

    Deliveries carry `Authorization: Bearer <webhook_secret>`, or `webhook_headers` where these are given.
    """

    port: int = 0
    client_id: str = "sandbox-client"
    client_secret: str = field(default_factory=_token)
    webhook_url: str | None = None
    webhook_secret: str = field(default_factory=_token)
    webhook_headers: dict[str, str] | None = None
    webhook_backoff_s: float = 0.5
    options: AuraOptions = AuraOptions()

    @property
    def delivery_headers(self) -> dict[str, str]:
        return self.webhook_headers or {"Authorization": f"Bearer {self.webhook_secret}"}


@dataclass(frozen=True)
class PlatformConfig:
    """The operator's system: a Standard Webhooks secret (`whsec_...`) for each of two addresses, and a bearer token."""

    port: int = 0
    writeback_secret: str = field(default_factory=_standard_webhooks_secret)
    escalation_secret: str = field(default_factory=_standard_webhooks_secret)
    location_token: str = field(default_factory=_token)


@dataclass(frozen=True)
class SandboxConfig:
    """All three."""

    noonlight: NoonlightConfig = field(default_factory=NoonlightConfig)
    aura: AuraConfig = field(default_factory=AuraConfig)
    platform: PlatformConfig = field(default_factory=PlatformConfig)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> SandboxConfig:
        """From `{"noonlight": {...}, "aura": {...}, "platform": {...}}`; an unknown key is an error."""
        values = {name: dict(part) for name, part in document.items()}
        starts: dict[str, Options] = {"noonlight": NoonlightOptions(), "aura": AuraOptions()}
        for name, start in starts.items():
            if "options" in values.get(name, {}):
                values[name]["options"] = start.changed(values[name]["options"])
        return cls(
            noonlight=NoonlightConfig(**values.pop("noonlight", {})),
            aura=AuraConfig(**values.pop("aura", {})),
            platform=PlatformConfig(**values.pop("platform", {})),
            **values,
        )
