"""Several alarms at one guarded site: one response, shared while it answers, and nobody left alone when it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import (
    ARRIVED,
    CANCELLED,
    CLOSED,
    COMPLETED,
    DISPATCHED,
    another_worker,
    await_request,
    calm,
    cancel,
    legs_of,
    requested,
)
from tests.town import QUICK, Town, open_town


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before told the sandbox."""
    calm(open_for_all)
    return open_for_all


def _step(town: Town, event: str, number: int = 0) -> None:
    town.aura("_step", id=town.callouts()[number]["id"], event=event)


def _shared(town: Town) -> tuple[str, str]:
    site = town.guarded_site()
    first, second = requested(town, site, "burglary"), requested(town, site, "panic")
    assert legs_of(town, first) == legs_of(town, second)
    return first, second


def test_panic_joins_when_burglary_is_being_answered(town: Town) -> None:
    """Same kind of response: one callout, both on its timeline, the panic's context goes there as a note."""
    first, second = _shared(town)
    town.settle()

    assert len(town.creates("aura")) == 1
    assert "joined" in town.events(second)
    notes = [event["event"]["text"] for event in town.callouts()[0]["events"]]
    assert any("panic" in note for note in notes)
    _step(town, DISPATCHED)
    town.until(lambda: town.status(first) == town.status(second) == "dispatched")


def test_other_is_answered_when_one_of_two_is_cancelled(town: Town) -> None:
    """Who leaves reads confirmed, and the provider is not asked to stop before the last one leaves."""
    first, second = _shared(town)

    cancel(town, first)
    town.until(lambda: town.incident(first)["cancel"] == "confirmed")
    town.settle()
    assert town.callouts()[0]["status"] == "created"
    _step(town, ARRIVED)
    town.until(lambda: town.status(second) == "on_scene")
    assert town.status(first) == "cancelled"

    cancel(town, second)
    town.until(lambda: town.incident(second)["cancel"] == "confirmed")
    assert town.callouts()[0]["status"] == "Responder Cancelled"


def test_fire_creates_its_own_when_burglary_is_open(town: Town) -> None:
    """Another kind of response shares nothing."""
    site = town.guarded_site()
    first, second = requested(town, site, "burglary"), requested(town, site, "fire")

    assert legs_of(town, first) != legs_of(town, second)
    assert len(town.creates("aura")) == 2


def test_panic_creates_its_own_when_callout_is_being_cancelled(town: Town) -> None:
    """A callout with a cancel on its way answers nobody else."""
    site = town.guarded_site()
    first = requested(town, site, "burglary")
    town.aura("_control", hang=[{"path": "*/cancel", "seconds": 0.5, "times": 1}])
    cancel(town, first)
    town.turn(Lane.INTAKE)

    second = town.site_alarm(site, "panic")
    town.until(lambda: town.status(second) == "requested" and town.status(first) == "cancelled")
    assert legs_of(town, first) != legs_of(town, second)


def test_panic_creates_its_own_when_open_callout_is_a_test(town: Town) -> None:
    """Nobody drives to a test."""
    site = town.guarded_site()
    first = town.site_alarm(site, "burglary", test=True)
    town.until(lambda: town.status(first) == "requested")
    second = requested(town, site, "panic")

    assert legs_of(town, first) != legs_of(town, second)


def test_panic_creates_its_own_when_callout_is_completed(town: Town) -> None:
    """The responder has left."""
    site = town.guarded_site()
    first = requested(town, site, "burglary")
    _step(town, COMPLETED)
    town.until(lambda: town.status(first) == "completed")
    second = requested(town, site, "panic")

    assert legs_of(town, first) != legs_of(town, second)


@pytest.mark.parametrize("end", [CANCELLED, COMPLETED, CLOSED])
def test_panic_creates_its_own_when_end_of_callout_was_not_seen(town: Town, end: str) -> None:
    """Our rows say that it is open; the read made for the join knows better."""
    site = town.guarded_site()
    first = requested(town, site, "burglary")
    town.aura("_control", webhooks="off")
    _step(town, end)
    second = requested(town, site, "panic")

    assert legs_of(town, first) != legs_of(town, second)


