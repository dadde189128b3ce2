"""What a provider does moves the incident forward, is told once, and reaches the platform in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from deploy.embedded import Embedded
from deploy.sandbox.noonlight import sign
from shared.domain.lanes import Lane
from shared.domain.lifecycle import RANK, Status
from shared.providers.aura.mapping import WEBHOOKS
from shared.store.models import Incident, Platform, Timeline
from tests.integration.incident_stage import (
    ACKNOWLEDGED,
    ARRIVED,
    CANCELLED,
    CLOSED,
    COMPLETED,
    DISPATCHED,
    another_worker,
    await_request,
    await_that,
    calm,
    cancel,
    dispatched_home,
    requested,
)
from tests.town import QUICK, Town, open_town
from workers.services import following
from workers.services.ledger import Ledger


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK, aura_options={"eta_unit": "seconds"}) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    with open_for_all.sessions.begin() as session:
        session.get_one(Platform, "default").words = {}
    return open_for_all


def _step(town: Town, event: str, **more: Any) -> None:
    town.aura("_step", id=town.callouts()[0]["id"], event=event, **more)


def _told(town: Town, incident: str) -> list[dict[str, Any]]:
    return town.writebacks(town.incident(incident)["incident_ref"])


def test_every_step_is_written_back_when_a_responder_goes(town: Town) -> None:
    """From requested to closed, each with its word, the ETA where it is known, and `seq` without a gap."""
    incident = requested(town, town.guarded_site(), "burglary")
    for event in (DISPATCHED, ACKNOWLEDGED, ARRIVED, COMPLETED, CLOSED):
        _step(town, event, **({"eta": 240} if event == ACKNOWLEDGED else {}))
    town.until(lambda: town.status(incident) == "closed")
    town.settle()

    told = _told(town, incident)
    assert [body["seq"] for body in told] == list(range(1, len(told) + 1))
    badges = [body["word"] for body in told if body["event"] == body["status"] and body["word"]]
    assert badges == [
        "response requested",
        "response requested",
        "responder dispatched",
        "ETA",
        "responder on location",
        "response complete",
        "closed",
    ]
    assert [("eta" in body) for body in told if body["event"] == "acknowledged"] == [True]
    assert all(body["provider_alarm_id"] for body in told if body["event"] != "received")


def test_badge_stays_when_an_older_event_comes_late(town: Town) -> None:
    """An entry in the history, and nothing moves back."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_control", webhooks="off")
    town.noonlight("_step", id=alarm_id, event="alarm.psap_contacted")
    town.noonlight("_control", webhooks="normal")
    town.noonlight("_step", id=alarm_id, event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    late = town.noonlight("_state")["webhooks"][0]["body"].encode()
    _deliver(town, late)
    town.until(lambda: "authorities_contacted" in town.events(incident))
    town.settle()

    assert town.status(incident) == "closed"
    assert (_told(town, incident)[-1]["event"], _told(town, incident)[-1]["status"]) == (
        "authorities_contacted",
        "closed",
    )


def _deliver(town: Town, body: bytes) -> None:
    secret = town.sandbox.config.noonlight.webhook_secret
    headers = {"Content-Type": "application/json", "X-Noonlight-Signature": sign(secret, body)}
    assert requests.post(f"{town.url}/webhooks/noonlight", data=body, headers=headers, timeout=20).ok


def test_operator_reads_of_authorities_when_that_comes_after_the_cancel(town: Town) -> None:
    """Contacted before the cancel, told after it: responders may still come."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_control", webhooks="off")
    town.noonlight("_step", id=alarm_id, event="alarm.psap_contacted")
    cancel(town, incident, pin="4711")
    town.until(lambda: town.incident(incident)["cancel"] == "confirmed")
    _deliver(town, town.noonlight("_state")["webhooks"][0]["body"].encode())
    town.until(lambda: "authorities_contacted" in town.events(incident))
    town.settle()

    last = _told(town, incident)[-1]
    assert (last["status"], last["after_authorities"]) == ("cancelled", True)


def test_both_addresses_hear_when_the_provider_cancels_by_itself(town: Town) -> None:
    """A turn for the worse; the platform is down, so the escalation address is told."""
    incident, alarm_id = dispatched_home(town)
    town.settle()
    town.platform("_control", fail=[{"path": "/writebacks", "status": 503}])
    town.noonlight("_step", id=alarm_id, event="alarm.status.canceled")
    town.until(lambda: town.status(incident) == "cancelled")
    worse = "SELECT count(*) FROM outbox WHERE incident_id = :i AND worse AND state = 'pending'"
    assert town.one(worse, i=incident) == 1

    town.change("UPDATE outbox SET created_at = created_at - interval '31 s' WHERE worse AND state = 'pending'")
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "undelivered" and n["incident_id"] == incident])
    town.platform("_control", fail=[])
    town.until(lambda: town.one(worse, i=incident) == 0)
    assert not town.one("SELECT count(*) FROM notice WHERE ended_at IS NULL")


def test_only_a_read_replaces_when_a_responder_cancelled_and_another_goes(town: Town) -> None:
    """The webhook of the second dispatch moves nothing by itself; the read does, on a new epoch of the leg."""
    incident = requested(town, town.guarded_site(), "burglary")
    for event in (DISPATCHED, CANCELLED):
        _step(town, event)
    town.until(lambda: town.status(incident) == "cancelled")
    town.settle()
    _step(town, DISPATCHED)
    await_that(lambda: town.one("SELECT count(*) FROM inbox WHERE state = 'pending'"))
    town.turn(Lane.INTAKE)
    assert town.status(incident) == "cancelled"

    town.until(lambda: town.status(incident) == "dispatched")
    assert town.events(incident).count("responder_replaced") == 1
    assert town.one("SELECT epoch FROM dispatch WHERE incident_id = :i", i=incident) == 1
    _step(town, ARRIVED)
    town.until(lambda: town.status(incident) == "on_scene")
    assert len(town.creates("aura")) == 1


def test_old_copy_of_a_dispatch_replaces_nobody_when_the_response_is_cancelled(town: Town) -> None:
    """It rings a read, and the read says cancelled."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.aura("_control", webhooks="duplicate")
    for event in (DISPATCHED, CANCELLED):
        _step(town, event)
    town.until(lambda: town.status(incident) == "cancelled")
    town.settle()

    assert "responder_replaced" not in town.events(incident)
    assert town.events(incident).count("dispatched") == 1


def test_last_wish_is_read_when_it_came_during_a_read(town: Town) -> None:
    """What the read in flight has seen is older than the event: it is read once more."""
    incident = requested(town, town.guarded_site(), "burglary")
    for event in (DISPATCHED, CANCELLED):
        _step(town, event)
    town.until(lambda: town.status(incident) == "cancelled")
    town.settle()
    path = f"/panic-api/v2/callouts/{town.callouts()[0]['id']}"
    town.aura("_control", hang=[{"path": path, "seconds": 0.8, "work": "before", "times": 1}])
    town.change(
        "UPDATE inbox SET state = 'pending', lease_until = NULL WHERE id IN (SELECT max(id) FROM inbox WHERE "
        "source = 'webhook' AND id < (SELECT max(id) FROM inbox WHERE source = 'webhook'))"
    )
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.OUTGOING):
        await_request(town, "aura", "GET", path)
        _step(town, DISPATCHED)
        town.until(lambda: town.status(incident) == "dispatched", lanes=(Lane.INTAKE,))

    assert town.events(incident).count("responder_replaced") == 1


