"""Is an alarm that names a known reference the same again, news of the same incident, or a new one?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.kinds import RULES, Kind
from shared.domain.lifecycle import Status, ended

SAME_BYTES_WINDOW_S = 60.0


class Repeat(StrEnum):
    """What to do with an alarm whose reference is known."""

    SAME = "same"
    FOLD = "fold"
    SUCCESSOR = "successor"


@dataclass(frozen=True)
class Known:
    """The newest incident of the reference; `hopeless` when nobody comes for it (cancel asked, or no account)."""

    kind: Kind
    status: Status
    test: bool
    services: frozenset[str]
    hopeless: bool = False


@dataclass(frozen=True)
class Posted:
    """The alarm that came in now, and which of its keys were seen before.

    `occurred_at_seen`: the same kind at the same moment (a trouble and a panic of one second are two things).
    `seen_age_s` is the age in seconds of the same bytes under this reference, None when they are new.
    """

    kind: Kind
    test: bool
    services: frozenset[str]
    event_id_seen: bool
    occurred_at_seen: bool
    seen_age_s: float | None


def judge(known: Known, posted: Posted) -> Repeat:
    """Design section 6, "Repeats": a person always comes for what is new; a repeat is never dispatched twice."""
    over = ended(known.status) or known.hopeless
    if posted.event_id_seen:
        return Repeat.SAME
    if posted.seen_age_s is not None and (not over or posted.seen_age_s <= SAME_BYTES_WINDOW_S):
        return Repeat.SAME
    if over or _worse(known, posted):
        if posted.occurred_at_seen:
            return Repeat.SAME if over else Repeat.FOLD
        return Repeat.SUCCESSOR
    return Repeat.FOLD


def _worse(known: Known, posted: Posted) -> bool:
    """Real after a test, more severe, or in need of services that are not on their way."""
    if known.test and not posted.test:
        return True
    if posted.test and not known.test:
        return False
    more_severe = RULES[posted.kind].severity > RULES[known.kind].severity
    return more_severe or not posted.services <= known.services