def test_join_is_given_up_when_response_ends_after_the_read(town: Town) -> None:
    """The end is worked between the read and the join: the panic gets a create of its own, not a dead callout."""
    site = town.guarded_site()
    first = requested(town, site, "burglary")
    second = town.site_alarm(site, "panic")
    town.turn(Lane.INTAKE)
    callout = town.callouts()[0]["id"]
    # The read is answered from before the end, and arrives after the end was worked.
    town.aura("_control", hang=[{"path": f"/panic-api/v2/callouts/{callout}", "seconds": 0.6, "work": "before"}])
    with another_worker(town, Lane.DISPATCH):
        await_request(town, "aura", "GET", f"/callouts/{callout}")
        _step(town, CANCELLED)
        town.until(lambda: town.status(first) == "cancelled", lanes=(Lane.INTAKE,))
    town.until(lambda: town.status(second) == "requested")

    assert legs_of(town, first) != legs_of(town, second)


@pytest.mark.parametrize("end", [CANCELLED, CLOSED])
def test_every_living_incident_gets_a_new_one_when_shared_callout_ends_early(town: Town, end: str) -> None:
    """Before arrival: each that is not cancelled; the old callout's later news move nobody."""
    first, second = _shared(town)
    third = town.site_alarm(town.one("SELECT site_ref FROM incident WHERE id = :i", i=first), "holdup")
    town.until(lambda: town.status(third) == "requested")
    cancel(town, third)
    town.until(lambda: town.incident(third)["cancel"] == "confirmed")

    _step(town, end)
    town.until(lambda: "requested_again" in town.events(first) and "requested_again" in town.events(second))
    town.until(lambda: town.status(first) == town.status(second) == "requested")
    assert len(town.creates("aura")) == 2, "they share the new one"
    assert legs_of(town, first)[-1] == legs_of(town, second)[-1] != legs_of(town, first)[0]
    assert town.status(third) == "cancelled"

    if end == CANCELLED:
        _step(town, CLOSED, 0)
        town.until(lambda: "closed" in town.events(first))
        town.settle()
        assert town.status(first) == town.status(second) == "requested"


def test_control_room_that_sends_everybody_away_is_not_asked_for_ever(town: Town) -> None:
    """Found by chaos: a few alarms at a site raised hundreds of callouts. Each raises one anew, then reads its end."""
    first, second = _shared(town)
    town.aura("_script", steps=[{"event": CANCELLED, "after_s": 0.2}])
    _step(town, CANCELLED)
    town.until(lambda: town.status(first) == town.status(second) == "cancelled", within_s=30)
    town.settle()

    assert len(town.creates("aura")) == 3


def test_nobody_gets_a_new_one_when_callout_ends_after_arrival(town: Town) -> None:
    """Somebody was there."""
    first, second = _shared(town)
    _step(town, ARRIVED)
    _step(town, CLOSED)
    town.until(lambda: town.status(first) == town.status(second) == "closed")
    town.settle()

    assert len(town.creates("aura")) == 1


def test_closed_by_a_person_stays_closed_when_shared_callout_ends_early(town: Town) -> None:
    """`closed` is final: the operator's word is not undone by what the provider does later."""
    first, second = _shared(town)
    town.post(f"/v1/incidents/{first}/close", {"by": "Ann Operator"})
    town.until(lambda: town.status(first) == "closed")
    _step(town, CANCELLED)
    town.until(lambda: "requested_again" in town.events(second))
    town.until(lambda: town.status(second) == "requested")

    assert town.status(first) == "closed"
    assert "requested_again" not in town.events(first)


def test_answer_with_an_open_callout_joins_it_when_provider_returns_the_existing_one(town: Town) -> None:
    """One callout per site at the provider: the id of another leg counts, since a read says that it is active."""
    town.aura("_control", return_existing=True)
    site = town.guarded_site()
    first, second = requested(town, site, "burglary"), requested(town, site, "fire")

    assert legs_of(town, first) == legs_of(town, second)
    assert len(town.callouts()) == 1


def test_alarm_fails_when_provider_returns_a_callout_that_is_being_cancelled(town: Town) -> None:
    """Joining it would be joining nobody: a person is told at once."""
    town.aura("_control", return_existing=True, fail=[{"path": "*/cancel", "status": 503}])
    site = town.guarded_site()
    first = requested(town, site, "burglary")
    cancel(town, first)
    town.turn(Lane.INTAKE)
    second = town.site_alarm(site, "panic")

    town.until(lambda: town.status(second) == "failed")
    town.until(lambda: [n for n in town.escalations() if n["incident_id"] == second and n["kind"] == "failed"])
