"""What to do about a create whose outcome is unknown (law 4): look, adopt, send again, or leave it to a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.kinds import RULES, Kind

LOOKUP_AT_S = (2.0, 5.0, 10.0)
LOOKUP_EVERY_S = 10.0
COMPLETE_LOOKUPS_BEFORE_RESEND = 3
WITHOUT_LISTING_S = 60.0
ADOPT_WITHIN_S = 60.0


class Policy(StrEnum):
    """Without a way to look: send again at the risk of a double, or hold for a person."""

    RESEND = "resend"
    HOLD = "hold"


@dataclass(frozen=True)
class Candidate:
    """An active alarm at the provider that might be ours."""

    provider_alarm_id: str
    site_provider_id: str | None
    created_at: datetime | None


class Next(StrEnum):
    """What follows a look-up that found nothing to adopt."""

    WAIT = "wait"
    RESEND = "resend"
    HOLD = "hold"


def policy(kind: Kind, overrides: Mapping[str, str]) -> Policy:
    """`resend` for life safety, `hold` for the rest; a platform's `create_unknown` policy may differ."""
    default = Policy.RESEND if RULES[kind].life_safety else Policy.HOLD
    return Policy(overrides.get(kind.value, default))


def adoptable(
    candidates: Sequence[Candidate], site_provider_id: str, known: Collection[str], attempt_at: datetime
) -> Candidate | None:
    """The alarm of our site that belongs to no leg and was created no more than 60 s before the attempt.

    `attempt_at` is the attempt in the provider's own clock. Of several, the oldest: it is the first answer to us.
    """
    earliest = attempt_at - timedelta(seconds=ADOPT_WITHIN_S)
    ours = [
        found
        for found in candidates
        if found.site_provider_id == site_provider_id
        and found.provider_alarm_id not in known
        and found.created_at is not None
        and found.created_at >= earliest
    ]
    return min(ours, key=lambda found: (found.created_at, found.provider_alarm_id), default=None)


def after_lookup(complete_lookups: int, unknown_for_s: float, wanted: Policy, *, listed: bool) -> Next:
    """Send again when three complete listings found none; while none comes, after 60 s the kind's policy decides.

    `listed`: this look gave a complete listing, so that the next one is worth waiting for.
    """
    if complete_lookups >= COMPLETE_LOOKUPS_BEFORE_RESEND:
        return Next.RESEND
    if not listed and unknown_for_s >= WITHOUT_LISTING_S:
        return Next.RESEND if wanted is Policy.RESEND else Next.HOLD
    return Next.WAIT


def next_lookup_in(unknown_for_s: float) -> float:
    """Seconds until the next look-up: 2, 5 and 10 s after the call ended, then every 10 s."""
    for moment in LOOKUP_AT_S:
        if moment > unknown_for_s + 0.5:
            return moment - unknown_for_s
    return LOOKUP_EVERY_S
