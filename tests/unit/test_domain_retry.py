"""When something is tried again: schedules as tables, and their bounds as properties (law 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import retry

JITTER = st.floats(0, 1)
COUNT = st.integers(1, 500)


@pytest.mark.parametrize(
    ("failed", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 5), (4, 10), (5, 20), (6, 30), (7, 30), (80, 30)]
)
def test_create_follows_the_schedule_and_then_goes_on_every_30_seconds(failed: int, seconds: float) -> None:
    """0, 1, 2, 5, 10, 20, 30 s, and no end."""
    assert retry.create_delay(failed, None, 0.0) == seconds


@pytest.mark.parametrize(("asked", "waits"), [(0.0, 0.0), (7.0, 7.0), (10.0, 10.0), (3600.0, 10.0), (-5.0, 0.0)])
def test_create_waits_as_asked_up_to_ten_seconds(asked: float, waits: float) -> None:
    """Whatever number of tries went before."""
    assert {retry.create_delay(failed, asked, 0.7) for failed in (1, 5, 50)} == {waits}


@given(failed=COUNT, asked=st.none() | st.floats(0, 1e9), jitter=JITTER)
def test_create_never_waits_for_longer_than_30_seconds(failed: int, asked: float | None, jitter: float) -> None:
    """Jitter only shortens."""
    assert 0 <= retry.create_delay(failed, asked, jitter) <= 30


@given(failed=COUNT, asked=st.none() | st.floats(0, 1e9), jitter=JITTER)
def test_writeback_waits_between_a_second_and_an_hour_until_it_is_given_up(
    failed: int, asked: float | None, jitter: float
) -> None:
    """Seconds to hours, about two days long."""
    delay = retry.writeback_delay(failed, asked, jitter)
    if failed >= retry.WRITEBACK_MAX_ATTEMPTS:
        assert delay is None
    else:
        assert delay is not None
        assert 0.8 <= delay <= 3600


def test_writeback_is_tried_for_about_two_days() -> None:
    """The sum of all waits."""
    waits = [retry.writeback_delay(n, None, 0.0) or 0.0 for n in range(1, retry.WRITEBACK_MAX_ATTEMPTS)]
    assert 1.5 * 86_400 < sum(waits) < 2.5 * 86_400


@given(failed=COUNT, jitter=JITTER)
def test_escalation_is_never_given_up(failed: int, jitter: float) -> None:
    """At most every 30 s."""
    assert 0 < retry.escalation_delay(failed, jitter) <= 30


@given(failed=COUNT, asked=st.none() | st.floats(0, 1e9), jitter=JITTER)
def test_note_waits_for_a_minute_at_most(failed: int, asked: float | None, jitter: float) -> None:
    """And is given up after a dozen tries."""
    delay = retry.note_delay(failed, asked, jitter)
    assert (delay is None) is (failed >= retry.NOTE_MAX_ATTEMPTS)
    assert delay is None or 0.8 <= delay <= 60


@pytest.mark.parametrize(("age", "seconds"), [(0, 30), (299, 30), (300, 300), (9000, 300)])
def test_notice_is_repeated_every_30_seconds_for_five_minutes_and_then_every_five(age: float, seconds: float) -> None:
    """Law 13."""
    assert retry.notice_delay(age) == seconds