def test_note_comes_back_once_when_it_is_delivered(town: Town) -> None:
    """Delivered, with the operator as its source; the provider's echo of it is no second note."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    town.post(f"/v1/incidents/{incident}/notes", {"text": "Blue gate", "by": "Ann Operator"})
    town.until(lambda: "note_delivered" in town.events(incident))
    town.settle()

    told = [body["event"] for body in _told(town, incident)]
    assert told.count("note_delivered") == 1
    assert told.count("provider_event") == 1, "the provider says once that its messages changed, and not what"
    assert not any("Blue gate" in body["entry"] for body in _told(town, incident))


def test_note_is_reported_when_it_was_not_delivered(town: Town) -> None:
    """Refused by the provider."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    town.aura("_control", fail=[{"path": "*/events", "method": "POST", "status": 400}])
    town.post(f"/v1/incidents/{incident}/notes", {"text": "Blue gate", "by": "Ann Operator"})

    town.until(lambda: "note_not_delivered" in town.events(incident))


def test_word_is_the_platforms_own_when_it_has_one(town: Town) -> None:
    """And null where it wants a history entry only."""
    with town.sessions.begin() as session:
        session.get_one(Platform, "default").words = {"requested": "SENT", "authorities_contacted": None}
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_step", id=alarm_id, event="alarm.psap_contacted")
    town.until(lambda: town.status(incident) == "authorities_contacted")
    town.settle()

    words = {body["event"]: body["word"] for body in _told(town, incident)}
    assert (words["requested"], words["authorities_contacted"]) == ("SENT", None)


