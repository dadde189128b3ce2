"""An answer that comes after its row was taken by another owner: kept, adopted, or one too many (laws 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.store.outbox import Lease
from tests.integration.doubt_stage import (
    AURA_CREATE,
    DOUBTFUL,
    NOONLIGHT_CREATE,
    await_that,
    hurry,
    lease,
    legs,
    look,
    own_engine,
    run_out,
    sweep,
    take_in,
    told,
)
from tests.town import Town, open_town
from workers.services import creating, settling
from workers.services.ledger import Ledger


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept."""
    return sweep(street)


def _mark(town: Town, incident: str) -> tuple[Lease, int]:
    """A worker has leased the create and committed `sending`: its request is on the line now."""
    taken = lease(town)
    with town.sessions.begin() as session:
        plan = creating._plan(Ledger(session, town.deps), taken)
        assert plan.action == "send"
        creating._mark_sending(session, taken, plan, [])
    return taken, plan.leg_id


def _answer(town: Town, taken: Lease, leg: int, incident: str, outcome: Outcome) -> None:
    """The answer comes to the worker that sent."""
    settling.record(town.deps, taken, leg, incident, outcome, None)


def _made_at_the_provider(town: Town) -> str:
    """An alarm that stands at Noonlight though its answer was lost."""
    return str(town.alarms()[0]["id"])


def test_late_answer_clears_the_doubt_of_its_own_attempt(town: Town) -> None:
    """The row has run out and was held as unknown; the id that came at last is the response."""
    incident = take_in(town, "burglary")
    taken, leg = _mark(town, incident)
    run_out(town)
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "unconfirmed"
    _answer(town, taken, leg, incident, Accepted("late-1"))
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["accepted"]
    assert town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=incident) == 0


@pytest.mark.parametrize("outcome", [Temporary("busy"), Permanent("refused")])
def test_late_refusal_changes_nothing(town: Town, outcome: Outcome) -> None:
    """A late owner changes no state: another attempt may have been taken since."""
    incident = take_in(town, "burglary")
    taken, leg = _mark(town, incident)
    run_out(town)
    town.turn(Lane.DISPATCH)
    _answer(town, taken, leg, incident, outcome)
    assert legs(town, incident) == ["unknown"]
    assert town.status(incident) == "unconfirmed"


def test_late_answer_stops_the_repeat_that_has_not_left_yet(town: Town) -> None:
    """The second leg still waits: it is void, and the first one is the response. One alarm."""
    incident = take_in(town, "panic")
    taken, leg = _mark(town, incident)
    run_out(town)
    second = lease(town)
    creating.create(town.deps, second)
    assert legs(town, incident) == ["doubtful", "pending"]
    _answer(town, taken, leg, incident, Accepted("late-2"))
    assert legs(town, incident) == ["accepted", "void"]
    look(town)
    assert town.creates() == []


def _second_leg_on_the_line(town: Town, kind: str = "panic") -> tuple[str, tuple[Lease, int], tuple[Lease, int]]:
    incident = take_in(town, kind)
    first = _mark(town, incident)
    run_out(town)
    creating.create(town.deps, lease(town))
    hurry(town)
    second = _mark(town, incident)
    assert legs(town, incident) == ["doubtful", "sending"]
    return incident, first, second


def _one_more_at_the_provider(town: Town) -> None:
    others = len(town.alarms())
    other = take_in(town, "burglary")
    # On a busy machine a lease may be too short for a call, and is given back.
    town.until(lambda: len(town.alarms()) > others, lanes=(Lane.DISPATCH,))
    town.change("UPDATE dispatch SET provider_alarm_id = NULL, outcome = 'ended' WHERE incident_id = :i", i=other)
    town.change("UPDATE incident SET status = 'closed', ended_at = now() WHERE id = :i", i=other)


def _two_at_the_provider(town: Town) -> tuple[str, str]:
    """Two alarms that really stand there, so that reads and cancels are true."""
    for _ in range(2):
        _one_more_at_the_provider(town)
    first, second = town.alarms()
    return str(first["id"]), str(second["id"])


def _at_noonlight(town: Town) -> dict[str, str]:
    return {alarm["id"]: alarm["status"] for alarm in town.alarms()}


def test_surplus_is_cancelled_by_itself_when_the_kept_one_reads_active(town: Town) -> None:
    """Its id came in an answer to our own attempt, the other one answers, nobody called the authorities."""
    one, two = _two_at_the_provider(town)
    incident, first, second = _second_leg_on_the_line(town)
    _answer(town, *first, incident, Accepted(one))
    assert legs(town, incident) == ["surplus", "sending"]
    town.turn(Lane.DISPATCH)
    assert _at_noonlight(town) == {one: "ACTIVE", two: "ACTIVE"}  # the kept one is not known yet
    _answer(town, *second, incident, Accepted(two))
    look(town, 2)
    town.until(lambda: _at_noonlight(town) == {one: "CANCELED", two: "ACTIVE"}, lanes=(Lane.DISPATCH,))
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["ended", "accepted"]
    assert "surplus_cancelled" in town.events(incident)


