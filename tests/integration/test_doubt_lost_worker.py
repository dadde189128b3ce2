"""A worker is killed or frozen, for real, in the middle of a create: neither lost, nor doubled unseen (laws 3, 4)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import (
    AURA_CREATE,
    DOUBTFUL,
    NOONLIGHT_CREATE,
    WORKED,
    await_that,
    legs,
    lone_worker,
    look,
    run_out,
    sweep,
    take_in,
    told,
)
from tests.town import Town, open_town


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept."""
    return sweep(street)


def _kill_in_mid_create(town: Town, provider: str, work: str) -> None:
    """Let a worker lease what is due, and kill it while the provider holds its request."""
    path = NOONLIGHT_CREATE if provider == "noonlight" else AURA_CREATE
    getattr(town, provider)("_control", hang=[{"path": path, "seconds": 60, "times": 1, "work": work}])
    with lone_worker(town) as worker:
        worker.order("serve")
        await_that(lambda: town.creates(provider))


@pytest.mark.parametrize("work", ["before", "never"])
def test_panic_is_sent_again_as_a_possible_double_when_its_worker_is_killed(town: Town, work: str) -> None:
    """A life may hang on it: sent again once the lease is out, and everybody reads that it may be a second one."""
    incident = take_in(town, "panic", ref=f"killed-{work}")
    _kill_in_mid_create(town, "noonlight", work)
    assert legs(town, incident) == ["sending"]
    town.until(lambda: town.status(incident) == "requested")
    assert legs(town, incident) == ["doubtful", "accepted"]
    shown = town.incident(incident)
    assert shown["possible_double"]
    assert [leg["possible_double"] for leg in shown["legs"]] == [False, True]
    first, second = (json.loads(create["body"])["instructions"]["entry"] for create in town.creates())
    assert "possible repeat" not in first
    assert "possible repeat" in second
    town.settle()
    entries = {told["event"]: told["entry"] for told in town.writebacks(f"killed-{work}")}
    assert "possible double" in entries["resent"]
    assert "possible double" in entries["requested"]


def _unconfirmed_burglary(town: Town, ref: str) -> str:
    incident = take_in(town, "burglary", ref=ref)
    _kill_in_mid_create(town, "noonlight", "never")
    # While the lease still runs: the age of the attempt counts, not who noticed that it was lost.
    town.until(lambda: town.status(incident) == "unconfirmed", lanes=(Lane.PERIODIC,), within_s=3)
    assert legs(town, incident) == ["sending"]
    town.until(lambda: told(town, incident, "unconfirmed"))
    assert "unconfirmed" in [body["event"] for body in town.writebacks(ref)]
    run_out(town)
    town.settle()
    assert legs(town, incident) == ["unknown"]
    assert len(town.creates()) == 1
    return incident


def test_burglary_is_held_and_sent_on_a_persons_word_when_its_worker_is_killed(town: Town) -> None:
    """Unconfirmed is told in both ways; `resend` makes a new leg, the old one stays doubtful."""
    incident = _unconfirmed_burglary(town, "held-resent")
    assert town.post(f"/v1/incidents/{incident}/resend", {"by": "Op"}).status_code == 202
    town.until(lambda: town.status(incident) == "requested")
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert len(town.creates()) == 2
    assert town.incident(incident)["possible_double"]
    assert town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=incident) == 0


def test_burglary_is_dropped_on_a_persons_word_when_its_worker_is_killed(town: Town) -> None:
    """`drop` ends it, and what was told of it."""
    incident = _unconfirmed_burglary(town, "held-dropped")
    assert town.post(f"/v1/incidents/{incident}/drop", {"by": "Op", "reason": "seen"}).status_code == 202
    town.until(lambda: town.status(incident) == "dropped")
    town.settle()
    assert legs(town, incident) == ["doubtful"]
    assert len(town.creates()) == 1
    assert town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=incident) == 0


@pytest.mark.parametrize("provider", ["noonlight", "aura"])
def test_alarm_is_sent_once_when_its_worker_is_killed_before_the_request_left(town: Town, provider: str) -> None:
    """Leased and not `sending`: nothing was sent, so it is simply sent."""
    site = town.guarded_site() if provider == "aura" else None
    incident = take_in(town, site=site)
    with lone_worker(town) as worker:
        assert worker.order("lease").answer() == "done"
    assert town.turn(Lane.DISPATCH) == 0
    run_out(town)
    town.until(lambda: town.status(incident) == "requested")
    assert len(town.creates(provider)) == 1
    assert legs(town, incident) == ["accepted"]
    assert not town.incident(incident)["possible_double"]


def test_callout_is_adopted_when_the_worker_that_asked_for_it_is_killed(town: Town) -> None:
    """Found among the active callouts: one callout, no second request, no double."""
    site = town.guarded_site()
    incident = take_in(town, "panic", site=site)
    _kill_in_mid_create(town, "aura", "before")
    run_out(town)
    town.until(lambda: town.status(incident) == "requested", lanes=WORKED)
    assert legs(town, incident) == ["accepted"]
    assert len(town.creates("aura")) == len(town.callouts()) == 1
    assert not town.incident(incident)["possible_double"]


def test_callout_is_asked_for_again_when_the_killed_worker_had_not_reached_the_provider(town: Town) -> None:
    """Three complete listings without it, and only then one more request."""
    site = town.guarded_site()
    incident = take_in(town, site=site)
    _kill_in_mid_create(town, "aura", "never")
    run_out(town)
    look(town, 2)
    assert len(town.creates("aura")) == 1
    look(town, 2)
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert len(town.creates("aura")) == 2
    assert len(town.callouts()) == 1


@pytest.mark.parametrize("provider", ["noonlight", "aura"])
def test_stopped_worker_sends_nothing_when_it_wakes_after_its_lease(town: Town, provider: str) -> None:
    """SIGSTOP between lease and send: somebody else sends, and the sleeper finds that it may not."""
    site = town.guarded_site() if provider == "aura" else None
    incident = take_in(town, "panic", site=site)
    with lone_worker(town) as worker:
        assert worker.order("lease").answer() == "done"
        worker.signal(signal.SIGSTOP)
        worker.order("work")
        town.until(lambda: town.status(incident) == "requested", lanes=(Lane.DISPATCH,), within_s=6)
        worker.signal(signal.SIGCONT)
        assert worker.answer() == "done"
    assert len(town.creates(provider)) == 1
    assert legs(town, incident) == ["accepted"]


def test_worker_sends_nothing_when_it_was_stopped_with_the_connection_open(town: Town) -> None:
    """Frozen in front of the first byte, with the incident's lock in its hand: Postgres frees it for the others."""
    incident = take_in(town, "panic")
    with lone_worker(town) as worker:
        assert worker.order("lease").answer() == "done"
        with town.engine.begin() as ours:
            ours.execute(text("SELECT 1 FROM incident WHERE id = :i FOR UPDATE"), {"i": incident})
            worker.order("work")
            await_that(lambda: town.one("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            worker.signal(signal.SIGSTOP)
        town.until(lambda: town.status(incident) == "requested", lanes=(Lane.DISPATCH,), within_s=20)
        worker.signal(signal.SIGCONT)
        assert worker.answer() == "done"
    assert len(town.creates()) == 1
    assert legs(town, incident) == ["accepted"]
