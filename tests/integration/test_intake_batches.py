"""A batch of the inbox: one row that cannot be worked stops no other, and each stream keeps its order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.doorbell import Row
from shared.store.inbox import lease_batch
from tests.town import QUICK, Town, open_town
from workers.engine import Engine
from workers.services import intake

MANY = 60


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """Nobody works here but the test."""
    with open_town(embedded, **QUICK) as town:
        yield town


def _trouble(town: Town, ref: str) -> str:
    return town.accepted({"incident_ref": ref, "kind": "trouble", "site_ref": "office"})


def _spoil(town: Town, incident: str) -> None:
    town.change("UPDATE inbox SET body = 'spoilt' WHERE incident_id = :i", i=incident)


def _pending(town: Town) -> list[str]:
    return [row[0] for row in town.rows("SELECT incident_id FROM inbox WHERE state = 'pending' ORDER BY id")]


def test_neighbours_of_a_spoilt_row_are_worked_in_the_same_turn(town: Town) -> None:
    """Sixty alarms in one batch, one of them cannot be opened: fifty-nine are recorded, in few transactions."""
    town.guarded_site("office")
    incidents = [_trouble(town, f"neighbour-{number}") for number in range(MANY)]
    _spoil(town, incidents[31])
    commits: list[int] = []

    def count(connection: Any) -> None:
        commits.append(1)

    event.listen(town.engine, "commit", count)
    intake.work_batch(town.deps)
    event.remove(town.engine, "commit", count)

    assert _pending(town) == [incidents[31]]
    worked = town.one("SELECT count(*) FROM incident WHERE status = 'recorded' AND incident_ref LIKE 'neighbour-%'")
    assert worked == MANY - 1
    assert len(commits) < MANY / 2
    town.change("DELETE FROM inbox WHERE state = 'pending'")


def test_stream_keeps_its_order_when_its_batch_is_parted(town: Town) -> None:
    """An alarm's events are told as they came, though a spoilt row in their midst had the batch worked in parts."""
    first = town.alarm("burglary", ref="parted")
    for number in range(MANY):
        if number == MANY // 2:
            _spoil(town, _trouble(town, "spoilt"))
        zone = {"event_id": f"zone-{number}", "kind": "burglary", "zone": str(number)}
        assert town.post(f"/v1/incidents/{first}/events", zone).status_code == 202

    intake.work_batch(town.deps)

    entries = town.rows("SELECT entry FROM timeline WHERE incident_id = :i AND event = 'event' ORDER BY id", i=first)
    told = [row[0].partition("zone ")[2].partition(";")[0] for row in entries]
    assert told == [str(number) for number in range(MANY)]
    numbered = town.rows("SELECT seq FROM outbox WHERE incident_id = :i AND seq > 0 ORDER BY id", i=first)
    seqs = [row[0] for row in numbered]
    assert seqs == list(range(1, len(seqs) + 1))
    town.change("DELETE FROM inbox WHERE state = 'pending'")


def test_streams_keep_their_order_when_two_work_a_backlog(town: Town) -> None:
    """Each incident's events are told as they came, though two processes take what they can get."""
    deps = [town.new_deps(intake_batch=8) for _ in "12"]
    incidents = [town.alarm("burglary", ref=f"shared-{number}") for number in range(10)]
    for step in range(8):
        for incident in incidents:
            zone = {"event_id": f"step-{step}", "kind": "burglary", "zone": str(step)}
            assert town.post(f"/v1/incidents/{incident}/events", zone).status_code == 202
    town.bell.rung.clear()

    threads = [threading.Thread(target=Engine(one, Lane.INTAKE, 1).answer_bell) for one in deps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    town.turn(Lane.INTAKE)

    sql = "SELECT entry FROM timeline WHERE incident_id = :i AND event = 'event' ORDER BY id"
    for incident in incidents:
        told = [row[0].partition("zone ")[2].partition(";")[0] for row in town.rows(sql, i=incident)]
        assert told == [str(step) for step in range(8)]
    assert Lane.INTAKE in town.bell.rung  # whoever found the backlog called for help
    for one in deps:
        one.bell.close()


def test_bell_is_open_while_there_is_a_backlog(town: Town) -> None:
    """Held for a single alarm, and free for a second process as soon as a whole batch was found."""
    deps = town.new_deps(intake_batch=5)
    rings: list[bool] = []

    class Listening:
        def ring(self, what: Lane | Row, *, force: bool = False) -> None:
            if what is Lane.INTAKE:
                rings.append(deps.bell.ring(what))

    listening = replace(deps, ringer=Listening())
    for number in range(12):
        _trouble(town, f"backlog-{number}")
    deps.bell.ring(Lane.INTAKE)
    Engine(listening, Lane.INTAKE, 1).answer_bell()
    assert rings[0] is True  # the one that was called for
    assert rings[1:] == [False] * len(rings[1:])  # and no second one while that has not come
    deps.bell.close()


def test_panic_is_committed_before_the_troubles_that_were_there_first(town: Town) -> None:
    """A batch of its own: it does not wait for the commit of theirs."""
    for number in range(5):
        _trouble(town, f"before-{number}")
    panic = town.alarm("panic", ref="urgent")

    assert intake.work_batch(town.deps) == 1
    assert town.one("SELECT count(*) FROM dispatch WHERE incident_id = :i", i=panic) == 1
    assert intake.work_batch(town.deps) == 5


def test_lease_that_a_crash_of_the_server_forgot_is_worked_once(town: Town) -> None:
    """Its commit is not synchronous: two owners then have the same token, and the second finds nothing pending."""
    incident = town.alarm("burglary", ref="forgotten")
    with town.sessions.begin() as session:
        before = lease_batch(session, 10)
    town.change("UPDATE inbox SET lease_until = NULL, token = token - 1 WHERE state = 'pending'")
    with town.sessions.begin() as session:
        after = lease_batch(session, 10)
    assert [one.token for one in before] == [one.token for one in after]

    for taken in (after, before):
        intake.work_rows(town.deps, taken)

    assert town.one("SELECT count(*) FROM dispatch WHERE incident_id = :i", i=incident) == 1
    assert town.one("SELECT count(*) FROM timeline WHERE incident_id = :i AND event = 'received'", i=incident) == 1