@pytest.mark.parametrize("why", ["authorities", "kept is over", "kept cannot be read"])
def test_surplus_is_left_to_the_operator_when_it_may_be_the_one_that_helps(town: Town, why: str) -> None:
    """Law 4's conditions, one missing at a time: shown, told, and cancelled only with the incident."""
    one, two = _two_at_the_provider(town)
    incident, first, second = _second_leg_on_the_line(town)
    _answer(town, *first, incident, Accepted(one))
    _answer(town, *second, incident, Accepted(two))
    if why == "authorities":
        town.noonlight("_step", id=one, event="alarm.psap_contacted")
        await_that(lambda: town.one("SELECT count(*) FROM inbox WHERE state = 'pending'"))
        town.turn(Lane.INTAKE)
    elif why == "kept is over":
        town.noonlight("_control", webhooks="off")
        town.noonlight("_step", id=two, event="alarm.status.canceled")
    else:
        town.noonlight("_control", fail=[{"path": f"/dispatch/v1/alarms/{two}/status", "method": "GET", "status": 500}])
    look(town, 3)
    assert _at_noonlight(town)[one] == "ACTIVE"
    assert legs(town, incident) == ["surplus", "accepted"]
    town.until(lambda: told(town, incident, "surplus"))
    town.noonlight("_control", fail=[])
    assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm", "pin": "4711"}).status_code == 202
    town.until(lambda: _at_noonlight(town) == {one: "CANCELED", two: "CANCELED"})


@pytest.mark.parametrize("outcome", [Temporary("busy"), Permanent("refused")])
def test_surplus_takes_over_when_the_later_request_was_not_taken(town: Town, outcome: Outcome) -> None:
    """There is a response: no further send, and nobody is told that there is none."""
    one, _ = _two_at_the_provider(town)
    sent = len(town.creates())
    incident, first, second = _second_leg_on_the_line(town)
    _answer(town, *first, incident, Accepted(one))
    _answer(town, *second, incident, outcome)
    assert legs(town, incident) == ["accepted", "failed"]
    assert town.status(incident) == "requested"
    look(town, 3)
    assert len(town.creates()) == sent
    assert _at_noonlight(town)[one] == "ACTIVE"


def test_late_answer_to_a_cancelled_incident_is_cancelled(town: Town) -> None:
    """The cancel was confirmed in the belief that nothing stood there."""
    site = town.guarded_site()
    incident = take_in(town, "burglary", site=site)
    taken, leg = _mark(town, incident)
    run_out(town)
    assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm"}).status_code == 202
    town.turn(Lane.INTAKE)
    look(town, 3)
    assert town.status(incident) == "cancelled"
    other = take_in(town, "burglary", site=site)
    town.turn(Lane.DISPATCH)
    theirs = str(town.callouts()[0]["id"])
    town.change("UPDATE dispatch SET provider_alarm_id = NULL, outcome = 'ended' WHERE incident_id = :i", i=other)
    _answer(town, taken, leg, incident, Accepted(theirs))
    town.until(lambda: town.callouts()[0]["status"] == "Responder Cancelled")


def test_late_answer_to_a_dropped_incident_is_shown_and_left_alone(town: Town) -> None:
    """A named person decided that nobody is sent; whether the one that comes is stopped, a person decides as well."""
    incident = take_in(town, "burglary")
    taken, leg = _mark(town, incident)
    assert town.post(f"/v1/incidents/{incident}/drop", {"by": "Op", "reason": "seen"}).status_code == 202
    town.until(lambda: town.status(incident) == "dropped")
    _answer(town, taken, leg, incident, Accepted("late-drop"))
    look(town, 2)
    assert legs(town, incident) == ["surplus"]
    assert town.status(incident) == "dropped"
    town.until(lambda: told(town, incident, "surplus"))


def test_late_owner_of_a_real_request_is_adopted_when_its_process_was_slow(town: Town) -> None:
    """The request hangs until after the lease of its worker; the next owner looks up, and the answer comes too."""
    site = town.guarded_site()
    incident = take_in(town, "panic", site=site)
    town.aura("_control", hang=[{"path": AURA_CREATE, "seconds": 1.0, "times": 1, "work": "before"}])
    engine = own_engine(town)
    [row] = town.rows("SELECT id FROM outbox WHERE incident_id = :i AND kind = 'create'", i=incident)
    sleeper = engine._pool.submit(engine.work_row, row.id)
    await_that(lambda: town.creates("aura"))
    run_out(town)
    town.turn(Lane.DISPATCH)
    sleeper.result(10)
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["accepted"]
    assert len(town.callouts()) == len(town.creates("aura")) == 1
    assert NOONLIGHT_CREATE not in [entry["path"] for entry in town.noonlight("_log")]
