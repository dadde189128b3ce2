"""Every task name, delivered twice at once on the same ids: the effect of once (Celery on Redis may do that)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import DRAIN_TASK, ROW_TASK, Lane
from tests.integration.doubt_stage import (
    DOUBTFUL,
    LoneWorker,
    await_that,
    hurry,
    legs,
    lone_worker,
    sweep,
    take_in,
    told,
)
from tests.town import Town, open_town
from workers.services.jobs import JOBS

Deliver = Callable[..., None]


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture(scope="module")
def processes(street: Town) -> Iterator[list[LoneWorker]]:
    """Two worker processes that know the tasks by their names."""
    with lone_worker(street, "task_worker") as one, lone_worker(street, "task_worker") as two:
        yield [one, two]


@pytest.fixture
def deliver(processes: list[LoneWorker]) -> Deliver:
    """Deliver one task four times at once: twice to each of two processes."""

    def at_once(name: str, *args: int) -> None:
        for process in processes:
            process.order(" ".join([name, *map(str, args)]))
        assert [process.answer() for process in processes] == ["done", "done"]

    return at_once


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept; everybody answers slowly, so that the copies do meet."""
    sweep(street)
    for service in (street.noonlight, street.aura, street.platform):
        service("_control", latency_ms=60)
    return street


def _row(town: Town, kind: str) -> int:
    return int(town.one("SELECT max(id) FROM outbox WHERE kind = :k AND state = 'pending'", k=kind))


def _calls(town: Town, provider: str) -> Counter[tuple[str, str, str]]:
    """How often each change was asked for; reads and tokens change nothing."""
    log = getattr(town, provider)("_log")
    return Counter(
        (entry["method"], entry["path"], entry["body"])
        for entry in log
        if entry["method"] != "GET" and "token" not in entry["path"]
    )


def _once(town: Town, *providers: str) -> None:
    for provider in providers:
        calls = _calls(town, provider)
        assert calls, provider
        assert set(calls.values()) == {1}, calls


def test_every_task_name_has_its_story_below(processes: list[LoneWorker]) -> None:
    """The names are a wire contract; a new one needs a story here."""
    names = processes[0].order("names").answer().split()
    duties = set(JOBS) - {"attend"}  # each works a leased row of `job`, as `periodic.tick` does
    assert names == sorted({*ROW_TASK.values(), *DRAIN_TASK.values(), "periodic.tick", *duties})


@pytest.mark.parametrize("provider", ["noonlight", "aura"])
def test_one_alarm_stands_when_create_and_cancel_are_delivered_twice(
    town: Town, deliver: Deliver, provider: str
) -> None:
    """`dispatch.create`, then `dispatch.cancel`."""
    site = town.guarded_site() if provider == "aura" else None
    getattr(town, provider)("_control", latency_ms=60)
    incident = take_in(town, "burglary", site=site)
    deliver("dispatch.create", _row(town, "create"))
    assert town.status(incident) == "requested"
    assert len(town.creates(provider)) == 1
    assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "resolved"}).status_code == 202
    town.turn(Lane.INTAKE)
    deliver("dispatch.cancel", _row(town, "cancel"))
    town.until(lambda: town.status(incident) == "cancelled")
    cancels = [call for call in _calls(town, provider).elements() if call[1].endswith(("/status", "/cancel"))]
    assert len(cancels) == 1
    assert town.events(incident).count("cancelled") == 1


def test_site_is_registered_once_when_its_task_is_delivered_twice(town: Town, deliver: Deliver) -> None:
    """`dispatch.register_site`, ahead of a create that waits for it."""
    site = town.guarded_site(synced=False)
    incident = take_in(town, "panic", site=site)
    deliver("dispatch.register_site", _row(town, "site"))
    town.until(lambda: town.status(incident) == "requested")
    _once(town, "aura")
    assert len(town.aura("_state")["locations"]) == 1


def test_inbox_is_worked_once_when_its_drain_is_delivered_twice(town: Town, deliver: Deliver) -> None:
    """`intake.drain`: alarms, notes, events of providers and cancels, each with one effect."""
    refs = [f"inbox-twice-{number}" for number in range(20)]
    incidents = [town.alarm("burglary", ref=ref) for ref in refs]
    deliver("intake.drain")
    assert all(legs(town, one) == ["pending"] for one in incidents)
    assert all(town.events(one) == ["received"] for one in incidents)
    deliver("dispatch.drain")
    assert len(town.creates()) == len(town.alarms()) == 20
    for alarm in town.alarms():
        town.noonlight("_step", id=alarm["id"], event="alarm.psap_contacted")
    for zone in ("kitchen", "stairs"):
        town.alarm("burglary", ref=refs[0], zone=zone)
    hooks = "SELECT count(*) FROM inbox WHERE source = 'webhook' AND state = 'pending'"
    await_that(lambda: town.one(hooks) == 20)
    deliver("intake.drain")
    assert all(town.events(one).count("authorities_contacted") == 1 for one in incidents)
    assert town.events(incidents[0]).count("event") == 2


def test_everything_leaves_once_when_the_drains_are_delivered_twice(town: Town, deliver: Deliver) -> None:
    """`dispatch.drain` and `outgoing.drain`: creates, trigger events, notes, write-backs."""
    site = town.guarded_site()
    refs = [f"twice-{number}" for number in range(4)]
    for ref in refs:
        take_in(town, "smoke", ref=ref)
    guarded = take_in(town, "burglary", site=site, ref="twice-a")
    deliver("dispatch.drain")
    assert town.post(f"/v1/incidents/{guarded}/notes", {"text": "Gate is open", "by": "Op"}).status_code == 202
    town.turn(Lane.INTAKE)
    for _ in range(3):
        deliver("outgoing.drain")
        hurry(town)
    _once(town, "noonlight")
    notes = town.callouts()[0]["events"]
    assert [("Gate is open" in note["event"]["text"]) for note in notes].count(True) == 1
    assert len(notes) == 2  # the context, and the operator's
    for ref in (*refs, "twice-a"):
        received = [body["seq"] for body in town.writebacks(ref)]
        assert received == list(range(1, len(received) + 1))
    assert town.platform("_writebacks")["duplicates"] == 0
    assert not town.one("SELECT count(*) FROM outbox WHERE state = 'pending'")


@pytest.mark.parametrize("name", ["periodic.drain", "periodic.tick"])
def test_people_are_told_once_when_the_periodic_tasks_are_delivered_twice(
    town: Town, deliver: Deliver, name: str
) -> None:
    """One notice, one bundle per address."""
    town.noonlight("_control", fail=[{"path": "/dispatch/v1/alarms", "status": 400, "body": {}}])
    incident = take_in(town, "burglary")
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "failed"
    for _ in range(3):
        town.change("UPDATE job SET next_run_at = now(), lease_until = NULL")
        deliver(name)
        deliver("outgoing.drain")
    assert told(town, incident, "failed")
    assert town.one("SELECT count(*) FROM notice WHERE incident_id = :i", i=incident) == 1
    assert len([notice for notice in town.escalations() if notice["incident_id"] == incident]) == 1
