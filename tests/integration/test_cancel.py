"""Cancel: what is valid stops everything that can be stopped, what is not stops nothing, and both are said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.store.keys import create_key
from tests.integration.incident_stage import (
    CANCELLED,
    another_worker,
    await_request,
    await_that,
    calm,
    cancel,
    dispatched_home,
    legs_of,
    requested,
)
from tests.town import QUICK, Town, open_town

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


def _cancel_state(town: Town, incident: str) -> str | None:
    found: str | None = town.one("SELECT cancel FROM incident WHERE id = :i", i=incident)
    return found


def _panel_key(town: Town, site: str) -> str:
    with town.sessions.begin() as session:
        _, key = create_key(session, "default", f"panel of {site}", ["panel"], site_ref=site)
    return key


def test_nothing_is_sent_when_cancel_is_worked_with_the_alarm(town: Town) -> None:
    """Both in the inbox: the alarm reads cancelled, and the provider never hears of it."""
    incident = town.alarm("burglary")
    cancel(town, incident, pin="4711")
    town.until(lambda: town.status(incident) == "cancelled")
    town.settle()

    assert town.creates() == []
    assert _cancel_state(town, incident) == "confirmed"


def test_create_waits_when_cancel_is_still_in_the_inbox(town: Town) -> None:
    """The alarm is worked, its cancel is not yet: the create is held until it is."""
    incident = town.alarm("burglary")
    town.turn(Lane.INTAKE)
    cancel(town, incident, pin="4711")
    town.turn(Lane.DISPATCH)
    assert town.creates() == []

    town.until(lambda: town.status(incident) == "cancelled")
    assert town.creates() == []


def test_create_goes_on_at_once_when_waiting_cancel_is_refused(town: Town) -> None:
    """A wrong PIN stops nothing, and holds nothing up any longer."""
    incident = town.alarm("burglary")
    town.turn(Lane.INTAKE)
    cancel(town, incident, pin="0000")
    town.turn(Lane.DISPATCH)
    town.turn(Lane.INTAKE)
    town.turn(Lane.DISPATCH)

    assert town.status(incident) == "requested"
    assert _cancel_state(town, incident) == "refused"
    assert "cancel_refused" in town.events(incident)


def test_response_goes_on_when_pin_is_wrong(town: Town) -> None:
    """The operator reads that it was refused; the right PIN still works."""
    incident, _ = dispatched_home(town)
    cancel(town, incident, pin="0000")
    town.until(lambda: _cancel_state(town, incident) == "refused")
    assert town.alarms()[0]["status"] == "ACTIVE"

    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    assert town.alarms()[0]["status"] == "CANCELED"


def test_cancel_without_pin_is_refused_when_platform_requires_it(town: Town) -> None:
    """The policy of the platform."""
    town.policy(pin="required")
    incident, _ = dispatched_home(town)
    cancel(town, incident)
    town.until(lambda: _cancel_state(town, incident) == "refused")

    assert town.alarms()[0]["status"] == "ACTIVE"


def test_panel_cancels_burglary_when_it_is_its_own(town: Town) -> None:
    """Somebody disarmed."""
    site = town.guarded_site()
    incident = requested(town, site, "burglary")
    cancel(town, incident, _panel_key(town, site))
    town.until(lambda: _cancel_state(town, incident) == "confirmed")

    assert town.callouts()[0]["status"] == "Responder Cancelled"


@pytest.mark.parametrize("kind", ["panic", "duress", "holdup"])
def test_panel_never_cancels_when_a_person_asked_for_help(town: Town, kind: str) -> None:
    """Whoever holds the panel may be the reason."""
    site = town.guarded_site()
    incident = requested(town, site, kind)
    cancel(town, incident, _panel_key(town, site))
    town.until(lambda: _cancel_state(town, incident) == "refused")
    town.settle()

    assert town.callouts()[0]["status"] == "created"


def test_cancel_is_sent_when_the_id_becomes_known(town: Town) -> None:
    """Asked while the create is in flight."""
    town.noonlight("_control", latency_ms=400)
    incident = town.alarm("burglary")
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.DISPATCH):
        await_that(lambda: town.one("SELECT outcome FROM dispatch WHERE incident_id = :i", i=incident) == "sending")
        cancel(town, incident, pin="4711")
        town.turn(Lane.INTAKE)
        assert _cancel_state(town, incident) == "requested"
        await_that(lambda: _cancel_state(town, incident) == "confirmed")

    assert [alarm["status"] for alarm in town.alarms()] == ["CANCELED"]
    assert town.status(incident) == "cancelled"


def test_operator_reads_the_phone_when_unknown_alarm_cannot_be_cancelled(town: Town) -> None:
    """15 s after the wish; said once, and nothing is claimed to be cancelled."""
    town.noonlight("_control", drop_answer=[{"path": CREATE, "times": 1}])
    incident = town.alarm("burglary")
    town.until(lambda: town.status(incident) == "unconfirmed")
    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "requested")
    assert "cancel_impossible" not in town.events(incident)

    _asked_long_ago(town, incident)
    town.until(lambda: "cancel_impossible" in town.events(incident), lanes=(Lane.PERIODIC,))
    ref = town.incident(incident)["incident_ref"]
    told = town.until(lambda: [w for w in town.writebacks(ref) if w["event"] == "cancel_impossible"])
    assert "+1 555 0100" in told[0]["entry"]
    assert town.events(incident).count("cancel_impossible") == 1
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "cancel_impossible"])


def _asked_long_ago(town: Town, incident: str) -> None:
    town.change(
        "UPDATE incident SET moments = jsonb_set(moments, '{cancel_requested}', to_jsonb(now() - interval '16 s')) "
        "WHERE id = :i",
        i=incident,
    )
    town.change("UPDATE job SET next_run_at = now()")


def test_late_id_is_cancelled_when_cancel_could_not_be_sent(town: Town) -> None:
    """The answer comes after its lease was lost: the alarm that it names is stopped."""
    town.noonlight("_control", hang=[{"path": CREATE, "seconds": 1.0, "work": "before", "times": 1}])
    incident = town.alarm("burglary")
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.DISPATCH):
        await_request(town, "noonlight", "POST", "/alarms")
        # Another owner took the row meanwhile and found the request in doubt.
        town.change("UPDATE outbox SET lease_until = now() - interval '1 s' WHERE incident_id = :i", i=incident)
        with another_worker(town, Lane.DISPATCH):
            await_that(lambda: town.status(incident) == "unconfirmed")
            cancel(town, incident, pin="4711")
            town.turn(Lane.INTAKE)
            await_that(lambda: _cancel_state(town, incident) == "confirmed")

    assert [alarm["status"] for alarm in town.alarms()] == ["CANCELED"]


def test_late_id_of_doubtful_request_is_cancelled_when_cancel_was_confirmed(town: Town) -> None:
    """Nothing seemed to stand at the provider; what turns up is stopped, and the operator reads of it."""
    hang = {"path": CREATE, "seconds": 1.5, "work": "before", "times": 1}
    town.noonlight("_control", hang=[hang])
    incident = town.alarm("panic")
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.DISPATCH):
        await_request(town, "noonlight", "POST", "/alarms")
        town.change("UPDATE outbox SET lease_until = now() - interval '1 s' WHERE incident_id = :i", i=incident)
        with another_worker(town, Lane.DISPATCH):
            await_that(lambda: "resent" in town.events(incident))
            cancel(town, incident, pin="4711")
            town.turn(Lane.INTAKE)
            await_that(lambda: town.alarms()[0]["status"] == "CANCELED")
    town.settle()

    assert _cancel_state(town, incident) == "confirmed"
    assert town.status(incident) == "cancelled"


def test_refused_cancel_is_told_and_can_be_asked_again_when_provider_refuses(town: Town) -> None:
    """Refused by the provider: it forbids nothing, both addresses hear of it, and the next wish is sent."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_control", fail=[{"path": f"{CREATE}/{alarm_id}/status", "status": 422, "body": "", "times": 1}])
    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "refused")
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "cancel_refused"])
    assert town.status(incident) == "requested"

    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    assert town.alarms()[0]["status"] == "CANCELED"
    assert not town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=incident)


