"""On whose behalf a request comes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """The platform on whose behalf a request comes, by which key, and for which site when it is a panel's."""

    platform_id: str
    key_id: int
    scopes: frozenset[str]
    site_ref: str | None

    @property
    def is_panel(self) -> bool:
        """True for a panel's key, which is bound to one site."""
        return self.site_ref is not None

    @property
    def origin(self) -> str:
        """Where an alarm or a cancel of this key comes from: `platform` or `panel`."""
        return "panel" if self.is_panel else "platform"

    @property
    def actor(self) -> str:
        """How the audit names this key."""
        return f"key:{self.key_id}"
