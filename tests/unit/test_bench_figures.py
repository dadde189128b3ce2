"""The arithmetic of the bench."""

from __future__ import annotations

import math

import pytest

from bench.figures import Goal, middle, percentile, ratio
from bench.tables import table
from bench.traffic import expected, sequence


@pytest.mark.parametrize(("percent", "found"), [(50, 2.0), (51, 3.0), (99, 4.0), (100, 4.0), (0, 1.0)])
def test_percentile_is_a_value_that_was_measured(percent: float, found: float) -> None:
    """The nearest rank, without a value in between."""
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == found


def test_figures_are_nan_when_nothing_was_measured() -> None:
    """A part that did not run is no zero."""
    assert math.isnan(percentile([], 99))
    assert math.isnan(middle([]))
    assert math.isnan(ratio(1.0, math.nan))
    assert math.isnan(ratio(1.0, 0.0))


def test_median_leaves_out_rounds_when_they_have_no_figure() -> None:
    """One broken round does not spoil the others."""
    assert middle([1.0, math.nan, 3.0]) == 2.0


@pytest.mark.parametrize(
    ("goal", "line"),
    [
        (Goal("accepted/s", 5.0, 4), "met     (by 25 %)  accepted/s: 5.00 (goal >= 4)"),
        (Goal("accepted/s", 3.0, 4), "MISSED  (by 25 %)  accepted/s: 3.00 (goal >= 4)"),
        (Goal("p99", 0.5, 1, below=True), "met     (by 50 %)  p99: 0.50 (goal < 1)"),
        (Goal("p99", 1.0, 1, below=True), "MISSED  (by 0 %)   p99: 1.00 (goal < 1)"),
        (Goal("p99", math.nan, 1, below=True), "not measured  p99"),
    ],
)
def test_goal_says_met_or_missed_and_by_how_much(goal: Goal, line: str) -> None:
    """A goal is shown and never hidden."""
    assert goal.line() == line


def test_sequence_is_the_same_when_the_seed_is() -> None:
    """Every contestant gets the same events in the same order, some of them twice."""
    events = sequence(0, 500, seed=1)
    assert events == sequence(0, 500, seed=1)
    assert events != sequence(0, 500, seed=2)
    assert len(set(events)) == 1000 < len(events)


def test_expected_counts_a_repeated_event_once_when_judging() -> None:
    """What must stand in the end follows from what was accepted, in whatever order and however often."""
    events = sequence(0, 300, seed=3)
    assert set(expected(events).values()) == {("closed", 2)}
    assert set(expected([event for event in events if event.name == "alarm.psap_contacted"]).values()) == {
        ("authorities_contacted", 1)
    }


def test_table_aligns_figures_to_the_right() -> None:
    """It reads well as it is, and is Markdown."""
    assert table(["who", "x"], [["a", "1"], ["bb", "10"]]).splitlines() == [
        "| who |  x |",
        "|-----|---:|",
        "| a   |  1 |",
        "| bb  | 10 |",
    ]
