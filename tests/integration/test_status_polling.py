"""Open alarms are followed without webhooks: by the clock, no faster than agreed, and only until they are closed."""

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
    await_that,
    calm,
    cancel,
    dispatched_home,
    legs_of,
    requested,
)
from tests.town import QUICK, Town, open_town
from workers.services import watching

ACTIVE = "/panic-api/v2/callouts/activeCallouts"
NEVER_HEARD = "UPDATE provider_account SET webhook_seen_at = NULL, unheard_steps = 0, unheard_at = NULL, poll_at = NULL"


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without open alarms, and with its webhooks off."""
    calm(open_for_all)
    open_for_all.change("UPDATE dispatch SET poll_at = NULL")
    open_for_all.change(NEVER_HEARD)
    for provider in (open_for_all.aura, open_for_all.noonlight):
        provider("_control", webhooks="off")
    return open_for_all


def _step(town: Town, incident: str, event: str) -> None:
    town.aura("_step", id=int(legs_of(town, incident)[-1]), event=event)


def _reads(town: Town, path_end: str, provider: str = "aura") -> int:
    log = getattr(town, provider)("_log")
    return sum(entry["method"] == "GET" and entry["path"].endswith(path_end) for entry in log)


def _found(town: Town, incident: str) -> list[str]:
    return [
        entry["event"]
        for entry in town.incident(incident)["timeline"]
        if (entry["detail"] or {}).get("found_by") == "poll"
    ]


def _notices(town: Town, kind: str) -> int:
    return int(town.one("SELECT count(*) FROM notice WHERE kind = :k AND ended_at IS NULL", k=kind))


def _open_notices(town: Town, kind: str) -> int:
    """After the duty has looked."""
    watching.begin(town.deps)
    return _notices(town, kind)


def _next_poll_s(town: Town, incident: str) -> float:
    return float(
        town.one("SELECT extract(epoch FROM poll_at - now()) FROM dispatch WHERE incident_id = :i", i=incident)
    )


def test_whole_life_is_followed_when_webhooks_are_off(town: Town) -> None:
    """Requested to closed, each step once, marked as found, counted, written back; nothing is asked after the close."""
    before = town.one("SELECT polled_steps FROM provider_account WHERE id = 'aura'")
    incident = requested(town, town.guarded_site(), "burglary")
    for event, status in ((DISPATCHED, "dispatched"), (ARRIVED, "on_scene"), (COMPLETED, "completed")):
        _step(town, incident, event)
        town.poll()
        assert town.status(incident) == status
    _step(town, incident, CLOSED)
    town.poll()

    assert town.status(incident) == "closed"
    assert _found(town, incident) == ["dispatched", "on_scene", "completed", "closed"]
    assert town.one("SELECT polled_steps FROM provider_account WHERE id = 'aura'") == before + 4
    told = [body["event"] for body in town.writebacks(town.incident(incident)["incident_ref"])]
    assert told[-4:] == ["dispatched", "on_scene", "completed", "closed"]
    calls = len(town.aura("_log"))
    town.poll()
    assert len(town.aura("_log")) == calls
    assert town.one("SELECT poll_at FROM dispatch WHERE incident_id = :i", i=incident) is None


def test_one_list_serves_all_when_many_are_open(town: Town) -> None:
    """Single reads only of what moved; the message streams of all."""
    incidents = [requested(town, town.guarded_site(), "burglary") for _ in range(4)]
    town.settle()
    _step(town, incidents[0], DISPATCHED)
    moved = f"/callouts/{legs_of(town, incidents[0])[0]}"
    town.poll()

    assert _reads(town, ACTIVE) == 1
    singles = [
        entry["path"]
        for entry in town.aura("_log")
        if entry["method"] == "GET" and entry["path"].rpartition("/")[2].isdecimal()
    ]
    assert [path.endswith(moved) for path in singles] == [True]
    assert _reads(town, "/events") == 4


def test_every_open_alarm_is_read_when_the_list_is_refused(town: Town) -> None:
    """Nothing is concluded from a list that did not come."""
    incident = requested(town, town.guarded_site(), "burglary")
    _step(town, incident, DISPATCHED)
    town.aura("_control", fail=[{"path": ACTIVE, "status": 500, "times": 1}])
    town.poll()

    assert town.status(incident) == "dispatched"


def test_closed_is_read_when_the_answer_is_285(town: Town) -> None:
    """The custom status of a callout that is over, with its latest state."""
    incident = requested(town, town.guarded_site(), "burglary")
    callout = legs_of(town, incident)[0]
    body = f'{{"message": "closed", "callout": {{"id": {callout}, "status": "Closed"}}}}'
    _step(town, incident, CLOSED)
    town.aura("_control", fail=[{"path": f"*/callouts/{callout}", "status": 285, "body": body, "times": 1}])
    town.poll()

    assert town.status(incident) == "closed"


def test_responder_is_replaced_when_only_polls_tell(town: Town) -> None:
    """The list shows a dispatch after a cancelled response; the read of it is a named transition."""
    incident = requested(town, town.guarded_site(), "burglary")
    for event in (DISPATCHED, CANCELLED):
        _step(town, incident, event)
        town.poll()
    assert town.status(incident) == "cancelled"
    _step(town, incident, DISPATCHED)
    town.poll()

    assert town.status(incident) == "dispatched"
    assert _found(town, incident)[-1] == "responder_replaced"


@pytest.mark.parametrize(
    ("age", "webhook", "least", "most"),
    [("1 s", None, 20, 22), ("1 s", "5 s", 60, 66), ("1 s", "70 s", 20, 22), ("3 h", None, 300, 330)],
)
def test_next_poll_keeps_its_distance(town: Town, age: str, webhook: str | None, least: int, most: int) -> None:
    """20 s without webhooks, 60 s with them, 5 min after 2 h; jitter only lengthens."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.change(
        "UPDATE dispatch SET answered_at = now() - CAST(:a AS interval) WHERE incident_id = :i", a=age, i=incident
    )
    town.change("UPDATE provider_account SET webhook_seen_at = now() - CAST(:w AS interval)", w=webhook)
    town.poll()

    assert least - 3 < _next_poll_s(town, incident) <= most


