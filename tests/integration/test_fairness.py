"""Law 7: one hung provider never stops the other, and nobody gets more calls at once than it should."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.store.outbox import CALLS_PER_DESTINATION
from tests.integration.doubt_stage import await_that, sweep
from tests.town import QUICK, Town, open_town
from workers.engine import Engine
from workers.watchman import Watchman

HUNG_S = 6.0
SOON_S = 4.0


@pytest.fixture(scope="module")
def built(embedded: Embedded) -> Iterator[Town]:
    """One town whose calls may last for as long as the hung provider holds them."""
    with open_town(embedded, **(QUICK | {"call_s": 8.0})) as town:
        yield town


@pytest.fixture
def town(built: Town) -> Town:
    """The town with an empty street and no duties in between."""
    built.change("UPDATE job SET next_run_at = now() + interval '1 hour'")
    return sweep(built)


def hang_aura(town: Town, alarms: int) -> None:
    """So many alarms at AURA, each at a site of its own, whose creates get no answer for a while."""
    sites = [town.guarded_site() for _ in range(alarms)]
    town.aura("_control", hang=[{"path": "*/callouts", "method": "POST", "seconds": HUNG_S}])
    for site in sites:
        town.site_alarm(site, "burglary")
    town.turn(Lane.INTAKE)


def most_at_once(entries: list[dict[str, Any]]) -> int:
    """How many of these requests were open at the same moment; those without an end still are."""
    moments = []
    for entry in entries:
        moments.append((entry["time"], 1))
        moments.append((entry["time"] + (entry["duration"] or 1e9), -1))
    open_now = most = 0
    for _, change in sorted(moments):
        open_now += change
        most = max(most, open_now)
    return most


def test_noonlight_alarms_go_at_full_speed_when_aura_hangs(town: Town) -> None:
    """Twenty creates hang, in half of the threads; the other half serves who answers."""
    hang_aura(town, 20)
    engine = Engine(town.deps, Lane.DISPATCH, 16)
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(engine.drain)
        await_that(lambda: len(town.creates("aura")) == 8)
        began = time.monotonic()
        ours = [town.alarm("burglary") for _ in range(20)]
        town.turn(Lane.INTAKE)
        await_that(lambda: all(town.status(one) == "requested" for one in ours))
        assert time.monotonic() - began < SOON_S
        assert len(town.creates("aura")) == 8
        town.aura("_control", hang=[])
        drained.result(30)
    assert most_at_once(town.creates("aura")) == 8
    assert len(town.callouts()) == 20


def test_first_tries_find_a_thread_when_retries_fill_the_others(town: Town) -> None:
    """A quarter of the threads is never given to a row that was tried before."""
    site = town.guarded_site()
    hung = [{"path": "/dispatch/v1/alarms", "method": "POST", "seconds": HUNG_S}]
    for _ in range(12):
        town.alarm("burglary")
    town.turn(Lane.INTAKE)
    town.change(
        "UPDATE outbox SET attempts = 3, "
        "destination = CASE WHEN id / 2 % 2 = 0 THEN 'account:third' ELSE destination END "
        "WHERE kind = 'create' AND state = 'pending'"
    )
    town.noonlight("_control", hang=hung)
    engine = Engine(town.deps, Lane.DISPATCH, 8)
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(engine.drain)
        await_that(lambda: len(town.creates()) == 6)
        fresh = town.site_alarm(site, "panic")
        town.turn(Lane.INTAKE)
        began = time.monotonic()
        await_that(lambda: town.status(fresh) == "requested")
        assert time.monotonic() - began < SOON_S
        town.noonlight("_control", hang=[])
        drained.result(30)


def test_watchman_serves_noonlight_when_aura_hangs(town: Town) -> None:
    """With the workers dead as well: the same shares hold in its own pool."""
    hang_aura(town, 20)
    town.change("UPDATE outbox SET next_attempt_at = next_attempt_at - interval '4 seconds' WHERE state = 'pending'")
    one = Watchman(town.new_deps(watchman_threads=8))
    one.round()
    await_that(lambda: len(town.creates("aura")) == 4)
    began = time.monotonic()
    other = town.alarm("burglary")
    town.turn(Lane.INTAKE)
    town.change("UPDATE outbox SET next_attempt_at = next_attempt_at - interval '4 seconds' WHERE state = 'pending'")
    await_that(lambda: town.status(other) == "requested")
    assert time.monotonic() - began < SOON_S
    assert len(town.creates("aura")) == 4
    town.aura("_control", hang=[])
    await_that(one.acting[Lane.DISPATCH].done, within_s=30)
    assert most_at_once(town.creates("aura")) == 4


def test_two_calls_at_most_are_in_flight_when_two_workers_write_back(town: Town) -> None:
    """Over all processes, since the platform is one; a third destination does not wait for it."""
    town.platform("_control", latency_ms=150)
    for _ in range(12):
        town.alarm("burglary")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    engines = [Engine(town.new_deps(), Lane.OUTGOING, 8) for _ in range(2)]
    threads = [threading.Thread(target=engine.drain) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    town.settle()
    log = town.platform("_log")
    written = [entry for entry in log if entry["path"] == "/writebacks"]
    assert len(written) >= 12
    assert most_at_once(written) == CALLS_PER_DESTINATION


def test_notes_reach_noonlight_when_the_platform_hangs(town: Town) -> None:
    """Two threads hang at the platform, the others serve the provider and the escalation address."""
    incident = town.alarm("burglary")
    town.until(lambda: town.status(incident) == "requested", lanes=(Lane.INTAKE, Lane.DISPATCH))
    town.platform("_control", hang=[{"path": "/writebacks", "seconds": HUNG_S}])
    for _ in range(6):
        town.alarm("burglary")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    engine = Engine(town.deps, Lane.OUTGOING, 8)
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(engine.drain)
        began = time.monotonic()
        town.post(f"/v1/incidents/{incident}/notes", {"text": "at the back door", "by": "Ann"})
        town.turn(Lane.INTAKE)
        waiting = "SELECT count(*) FROM outbox WHERE kind = 'note' AND state = 'pending'"
        await_that(lambda: town.one(waiting) == 0)
        assert time.monotonic() - began < SOON_S
        town.platform("_control", hang=[])
        drained.result(60)
