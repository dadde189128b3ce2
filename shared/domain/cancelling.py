"""Is a cancel valid? One that is valid forbids every further create of its incident; a refused one forbids nothing."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from shared.domain.kinds import RULES, Kind

MOST_REFUSALS = 5


@dataclass(frozen=True)
class Wish:
    """A cancel as it came in. `alarm_pin` is the PIN that the alarm carries.

    `refused_before` is how often a panel's cancel of this incident was refused: four digits are soon guessed.
    """

    kind: Kind
    origin: str
    pin: str | None = field(repr=False)
    alarm_pin: str | None = field(repr=False)
    pin_required: bool = False
    refused_before: int = 0


def refusal(wish: Wish) -> str | None:
    """Why the cancel is refused; None when it is valid (design section 6, "Cancel")."""
    if wish.origin == "panel" and not RULES[wish.kind].panel_may_cancel:
        return f"a panel's key never cancels a {RULES[wish.kind].words} alarm"
    if wish.origin == "panel" and wish.refused_before >= MOST_REFUSALS:
        return "the panel was refused too often; only an operator can cancel"
    if wish.pin is None:
        return "this platform requires the PIN to cancel" if wish.pin_required else None
    if wish.alarm_pin is None:
        return "a PIN was given, but the alarm carries none"
    if not hmac.compare_digest(wish.pin.encode(), wish.alarm_pin.encode()):
        return "the PIN is wrong"
    return None
