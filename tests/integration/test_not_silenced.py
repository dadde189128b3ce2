"""What stands in the way of one alarm, or of one duty, neither hides nor silences another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import sweep
from tests.town import QUICK, Town, open_town
from workers.services import jobs

PICTURE = [{"url": "https://pictures.example/1.jpg"}]


@pytest.fixture(scope="module")
def built(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(built: Town) -> Iterator[Town]:
    """The town, swept before and after."""
    yield sweep(built)
    built.change("UPDATE verification SET state = 'timeout' WHERE state = 'waiting'")


def _held(town: Town) -> str:
    town.policy(verify_first={"kinds": ["burglary"], "timeout_s": 60})
    incident = town.alarm("burglary", media=PICTURE)
    town.until(lambda: town.status(incident) == "holding")
    return incident


def _attend(town: Town) -> None:
    town.change("UPDATE job SET next_run_at = now(), lease_until = NULL WHERE name = 'attend'")
    jobs.work_due(town.deps, only="attend")


def _time_up(town: Town) -> None:
    town.change("UPDATE verification SET ends_at = now() WHERE state = 'waiting'")


def test_held_alarm_goes_when_another_one_cannot(town: Town) -> None:
    """One that makes its worker raise holds back nobody else."""
    stuck, held = _held(town), _held(town)
    town.change("UPDATE incident SET account_id = NULL WHERE id = :i", i=stuck)
    _time_up(town)
    _attend(town)
    town.until(lambda: town.status(held) == "requested", lanes=(Lane.DISPATCH,))


def test_person_is_told_when_a_duty_before_it_fails(town: Town) -> None:
    """Of the alarm that cannot go as well."""
    stuck = _held(town)
    town.change("UPDATE incident SET account_id = NULL, received_at = now() - interval '40 s' WHERE id = :i", i=stuck)
    _time_up(town)
    _attend(town)
    told = town.rows("SELECT kind, told FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=stuck)
    assert [tuple(row) for row in told] == [("not_accepted", 1)]


def test_held_alarm_goes_at_once_when_a_further_signal_comes(town: Town) -> None:
    """Nobody has looked at the pictures of that one: an answer to the first cannot speak for both."""
    incident = _held(town)
    assert town.post(f"/v1/incidents/{incident}/events", {"kind": "panic", "zone": "2"}).status_code == 202
    town.until(lambda: town.status(incident) == "requested")
    town.noonlight("_step", id=town.noonlight("_state")["verifications"][-1]["id"], event="no")
    town.settle()

    assert town.status(incident) == "requested"
    assert len(town.creates()) == 1


def test_held_alarm_waits_on_when_what_comes_asks_for_nobody(town: Town) -> None:
    """A low battery says nothing of the burglar."""
    incident = _held(town)
    assert town.post(f"/v1/incidents/{incident}/events", {"kind": "battery"}).status_code == 202
    town.turn(Lane.INTAKE)
    assert (town.status(incident), town.creates()) == ("holding", [])


def test_person_is_told_again_when_a_resend_after_an_acknowledge_is_not_accepted(town: Town) -> None:
    """Who heard of the first failure has not heard of the second."""
    incident = town.site_alarm("no-such-site", "burglary")
    town.until(lambda: town.status(incident) == "failed")
    town.post(f"/v1/incidents/{incident}/acknowledge", {"by": "Ann Example"})
    town.turn(Lane.INTAKE)
    town.guarded_site("no-such-site")
    town.aura("_control", fail=[{"path": "*/externalRef/*/callouts", "status": 400, "body": "{}", "times": 1}])
    town.post(f"/v1/incidents/{incident}/resend", {"by": "Ann Example"})
    town.until(lambda: town.status(incident) == "failed" and "resend" in town.events(incident))
    open_now = "SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL AND acknowledged_at IS NULL"
    assert town.one(open_now, i=incident) == 1


def test_new_alarm_goes_when_another_incident_is_locked(town: Town) -> None:
    """A transaction that somebody left open holds back what it has touched, and nothing else."""
    locked = town.alarm("burglary")
    town.until(lambda: town.status(locked) == "requested")
    town.post(f"/v1/incidents/{locked}/events", {"kind": "burglary", "zone": "2"})
    with ThreadPoolExecutor(1) as pool:
        with town.engine.begin() as held:
            held.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            held.execute(text("SELECT 1 FROM incident WHERE id = :i FOR UPDATE"), {"i": locked})
            other = town.alarm("burglary")
            worker = pool.submit(town.turn, Lane.INTAKE)
            town.until(lambda: town.status(other) == "requested", lanes=(Lane.DISPATCH,))
        worker.result(20)
    town.change("UPDATE inbox SET lease_until = NULL WHERE state = 'pending'")
    town.until(lambda: "event" in town.events(locked))