def _hold_first(town: Town, incident: str) -> None:
    """As if the platform had refused the first write-back for hours to come."""
    town.change(
        "UPDATE outbox SET state = 'pending', next_attempt_at = now() + interval '1 h' WHERE incident_id = :i "
        "AND seq = 1",
        i=incident,
    )


def test_write_back_waits_when_its_predecessor_is_undelivered(town: Town) -> None:
    """60 s at most; then a later one passes."""
    incident, alarm_id = dispatched_home(town)
    town.settle()
    _hold_first(town, incident)
    town.noonlight("_step", id=alarm_id, event="alarm.psap_contacted")
    town.until(lambda: town.status(incident) == "authorities_contacted")
    town.settle()
    assert "authorities_contacted" not in [body["event"] for body in _told(town, incident)]

    town.change("UPDATE outbox SET created_at = created_at - interval '61 s' WHERE incident_id = :i", i=incident)
    town.until(lambda: "authorities_contacted" in [body["event"] for body in _told(town, incident)])


def test_cancel_passes_when_a_predecessor_is_undelivered(town: Town) -> None:
    """It waits for nothing."""
    incident, _ = dispatched_home(town)
    town.settle()
    _hold_first(town, incident)
    cancel(town, incident, pin="4711")

    town.until(lambda: "cancelled" in [body["event"] for body in _told(town, incident)])


def test_dead_write_back_blocks_nothing(town: Town) -> None:
    """Refused for good: told once, and those behind it go."""
    town.platform("_control", fail=[{"path": "/writebacks", "status": 410, "times": 1}])
    incident, _ = dispatched_home(town)
    town.settle()

    told = _told(town, incident)
    assert town.one("SELECT state FROM outbox WHERE incident_id = :i AND seq = 1", i=incident) == "dead"
    assert [body["seq"] for body in told] == list(range(2, len(told) + 2))
    assert town.one("SELECT count(*) FROM notice WHERE kind = 'writeback_dead' AND ended_at IS NULL") == 1


SITE_EVENTS = ("NEW_CALLOUT", "CALLOUT_OWNED", DISPATCHED, ACKNOWLEDGED, ARRIVED, COMPLETED, CANCELLED, CLOSED)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from(SITE_EVENTS), min_size=1, max_size=20))
def test_history_is_complete_when_events_come_in_any_order(open_for_all: Town, order: list[str]) -> None:
    """Through the work itself, with any repetition: each event told once, and the badge furthest along."""
    leg_id, incident_id = _open_leg(open_for_all)
    with open_for_all.sessions() as session:
        book = Ledger(session, open_for_all.deps)
        for name in order:
            status, entry = WEBHOOKS[name]
            following.follow(book, leg_id, following.Step(name, status, entry, f"any:{name}", "aura"))
        book.close()
        told = session.scalars(
            select(Timeline.effect).where(Timeline.incident_id == incident_id, Timeline.effect.startswith("any:"))
        ).all()
        badge = session.get_one(Incident, incident_id).status
        session.rollback()

    assert sorted(told, key=str) == sorted({f"any:{name}" for name in order})
    ranks = [RANK[status] for status, _ in (WEBHOOKS[name] for name in order) if status is not None]
    assert RANK[Status(badge)] == max([RANK[Status.REQUESTED], *ranks])


def _open_leg(town: Town) -> tuple[int, str]:
    found = town.rows(
        "SELECT id, incident_id FROM dispatch WHERE outcome = 'accepted' AND status = 'requested' LIMIT 1"
    )
    if not found:
        requested(town, town.guarded_site(), "burglary")
        return _open_leg(town)
    return int(found[0][0]), str(found[0][1])
