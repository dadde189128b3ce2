"""How often an open alarm is asked for: never faster than agreed, slower with age and while webhooks come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cadence import JITTER, RECENT_S, Cadence, pause

CADENCE = Cadence(every_s=20.0, hooked_s=60.0, later_s=300.0, later_after_s=7_200.0, told_after_s=86_400.0)
AGES = st.floats(0, 1_000_000)
WEBHOOKS = st.none() | st.floats(0, 1_000_000)
JITTERS = st.floats(0, 1)


@given(AGES, WEBHOOKS, JITTERS)
def test_pause_is_never_shorter_than_agreed(age: float, webhook: float | None, jitter: float) -> None:
    """Jitter lengthens by a tenth at most."""
    found = pause(CADENCE, age, webhook, jitter)
    bare = pause(CADENCE, age, webhook, 0.0)

    assert bare in (20.0, 60.0, 300.0)
    assert bare <= found <= bare * (1 + JITTER)


@given(AGES, AGES, WEBHOOKS)
def test_pause_never_shrinks_as_an_alarm_ages(first: float, second: float, webhook: float | None) -> None:
    """However old."""
    young, old = sorted((first, second))

    assert pause(CADENCE, young, webhook, 0.0) <= pause(CADENCE, old, webhook, 0.0)


@given(AGES, st.floats(0, RECENT_S), JITTERS)
def test_pause_is_longer_while_webhooks_come(age: float, webhook: float, jitter: float) -> None:
    """They tell sooner than any poll."""
    assert pause(CADENCE, age, webhook, jitter) >= pause(CADENCE, age, None, jitter)
