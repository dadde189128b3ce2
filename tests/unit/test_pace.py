"""The size of a batch follows the time that it takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.pace import AIM_S, LEAST_ROWS, Pace

MOST = 200


def test_batch_shrinks_when_the_machine_is_busy_and_grows_again() -> None:
    """To what fits into the time that is aimed at."""
    pace = Pace(MOST)
    pace.took(MOST, AIM_S * 2)
    assert pace.rows == MOST // 2
    pace.took(MOST // 2, AIM_S / 4)
    assert pace.rows == MOST


def test_few_rows_say_nothing() -> None:
    """One slow alarm by itself makes no smaller batches."""
    pace = Pace(MOST)
    pace.took(1, AIM_S * 10)
    assert pace.rows == MOST


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1000))), st.integers(1, 400))
def test_batch_keeps_within_its_bounds(batches: list[tuple[int, float]], most: int) -> None:
    """Whatever batches take."""
    pace = Pace(most)
    for rows, seconds in batches:
        pace.took(rows, seconds)
        assert min(LEAST_ROWS, most) <= pace.rows <= most
