"""The demo's verdict: it fails on what is late, doubled or missing, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deploy.sandbox.rehearsal_table import timeline_table
from deploy.sandbox.rehearsal_verdict import Played, judge

AT = "2026-01-02T03:04:05.500000+00:00"
AT_S = 1767323045.5


def _entry(event: str, source: str = "noonlight") -> dict[str, Any]:
    return {"event": event, "source": source, "entry": f"words of {event}", "occurred_at": AT}


def _writeback(seq: int, event: str = "closed") -> dict[str, Any]:
    return {"seq": seq, "event": event, "occurred_at": AT, "arrived_at": AT_S + 0.025}


GOOD = Played(
    title="A burglary",
    reference="demo-1",
    incident={
        "status": "closed",
        "received_at": AT,
        "legs": [{"provider_alarm_id": "a1"}],
        "timeline": [_entry("received", "platform"), _entry("requested", "tocsin"), _entry("closed")],
    },
    provider="noonlight",
    expected=("requested", "closed"),
    last_seq=3,
    writebacks=[_writeback(1), _writeback(2), _writeback(3)],
    requests={"create": [AT_S + 0.012], "cancel": []},
)


def test_verdict_passes_when_all_is_well() -> None:
    """What the watchman did is told, and judged by nobody."""
    verdict = judge([GOOD, GOOD], watchman_acted=7, watchman_acted_with_redis=2)
    assert verdict.passed
    assert (verdict.sent, verdict.dispatched_once, verdict.steps, verdict.steps_told) == (2, 2, 6, 6)
    assert "7, 2 of them while Redis ran" in verdict.text()
    assert verdict.text().endswith("PASSED")


def test_verdict_fails_when_an_alarm_was_sent_twice() -> None:
    """Two creates for one alarm."""
    verdict = judge([replace(GOOD, requests={"create": [1.0, 2.0], "cancel": []})], 0, 0)
    assert not verdict.passed
    assert verdict.dispatched_once == 0


def test_verdict_fails_when_an_alarm_was_not_sent() -> None:
    """No create at all."""
    assert not judge([replace(GOOD, requests={"create": [], "cancel": []})], 0, 0).passed


def test_verdict_fails_when_a_step_is_missing_at_the_platform() -> None:
    """A gap in `seq`, and a repeat does not fill it."""
    verdict = judge([replace(GOOD, writebacks=[_writeback(1), _writeback(3), _writeback(3)])], 0, 0)
    assert not verdict.passed
    assert verdict.missing == ("A burglary",)


def test_verdict_fails_when_the_steps_came_in_another_order() -> None:
    """Closed before it was requested."""
    assert not judge([replace(GOOD, expected=("closed", "requested"))], 0, 0).passed


def test_verdict_fails_when_an_alarm_is_still_open() -> None:
    """Late is as bad as lost."""
    late = replace(GOOD, incident={**GOOD.incident, "status": "requested"})
    assert not judge([late], 0, 0).passed


def test_verdict_fails_when_nothing_was_played() -> None:
    """An empty rehearsal shows nothing."""
    assert not judge([], 0, 0).passed


def test_table_shows_the_dwell_of_each_step() -> None:
    """To the provider for the request, to the platform for what came back."""
    lines = timeline_table(GOOD).splitlines()
    requested = next(line for line in lines if "words of requested" in line)
    closed = next(line for line in lines if "words of closed" in line)
    assert requested.split()[:3] == ["03:04:05.500", "tocsin", "12"]
    assert closed.split()[:3] == ["03:04:05.500", "noonlight", "25"]
    assert "\x1b" not in "".join(lines)