def test_cancel_says_so_when_authorities_were_contacted(town: Town) -> None:
    """Responders may come all the same."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_step", id=alarm_id, event="alarm.psap_contacted")
    town.until(lambda: town.status(incident) == "authorities_contacted")
    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    town.settle()

    last = town.writebacks(town.incident(incident)["incident_ref"])[-1]
    assert last["after_authorities"] is True
    assert "may still come" in last["entry"]


def test_cancel_is_confirmed_when_provider_had_cancelled_already(town: Town) -> None:
    """Cancelled there with the webhooks off."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_control", webhooks="off")
    town.noonlight("_step", id=alarm_id, event="alarm.status.canceled")
    cancel(town, incident, pin="4711")

    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    assert town.status(incident) == "cancelled"


def test_aura_cancel_is_confirmed_by_a_read_when_no_event_comes(town: Town) -> None:
    """The 200 of the cancel itself confirms nothing."""
    site = town.guarded_site()
    incident = requested(town, site, "burglary")
    town.settle()
    town.aura("_control", webhooks="off")
    cancel(town, incident)
    town.turn(Lane.INTAKE)
    town.turn(Lane.DISPATCH)
    assert _cancel_state(town, incident) == "requested"

    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    assert town.status(incident) == "cancelled"


def test_aura_cancel_is_confirmed_by_its_event_when_that_overtakes_the_answer(town: Town) -> None:
    """No further read is made, and no notice doubts what is settled."""
    site = town.guarded_site()
    incident = requested(town, site, "burglary")
    town.settle()
    cancel(town, incident)
    town.turn(Lane.INTAKE)
    town.aura("_control", hang=[{"path": "*/cancel", "seconds": 0.5, "work": "before", "times": 1}])
    with another_worker(town, Lane.DISPATCH):
        await_request(town, "aura", "POST", "/cancel")
        town.until(lambda: _cancel_state(town, incident) == "confirmed", lanes=(Lane.INTAKE,))
        await_that(
            lambda: (
                town.one("SELECT state FROM outbox WHERE incident_id = :i AND kind = 'cancel'", i=incident) == "done"
            )
        )
    town.settle()

    leg = "SELECT d.cancel FROM dispatch d JOIN incident_leg l ON l.leg_id = d.id WHERE l.incident_id = :i"
    assert town.one(leg, i=incident) == "confirmed"
    assert town.rows("SELECT 1 FROM outbox WHERE kind = 'read' AND state = 'pending'") == []