def test_list_is_not_read_again_when_it_was_just_read(town: Town) -> None:
    """An alarm that falls due between two turns waits for the account's next list."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.poll()
    town.change("UPDATE dispatch SET poll_at = now() WHERE incident_id = :i", i=incident)
    watching.begin(town.deps)
    town.settle()

    assert _reads(town, ACTIVE) == 1


def test_person_is_told_once_when_a_response_is_open_for_a_day(town: Town) -> None:
    """And polling goes on; the notice ends with the close."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.change("UPDATE dispatch SET answered_at = now() - interval '25 h' WHERE incident_id = :i", i=incident)
    for _ in range(2):
        town.poll()
    assert _notices(town, "still_open") == 1
    _step(town, incident, CLOSED)
    town.poll()
    assert _open_notices(town, "still_open") == 0


def test_one_notice_when_webhooks_that_worked_are_lost(town: Town) -> None:
    """Three steps in a row that none told; a webhook that arrives ends it."""
    town.change("UPDATE provider_account SET webhook_seen_at = now() - interval '10 min' WHERE id = 'aura'")
    incident = requested(town, town.guarded_site(), "burglary")
    for event in (DISPATCHED, ARRIVED):
        _step(town, incident, event)
        town.poll()
    assert _notices(town, "webhooks_lost") == 0
    for event in (COMPLETED, CLOSED):
        _step(town, incident, event)
        town.poll()
    assert _notices(town, "webhooks_lost") == 1

    town.change("UPDATE provider_account SET webhook_seen_at = clock_timestamp() WHERE id = 'aura'")
    assert _open_notices(town, "webhooks_lost") == 0


def test_nobody_is_told_of_lost_webhooks_when_there_never_were_any(town: Town) -> None:
    """An account that is followed by polling only."""
    incident = requested(town, town.guarded_site(), "burglary")
    for event in (DISPATCHED, ARRIVED, COMPLETED, CLOSED):
        _step(town, incident, event)
        town.poll()

    assert _notices(town, "webhooks_lost") == 0


def test_cancelled_home_is_seen_when_webhooks_are_off(town: Town) -> None:
    """The status is all that can be read; cancelled ends the polling."""
    incident, alarm_id = dispatched_home(town)
    town.poll()
    assert town.status(incident) == "requested"
    town.noonlight("_step", id=alarm_id, event="alarm.status.canceled")
    town.poll()

    assert (town.status(incident), _found(town, incident)) == ("cancelled", ["cancelled"])
    reads = _reads(town, "/status", "noonlight")
    town.poll()
    assert _reads(town, "/status", "noonlight") == reads


