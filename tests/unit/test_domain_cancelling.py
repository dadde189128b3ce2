"""Which cancels are valid: every combination of origin, PIN and rule (design section 6, "Cancel")."""

from __future__ import annotations

import pytest

from shared.domain.cancelling import MOST_REFUSALS, Wish, refusal
from shared.domain.kinds import Kind


@pytest.mark.parametrize("kind", Kind)
def test_panels_key_never_cancels_duress_panic_and_holdup(kind: Kind) -> None:
    """Whoever forces a person at the panel has the PIN as well."""
    refused = refusal(Wish(kind, "panel", "4711", "4711")) is not None
    assert refused is (kind in (Kind.DURESS, Kind.PANIC, Kind.HOLDUP))


@pytest.mark.parametrize("given", [None, "4711", "0000", "ö"])
@pytest.mark.parametrize("alarms", [None, "4711", "päss"])
@pytest.mark.parametrize("required", [True, False])
def test_cancel_is_valid_only_with_the_alarms_pin_where_one_is_given_or_required(
    given: str | None, alarms: str | None, required: bool
) -> None:
    """Equal, or none given and none required."""
    valid = refusal(Wish(Kind.BURGLARY, "platform", given, alarms, required)) is None
    assert valid is ((given is None and not required) or (given is not None and given == alarms))


@pytest.mark.parametrize(("origin", "refused"), [("panel", True), ("platform", False)])
def test_right_pin_comes_too_late_when_a_panel_guessed_too_often(origin: str, refused: bool) -> None:
    """Four digits are soon guessed; an operator is a named person."""
    wish = Wish(Kind.BURGLARY, origin, "4711", "4711", refused_before=MOST_REFUSALS)
    assert (refusal(wish) is not None) is refused
    assert refusal(Wish(Kind.BURGLARY, origin, "4711", "4711", refused_before=MOST_REFUSALS - 1)) is None


def test_wish_and_refusal_do_not_show_a_pin() -> None:
    """Neither in `repr` nor in the words that a person reads."""
    wish = Wish(Kind.BURGLARY, "platform", "12345", "4711")
    assert "12345" not in f"{wish!r}{refusal(wish)}"
    assert "4711" not in f"{wish!r}{refusal(wish)}"