def test_provider_is_asked_once_when_cancel_is_asked_twice(town: Town) -> None:
    """The second wish changes nothing."""
    incident, alarm_id = dispatched_home(town)
    cancel(town, incident, pin="4711")
    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    cancel(town, incident, pin="4711")
    town.settle()

    posts = [e for e in town.noonlight("_log") if e["method"] == "POST" and e["path"].endswith(f"{alarm_id}/status")]
    assert len(posts) == 1
    assert town.events(incident).count("cancelled") == 1


def test_cancel_reads_too_late_when_incident_is_closed(town: Town) -> None:
    """It is over; a resend after it is forbidden all the same."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_step", id=alarm_id, event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    cancel(town, incident)
    town.until(lambda: _cancel_state(town, incident) == "too_late")
    assert "cancel_too_late" in town.events(incident)

    town.post(f"/v1/incidents/{incident}/resend", {"by": "Ann Operator"})
    town.until(lambda: "resend_refused" in town.events(incident))
    assert len(town.creates()) == 1


def test_resend_is_refused_when_a_valid_cancel_came_first(town: Town) -> None:
    """In the inbox together, and after."""
    incident = town.alarm("burglary")
    town.settle()
    cancel(town, incident, pin="4711")
    town.post(f"/v1/incidents/{incident}/resend", {"by": "Ann Operator"})
    town.until(lambda: "resend_refused" in town.events(incident))
    town.until(lambda: _cancel_state(town, incident) == "confirmed")

    assert len(town.creates()) == 1


def test_cancel_with_pin_reads_too_late_when_the_pins_were_wiped(town: Town) -> None:
    """Found by chaos: it read "the alarm carries none", of an alarm that had carried this very PIN."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_step", id=alarm_id, event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "too_late")
    assert "cancel_refused" not in town.events(incident)


