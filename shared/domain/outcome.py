"""The four outcomes of a call that changes something at a provider (law 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Accepted:
    """The other side answered and took it.

    `provider_id` is the id that the other side gave (alarm, note, site); `""` where it gives none.
    `settled` is False when the other side only took the wish (a cancel that a later event confirms).
    """

    provider_id: str = ""
    status_text: str = ""
    settled: bool = True
    http_status: int = 0


@dataclass(frozen=True)
class SiteStored(Accepted):
    """A site was created or replaced, and the answer says by service whether it is covered (None: not known there)."""

    coverage: Mapping[str, bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Temporary:
    """Certainly not done; worth another try. `retry_after` is in seconds, None when the other side named no time.

    `after_server_error` marks a documented 5xx: the next send is shown as a possible double all the same.
    """

    reason: str
    retry_after: float | None = None
    after_server_error: bool = False
    http_status: int = 0


@dataclass(frozen=True)
class Permanent:
    """Certainly not done, and the same request will never be taken."""

    reason: str
    http_status: int = 0


@dataclass(frozen=True)
class Unknown:
    """The request may have arrived and the answer did not. Never repeated blindly."""

    reason: str
    http_status: int = 0


Outcome = Accepted | Temporary | Permanent | Unknown
