"""The ringer: alarms first, and what only tells of them a moment later."""

from __future__ import annotations

import queue
import time

import pytest

from shared.domain.lanes import Lane
from shared.doorbell import AFTER_ALARM_S, Doorbell, Ringer, Row

ALARM = Row("create", 7)


class Heard(Doorbell):
    """Notes what is rung, and when (monotonic seconds), in place of Redis."""

    def __init__(self) -> None:
        """Connects to nothing."""
        self.rings: queue.SimpleQueue[tuple[Lane | Row, float]] = queue.SimpleQueue()

    def ring(self, what: Lane | Row, *, force: bool = False) -> bool:
        """Note."""
        self.rings.put((what, time.monotonic()))
        return True


@pytest.fixture
def heard() -> Heard:
    """A bell that nobody answers."""
    return Heard()


def test_history_is_rung_for_after_the_alarm_of_its_moment(heard: Heard) -> None:
    """However often it is asked for meanwhile, it is one ring."""
    ringer = Ringer(heard)
    ringer.ring(ALARM)
    for _ in range(3):
        ringer.ring(Lane.OUTGOING)
    first, alarm_at = heard.rings.get(timeout=10)
    second, history_at = heard.rings.get(timeout=10)
    assert (first, second) == (ALARM, Lane.OUTGOING)
    assert history_at - alarm_at >= AFTER_ALARM_S
    assert heard.rings.empty()


def test_history_is_rung_for_while_alarms_go_on_and_on(heard: Heard) -> None:
    """It is put off once, not for as long as there are alarms."""
    ringer = Ringer(heard)
    ringer.ring(ALARM)
    ringer.ring(Lane.OUTGOING)
    ends = time.monotonic() + 10
    number = 0
    while heard.rings.get(timeout=10)[0] is not Lane.OUTGOING:
        assert time.monotonic() < ends
        number += 1
        ringer.ring(Row("create", number))


@pytest.mark.parametrize("lane", [Lane.INTAKE, Lane.DISPATCH, Lane.PERIODIC])
def test_lane_is_rung_for_at_once_when_it_is_not_history(heard: Heard, lane: Lane) -> None:
    """It overtakes the history that waits."""
    ringer = Ringer(heard)
    for what in (ALARM, Lane.OUTGOING, lane):
        ringer.ring(what)
    assert [heard.rings.get(timeout=10)[0] for _ in range(3)] == [ALARM, lane, Lane.OUTGOING]