def test_cancel_is_too_late_when_provider_closes_before_taking_it(town: Town) -> None:
    """Closed while the cancel waits for a provider that refuses everything."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_control", fail=[{"path": f"{CREATE}/{alarm_id}/status", "status": 503, "body": ""}])
    cancel(town, incident, pin="4711")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.noonlight("_step", id=alarm_id, event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")

    assert _cancel_state(town, incident) == "too_late"


def test_incident_is_cancelled_when_provider_cancels_while_ours_is_on_its_way(town: Town) -> None:
    """Both want the same."""
    site = town.guarded_site()
    incident = requested(town, site, "burglary")
    town.aura("_control", fail=[{"path": "*/cancel", "status": 429, "body": "", "times": 1}])
    cancel(town, incident)
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.aura("_step", id=legs_of(town, incident)[0], event=CANCELLED)

    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    assert town.status(incident) == "cancelled"


def test_person_is_told_when_provider_does_not_confirm_the_cancel(town: Town) -> None:
    """Refused credentials may pass; after 30 s somebody should know that responders may still come."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_control", fail=[{"path": f"{CREATE}/{alarm_id}/status", "status": 403, "body": "", "times": 1}])
    cancel(town, incident, pin="4711")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.change(
        "UPDATE incident SET moments = jsonb_set(moments, '{cancel_requested}', to_jsonb(now() - interval '31 s')) "
        "WHERE id = :i",
        i=incident,
    )
    town.change("UPDATE job SET next_run_at = now()")
    town.turn(Lane.PERIODIC)
    open_notices = "SELECT kind FROM notice WHERE incident_id = :i AND ended_at IS NULL"
    assert town.one(open_notices, i=incident) == "cancel_unconfirmed"

    town.until(lambda: _cancel_state(town, incident) == "confirmed")
    assert town.one(open_notices, i=incident) is None


def test_operator_reads_of_the_doubt_when_cancel_finds_only_an_earlier_request(town: Town) -> None:
    """A panic in doubt waits to be sent again; the cancel stops that, and does not claim that nothing was sent."""
    refuse = {"path": CREATE, "status": 429, "headers": {"Retry-After": "9"}, "body": ""}
    town.noonlight("_control", drop_answer=[{"path": CREATE, "times": 1}])
    incident = town.alarm("panic")
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.DISPATCH):
        await_that(lambda: "resent" in town.events(incident))
        town.noonlight("_control", fail=[refuse])
        cancel(town, incident, pin="4711")
        town.turn(Lane.INTAKE)
        await_that(lambda: _cancel_state(town, incident) == "confirmed")
    town.settle()

    told = [w for w in town.writebacks(town.incident(incident)["incident_ref"]) if w["event"] == "cancelled"]
    assert "may have arrived" in told[0]["entry"]
    assert "+1 555 0100" in told[0]["entry"]
    assert len(town.alarms()) == 1
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "cancel_impossible"])


def test_cancel_without_pin_stops_the_response_when_the_pin_is_optional(town: Town) -> None:
    """The provider is given the alarm's own, which it asks for."""
    incident, _ = dispatched_home(town)
    cancel(town, incident)
    town.until(lambda: _cancel_state(town, incident) == "confirmed")

    assert town.alarms()[0]["status"] == "CANCELED"


def test_cancel_with_pin_stops_the_response_when_the_platform_requires_it(town: Town) -> None:
    """As the operator asked for it."""
    town.policy(pin="required")
    incident, _ = dispatched_home(town)
    cancel(town, incident, pin="4711")
    town.until(lambda: _cancel_state(town, incident) == "confirmed")

    assert town.alarms()[0]["status"] == "CANCELED"