def test_operator_is_asked_once_to_close_when_a_close_cannot_be_read(town: Town) -> None:
    """After the set time; closing it here ends the notice and the polling."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_step", id=alarm_id, event="alarm.closed")
    town.change("UPDATE dispatch SET answered_at = now() - interval '5 h' WHERE incident_id = :i", i=incident)
    for _ in range(2):
        town.poll()
    assert (town.status(incident), _notices(town, "still_open")) == ("requested", 1)
    assert _next_poll_s(town, incident) > 290

    town.post(f"/v1/incidents/{incident}/close", {"by": "Ann Operator"})
    town.until(lambda: town.status(incident) == "closed")
    assert _open_notices(town, "still_open") == 0


def test_cancel_is_confirmed_when_webhooks_are_off(town: Town) -> None:
    """By the read that follows it; a poll then finds the close."""
    incident = requested(town, town.guarded_site(), "burglary")
    cancel(town, incident)
    town.until(lambda: town.incident(incident)["cancel"] == "confirmed")
    _step(town, incident, CLOSED)
    town.poll()

    assert town.status(incident) == "closed"


def test_write_backs_go_first_when_polls_are_due_too(town: Town) -> None:
    """A poll is the last of what goes out."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    town.change("UPDATE dispatch SET poll_at = now() WHERE incident_id = :i", i=incident)
    watching.begin(town.deps)
    town.post(f"/v1/incidents/{incident}/acknowledge", {"by": "Ann Operator"})
    town.turn(Lane.INTAKE)
    kinds = [row[0] for row in town.rows("SELECT kind FROM outbox WHERE state = 'pending' ORDER BY priority")]

    assert kinds == ["writeback", "watch"]


def test_only_open_alarms_are_looked_at_when_many_are_closed(town: Town) -> None:
    """The index of the duty holds what is followed, and nothing else."""
    incident = requested(town, town.guarded_site(), "burglary")
    _step(town, incident, CLOSED)
    town.poll()
    town.poll()

    assert town.one("SELECT count(*) FROM dispatch WHERE poll_at IS NOT NULL") == 0


def test_nobody_is_replaced_when_the_cancel_overtakes_a_poll(town: Town) -> None:
    """What the read saw is older than what the webhook told: it is read again."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    _step(town, incident, DISPATCHED)
    path = f"/panic-api/v2/callouts/{legs_of(town, incident)[0]}"
    town.aura("_control", hang=[{"path": path, "seconds": 1.0, "work": "before", "times": 1}])
    town.change("UPDATE dispatch SET poll_at = now() WHERE incident_id = :i", i=incident)
    watching.begin(town.deps)
    with another_worker(town, Lane.OUTGOING):
        await_request(town, "aura", "GET", path)
        town.aura("_control", webhooks="normal")
        _step(town, incident, CANCELLED)
        town.until(lambda: town.status(incident) == "cancelled", lanes=(Lane.INTAKE,))
        await_request(town, "aura", "GET", path, count=2)
        done = "SELECT count(*) FROM outbox WHERE kind = 'read' AND state = 'pending'"
        await_that(lambda: town.one(done) == 0)

    assert town.status(incident) == "cancelled"
    assert "responder_replaced" not in town.events(incident)


def test_write_backs_go_on_when_the_polled_provider_hangs(town: Town) -> None:
    """Its own share of calls is all that it holds."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    ref = town.incident(incident)["incident_ref"]
    town.aura("_control", hang=[{"path": ACTIVE, "seconds": 1.5, "times": 1}])
    town.change("UPDATE dispatch SET poll_at = now() WHERE incident_id = :i", i=incident)
    watching.begin(town.deps)
    with another_worker(town, Lane.OUTGOING):
        await_request(town, "aura", "GET", ACTIVE)
        town.post(f"/v1/incidents/{incident}/acknowledge", {"by": "Ann Operator"})
        town.turn(Lane.INTAKE)
        await_that(lambda: town.writebacks(ref)[-1]["event"] == "acknowledged_by_operator")
        assert town.one("SELECT count(*) FROM outbox WHERE kind = 'watch' AND state = 'pending'") == 1


def test_list_is_asked_for_once_when_two_beats_run_the_duty(town: Town) -> None:
    """One row per account, however often it falls due."""
    for _ in range(2):
        requested(town, town.guarded_site(), "burglary")
    town.change("UPDATE dispatch SET poll_at = now() WHERE poll_at IS NOT NULL")
    for _ in range(2):
        watching.begin(town.deps)

    assert town.one("SELECT count(*) FROM outbox WHERE kind = 'watch' AND state = 'pending'") == 1
