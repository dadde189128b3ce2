"""Incidents and legs that moved are written by one statement a table, and the session knows what was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status
from tests.town import QUICK, Town, open_town
from workers.services.ledger import Ledger


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """Nobody works here but the test."""
    with open_town(embedded, **QUICK) as town:
        yield town


def _updates(town: Town) -> tuple[list[str], Any]:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.strip().startswith(("UPDATE incident", "UPDATE dispatch")):
            seen.append(statement)

    event.listen(town.engine, "before_cursor_execute", note)
    return seen, note


def test_those_that_moved_are_written_at_once_and_others_by_themselves(town: Town) -> None:
    """Six move, in three ways; a seventh has a reason as well, and what changes afterwards is written too."""
    incidents = [town.alarm("burglary", ref=f"moving-{number}") for number in range(7)]
    town.turn(Lane.INTAKE)
    with town.sessions.begin() as session:
        book = Ledger(session, town.deps)
        rows = book.lock(incidents)
        for row, status in zip(rows, [Status.REQUESTED, Status.DISPATCHED, Status.CLOSED] * 2, strict=False):
            book.move(row, status)
        book.move(rows[6], Status.FAILED, "for a reason")
        seen, note = _updates(town)
        book.close()
        event.remove(town.engine, "before_cursor_execute", note)
        assert len(seen) == 2
        rows[0].reason = "afterwards"
        book.move(rows[1], Status.ON_SCENE)

    found = town.rows("SELECT status, reason, ended_at IS NOT NULL FROM incident WHERE id = ANY(:i)", i=incidents)
    assert sorted(tuple(row) for row in found) == sorted(
        [
            ("requested", "afterwards", False),
            ("on_scene", "", False),
            ("closed", "", True),
            ("requested", "", False),
            ("dispatched", "", False),
            ("closed", "", True),
            ("failed", "for a reason", False),
        ]
    )


def test_batch_of_webhooks_moves_all_its_incidents_in_one_statement(town: Town) -> None:
    """Of several kinds, mixed: each leg and each incident reads what its last event says."""
    incidents = [town.alarm("burglary", ref=f"mixed-{number}") for number in range(8)]
    town.until(lambda: all(town.status(one) == "requested" for one in incidents))
    legs = "SELECT provider_alarm_id FROM dispatch WHERE incident_id = :i"
    names = ["alarm.psap_contacted", "alarm.closed"]
    for number, incident in enumerate(incidents):
        town.noonlight("_step", id=town.one(legs, i=incident), event=names[number % 2])
    arrived = "SELECT count(*) FROM inbox WHERE source = 'webhook' AND state = 'pending'"
    town.until(lambda: town.one(arrived) == len(incidents), lanes=(Lane.OUTGOING,))
    seen, note = _updates(town)
    town.turn(Lane.INTAKE)
    event.remove(town.engine, "before_cursor_execute", note)
    assert len(seen) == 2
    words = [town.status(one) for one in incidents]
    assert words == ["authorities_contacted", "closed"] * 4
    ended = town.rows("SELECT outcome, authorities FROM dispatch WHERE incident_id = ANY(:i) ORDER BY id", i=incidents)
    assert [tuple(row) for row in ended] == [("accepted", True), ("ended", False)] * 4
