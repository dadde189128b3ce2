"""What a run says of itself, and what of it can be judged while it goes on."""

from __future__ import annotations

from dataclasses import replace

from tests.chaos.history import settled
from tests.chaos.ledger import Spell
from tests.chaos.promises.alarms import LOST
from tests.chaos.promises.promise import audit
from tests.chaos.report import markdown, story, table
from tests.chaos.test_promises import FAILED, GOOD, T0, asked, at, row, unserved


def test_table_counts_what_was_in_flight_while_a_fault_was_held() -> None:
    """Not what came to rest before, nor what was sent after it was healed."""
    early = Spell("early", T0 - 10, T0 - 5, T0 - 4)
    hits = Spell("hits", T0 + 0.5, T0 + 3, T0 + 7)
    late = Spell("late", T0 + 100, T0 + 110)
    history = replace(GOOD, spells=(early, hits, late))
    assert table(history, []) == [
        ("early", "1", "0", "0", "0", "1.0"),
        ("hits", "1", "1", "0", "0", "4.0"),
        ("late", "1", "0", "0", "0", "never"),
        ("all", "3", "1", "0", "0", "never"),
    ]


def test_report_tells_the_whole_story_of_what_broke() -> None:
    """The client's wish, the timeline and the fault, in order."""
    history = unserved("failed", FAILED, spells=(Spell("a fault", T0 + 0.1, T0 + 3, T0 + 7),))
    violations = audit(history)
    assert LOST in {violation.promise for violation in violations}
    text = markdown(history, violations, ["- seed: 7"])
    told = [line.split("  ")[1].split()[0] for line in story(history, "inc_a") if line.startswith("00:00:0")]
    assert told == ["client", "FAULT", "timeline", "platform", "timeline", "platform", "HEALED"]
    assert "| a fault | 1 | 1 | 1 | 0 | 4.0 |" in text


def test_only_what_has_settled_is_judged_while_it_goes_on() -> None:
    """Neither what is young, nor what still has a row to be worked."""
    broken = unserved("requested")
    lost = row(incident_id="inc_young", kind="create", outcome="unknown", http_status=None)
    assert audit(settled(replace(broken, attempts=(lost,)), at(60)))
    assert audit(settled(broken, at(-60))) == []
    waiting = (row(incident_id="inc_a", state="pending", kind="create", seq=None),)
    assert audit(settled(replace(broken, outbox=waiting), at(60))) == []
    assert audit(settled(replace(GOOD, operations=(asked(),)), at(60))) == []
