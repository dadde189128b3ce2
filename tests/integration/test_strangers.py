"""Events of an id that nobody knows yet, or ever: parked, matched when the id is learnt, at last shown as unmatched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.store.models import Leg
from tests.integration.incident_stage import (
    DISPATCHED,
    another_worker,
    await_request,
    await_that,
    calm,
    dispatched_home,
    requested,
)
from tests.town import QUICK, Town, open_town
from workers.engine import Engine
from workers.services import intake, legs
from workers.services.ledger import Ledger

CREATE = "/dispatch/v1/alarms"


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    return open_for_all


def _aura_event(town: Town, callout: str | int, event: str) -> None:
    headers = {"Authorization": f"Bearer {town.sandbox.config.aura.webhook_secret}"}
    body = {"message": event, "callout": {"id": callout}}
    assert requests.post(f"{town.url}/webhooks/aura", json=body, headers=headers, timeout=20).status_code == 200


def _inbox(town: Town, subject: str) -> list[str]:
    return [row[0] for row in town.rows("SELECT state FROM inbox WHERE subject = :s ORDER BY id", s=subject)]


def _notices(town: Town) -> list[str]:
    return [row[0] for row in town.rows("SELECT kind FROM notice WHERE ended_at IS NULL")]


def test_early_event_is_told_when_its_id_becomes_known(town: Town) -> None:
    """The first webhook of a Noonlight alarm before the answer to its create."""
    town.noonlight("_control", webhooks="early")
    with another_worker(town, Lane.INTAKE):
        incident = town.alarm("burglary")
        town.until(lambda: town.status(incident) == "authorities_contacted", lanes=(Lane.DISPATCH,))
    town.settle()

    events = town.events(incident)
    assert events.index("requested") < events.index("authorities_contacted")
    assert events.count("authorities_contacted") == 1
    assert _notices(town) == []


def test_early_event_is_told_once_when_its_copies_were_parked_apart(town: Town) -> None:
    """AURA numbers nothing: equal bodies parked one by one all come back, and tell their step once."""
    site = town.guarded_site()
    town.aura("_control", hang=[{"path": "*/callouts", "seconds": 0.8, "work": "before", "times": 1}])
    incident = town.site_alarm(site)
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.DISPATCH):
        await_request(town, "aura", "POST", "/callouts")
        callout = str(await_that(town.callouts)[0]["id"])
        for _ in range(3):
            _aura_event(town, callout, DISPATCHED)
            town.turn(Lane.INTAKE)
        assert set(_inbox(town, callout)) == {"parked"}
        _aura_event(town, callout, DISPATCHED)
        await_that(lambda: town.status(incident) == "requested")
    town.until(lambda: town.status(incident) == "dispatched")
    town.settle()

    assert set(_inbox(town, callout)) == {"done"}
    assert town.events(incident).count("dispatched") == 1


def test_stranger_is_shown_once_when_nobody_learns_its_id(town: Town) -> None:
    """Parked for 15 minutes, then unmatched, never discarded; one notice, however many events."""
    stranger = uuid4().hex[:12]
    for event in (DISPATCHED, "CALLOUT_CLOSED"):
        _aura_event(town, stranger, event)
    town.turn(Lane.INTAKE)
    assert _inbox(town, stranger) == ["parked", "parked"]
    _attend(town)
    assert _inbox(town, stranger) == ["parked", "parked"]

    town.change("UPDATE inbox SET received_at = now() - interval '16 min' WHERE subject = :s", s=stranger)
    _attend(town)
    assert _inbox(town, stranger) == ["unmatched", "unmatched"]
    _aura_event(town, stranger, "CALLOUT_OWNED")
    town.settle()
    town.change("UPDATE inbox SET received_at = now() - interval '16 min' WHERE subject = :s", s=stranger)
    _attend(town)
    _attend(town)
    assert _notices(town) == ["stranger"]
    town.settle()
    assert [(n["kind"], n["told"]) for n in town.escalations()] == [("stranger", 1)]


def test_events_given_up_as_unmatched_are_told_when_their_id_is_learnt_after_all(town: Town) -> None:
    """Found by chaos: a look-up that found the callout too late left what had been told of it on no timeline."""
    site = town.guarded_site()
    town.aura("_control", webhooks="off", drop_answer=[{"path": "*/callouts", "times": 1}])
    incident = town.site_alarm(site)
    town.turn(Lane.INTAKE)
    town.turn(Lane.DISPATCH)
    callout = str(await_that(town.callouts)[0]["id"])
    _aura_event(town, callout, DISPATCHED)
    town.turn(Lane.INTAKE)
    town.change("UPDATE inbox SET received_at = now() - interval '16 min' WHERE subject = :s", s=callout)
    _attend(town)
    assert _inbox(town, callout) == ["unmatched"]

    town.until(lambda: town.status(incident) == "dispatched")
    assert _inbox(town, callout) == ["done"]


def _attend(town: Town) -> None:
    town.change("UPDATE job SET next_run_at = now()")
    town.turn(Lane.PERIODIC)


def test_parked_twins_are_matched_when_the_watch_finds_their_id(town: Town) -> None:
    """The id was learnt by somebody who did not look for strangers."""
    site = town.guarded_site()
    incident = requested(town, site, "burglary")
    callout = str(town.callouts()[0]["id"])
    town.settle()
    for _ in range(2):
        _aura_event(town, callout, DISPATCHED)
        town.change("UPDATE inbox SET state = 'parked' WHERE subject = :s AND state = 'pending'", s=callout)
    _aura_event(town, callout, DISPATCHED)
    _attend(town)
    town.until(lambda: town.status(incident) == "dispatched")

    assert town.events(incident).count("dispatched") == 1
    assert set(_inbox(town, callout)) == {"done"}


def test_person_is_told_at_once_when_a_stranger_appears_during_a_doubt(town: Town) -> None:
    """It may be the alarm whose answer was lost."""
    town.noonlight("_control", drop_answer=[{"path": CREATE, "times": 1}])
    incident = town.alarm("burglary")
    town.until(lambda: town.status(incident) == "unconfirmed")
    town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.psap_contacted")

    town.until(lambda: "stranger" in _notices(town))
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "stranger" and n["incident_id"] == incident])


def test_event_is_never_lost_when_parking_races_with_accepting(town: Town) -> None:
    """Both at once, thirty times: whoever comes second finds the other."""
    for number in range(30):
        town.noonlight("_control", webhooks="off")
        incident, alarm_id = dispatched_home(town)
        _forget_the_id(town, incident, alarm_id)
        town.noonlight("_control", webhooks="normal")
        town.noonlight("_step", id=alarm_id, event="alarm.psap_contacted")
        await_that(lambda: _inbox(town, alarm_id) == ["pending"])  # noqa: B023 - awaited in this turn
        start = threading.Barrier(2)
        threads = [
            threading.Thread(target=_at_once, args=(start, lambda: intake.work_batch(town.deps))),
            threading.Thread(target=_at_once, args=(start, lambda: _learn_the_id(town, incident, alarm_id))),  # noqa: B023
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        town.turn(Lane.INTAKE)
        assert _inbox(town, alarm_id) == ["done"], number
        assert town.events(incident).count("authorities_contacted") == 1, number


def _at_once(start: threading.Barrier, work: Callable[[], object]) -> None:
    start.wait()
    work()


def _forget_the_id(town: Town, incident: str, alarm_id: str) -> None:
    """As it was before the answer."""
    town.settle()
    town.change(
        "UPDATE dispatch SET outcome = 'sending', provider_alarm_id = NULL, status = NULL WHERE provider_alarm_id = :a",
        a=alarm_id,
    )
    town.change("DELETE FROM timeline WHERE incident_id = :i AND effect LIKE 'leg:%'", i=incident)
    town.change("UPDATE incident SET status = 'requesting' WHERE id = :i", i=incident)


def _learn_the_id(town: Town, incident: str, alarm_id: str) -> None:
    with town.sessions.begin() as session:
        book = Ledger(session, town.deps)
        row = book.incident(incident)
        leg = legs.live_leg(session, incident)
        assert isinstance(leg, Leg)
        legs.accept(book, leg, row, alarm_id, how="Response requested")


def test_batch_is_worked_when_two_workers_share_the_inbox(town: Town) -> None:
    """Events of one alarm never overtake one another between two drainers."""
    incident, alarm_id = dispatched_home(town)
    events = ["alarm.psap_contacted"] * 20 + ["alarm.closed"]
    for event in events:
        town.noonlight("_step", id=alarm_id, event=event)
    engines = [Engine(town.deps, Lane.INTAKE, 4) for _ in range(2)]
    while town.status(incident) != "closed":
        threads = [threading.Thread(target=engine.drain_lane) for engine in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    told = [event for event in town.events(incident) if event in ("authorities_contacted", "closed")]
    assert told == ["authorities_contacted"] * 20 + ["closed"]
