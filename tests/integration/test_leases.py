"""Leases and threads: one owner, one send, nobody's connection held across a call, poison worked alone (laws 2, 3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from deploy.embedded import Embedded
from shared.clock import boot_time
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell
from shared.providers.base import Token
from shared.store.engine import make_engine, make_sessions
from shared.store.outbox import fenced, lease_due, release, still_ours
from tests.integration.doubt_stage import (
    DOUBTFUL,
    await_that,
    hurry,
    lease,
    legs,
    own_engine,
    run_out,
    sweep,
    take_in,
    told,
)
from tests.town import Town, open_town
from workers.deps import Deps
from workers.engine import Engine
from workers.tokens import StoredTokens


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept."""
    return sweep(street)


def _all_at_once(work: list[Callable[[], Any]]) -> None:
    """Run them from as many threads, none before the last is there."""
    start = threading.Barrier(len(work))

    def run(one: Callable[[], Any]) -> None:
        start.wait(10)
        one()

    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(run, one) for one in work]:
            done.result(30)


@pytest.mark.parametrize("provider", ["noonlight", "aura"])
def test_create_is_sent_once_when_twenty_threads_race_for_it(town: Town, provider: str) -> None:
    """One conditional UPDATE decides, however many ask."""
    site = town.guarded_site() if provider == "aura" else None
    incident = take_in(town, "panic", site=site)
    row = town.one("SELECT id FROM outbox WHERE incident_id = :i AND kind = 'create'", i=incident)
    engines = [own_engine(town) for _ in range(20)]
    _all_at_once([lambda e=e: e.work_row(row) for e in engines[:10]] + [e.drain for e in engines[10:]])
    assert town.status(incident) == "requested"
    assert len(town.creates(provider)) == 1
    assert town.one("SELECT token FROM outbox WHERE id = :r", r=row) == 1


def test_one_callout_stands_when_incidents_of_one_site_race(town: Town) -> None:
    """At most one create is in flight per site, and the others join what it opened."""
    site = town.guarded_site()
    incidents = [take_in(town, "burglary", site=site) for _ in range(6)]
    town.aura("_control", latency_ms=50)
    # With the patience of production: a read that a busy machine makes late would rightly have each send its own.
    _all_at_once([own_engine(town, call_s=15.0, lease_margin_s=5.0).drain for _ in range(6)])
    town.until(lambda: all(town.status(one) == "requested" for one in incidents))
    assert len(town.creates("aura")) == len(town.callouts()) == 1
    assert sorted(legs(town, one) for one in incidents) == [["accepted"], *[["void"]] * 5]


class _SlowTokens(StoredTokens):
    """A token that is long in coming, as DNS or a connection may be: the time between the plan and the send."""

    def __init__(self, town: Town) -> None:
        super().__init__(town.sessions, town.box)
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def get(self, account_id: str) -> Token | None:
        self.asked.set()
        assert self.go_on.wait(20)
        return super().get(account_id)


def _slow_engine(town: Town, tokens: StoredTokens) -> Engine:
    deps = town.new_deps()
    return Engine(Deps(deps.settings, deps.sessions, deps.box, deps.bell, deps.ringer, tokens), Lane.DISPATCH, 4)


def test_second_create_joins_when_the_response_was_opened_while_it_connected(town: Town) -> None:
    """What was planned on an empty site is planned anew in front of the first byte."""
    site = town.guarded_site()
    slow = take_in(town, "burglary", site=site)
    tokens = _SlowTokens(town)
    engine = _slow_engine(town, tokens)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(engine.drain)
        assert tokens.asked.wait(10)
        quick = take_in(town, "burglary", site=site)
        town.turn(Lane.DISPATCH)
        tokens.go_on.set()
        work.result(20)
    assert town.status(quick) == "requested"
    town.until(lambda: town.status(slow) == "requested")
    assert legs(town, slow) == ["void"]
    assert len(town.creates("aura")) == len(town.callouts()) == 1


def test_nothing_is_sent_when_the_connection_took_longer_than_the_lease(town: Town) -> None:
    """The sleeper finds the lease gone in front of the first byte; the other owner has sent."""
    site = town.guarded_site()
    incident = take_in(town, "panic", site=site)
    tokens = _SlowTokens(town)
    engine = _slow_engine(town, tokens)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(engine.drain)
        assert tokens.asked.wait(10)
        run_out(town)
        town.turn(Lane.DISPATCH)
        tokens.go_on.set()
        work.result(20)
    assert town.status(incident) == "requested"
    assert len(town.creates("aura")) == len(town.callouts()) == 1


def test_nothing_is_sent_under_a_lease_that_ran_out_though_nobody_else_took_the_row(town: Town) -> None:
    """Whether somebody takes it in the next instant, the sleeper cannot know."""
    incident = take_in(town, "panic", site=town.guarded_site())
    tokens = _SlowTokens(town)
    engine = _slow_engine(town, tokens)
    [row] = town.rows("SELECT id FROM outbox WHERE incident_id = :i AND kind = 'create'", i=incident)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(engine._work, lease(town))
        assert tokens.asked.wait(10)
        run_out(town)
        tokens.go_on.set()
        work.result(20)
    assert town.creates("aura") == []
    assert legs(town, incident) == ["pending"]
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "requested"
    assert town.one("SELECT token FROM outbox WHERE id = :r", r=row.id) == 2


def test_former_owner_changes_nothing_when_the_row_was_leased_again(town: Town) -> None:
    """The fencing token names the owner, not the clock."""
    take_in(town)
    first = lease(town)
    run_out(town)
    second = lease(town)
    with town.sessions.begin() as session:
        assert still_ours(session, first) is None
        assert fenced(session, first) is None
        assert fenced(session, second) is not None
        assert (second.token, second.lost_leases, second.lost_now) == (2, 1, True)


def test_lease_that_ran_out_unseen_may_record_but_not_send(town: Town) -> None:
    """An answer is worth keeping while nobody else has taken the row; a send needs the lease."""
    take_in(town)
    taken = lease(town)
    run_out(town)
    with town.sessions.begin() as session:
        assert still_ours(session, taken) is None
        row = fenced(session, taken)
        assert row is not None
        release(row, row.created_at)
        assert row.lost_leases == 0


def _lose(town: Town, times: int) -> None:
    for _ in range(times):
        lease(town)
        run_out(town)


def test_row_is_worked_alone_when_three_leases_were_lost(town: Town) -> None:
    """Rows beside it would die with their worker; with others in flight it is left to an idle process."""
    bad = take_in(town, "panic")
    _lose(town, 3)
    good = [take_in(town, "burglary") for _ in range(3)]

    def take(want: int, *, idle: bool) -> list[str]:
        with town.sessions() as session:  # rolled back
            leases = lease_due(session, Lane.DISPATCH, want, lease_s=3, boot_now=boot_time(), idle=idle)
            owner = "SELECT incident_id FROM outbox WHERE id = :r"
            return [town.one(owner, r=one.id) for one in leases]

    assert take(8, idle=True) == [bad]
    assert take(8, idle=False) == good
    engine = own_engine(town, threads=8)
    engine.drain()
    assert [town.status(one) for one in (bad, *good)] == ["requested"] * 4


def test_row_is_dead_and_told_when_it_was_lost_alone_as_well(town: Town) -> None:
    """Three lost leases, one alone: then a person must act."""
    incident = take_in(town, "panic")
    _lose(town, 4)
    town.turn(Lane.DISPATCH)
    assert town.one("SELECT state FROM outbox WHERE incident_id = :i AND kind = 'create'", i=incident) == "dead"
    assert town.status(incident) == "failed"
    assert town.creates() == []
    town.until(lambda: told(town, incident, "dead") and told(town, incident, "failed"))


def test_panic_that_kills_every_worker_in_mid_send_is_not_sent_for_ever(town: Town) -> None:
    """Each repeat is a row of its own, and still the lost leases add up: four sends, then a person."""
    incident = take_in(town, "panic")
    for _ in range(8):
        if town.one("SELECT count(*) FROM outbox WHERE state = 'pending' AND kind = 'create'") == 0:
            break
        lease(town)
        town.change("UPDATE dispatch SET outcome = 'sending', sending_at = now() WHERE outcome = 'pending'")
        run_out(town)
        hurry(town)
        _one_row(town)
        hurry(town)
    assert len(legs(town, incident)) == 4
    town.until(lambda: told(town, incident, "dead"))
    assert town.status(incident) == "unconfirmed"
    assert town.creates() == []


def _one_row(town: Town) -> None:
    """Work what is due at this moment, and not what it asks for."""
    row = town.one("SELECT id FROM outbox WHERE state = 'pending' AND kind = 'create' AND lane = 'dispatch'")
    taken = lease(town)
    assert taken.id == row
    engine = own_engine(town)
    engine._work(taken)


def test_create_goes_on_when_one_unexpected_error_follows_many_tries(town: Town) -> None:
    """Only errors in a row end a row; a provider that refused for long is no such thing."""
    incident = take_in(town)
    town.change("UPDATE outbox SET attempts = 20 WHERE kind = 'create' AND incident_id = :i", i=incident)
    town.change("UPDATE incident SET kind = 'no such kind' WHERE id = :i", i=incident)
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "received"
    town.change("UPDATE incident SET kind = 'burglary' WHERE id = :i", i=incident)
    hurry(town)
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "requested"


def test_row_is_dead_and_told_when_its_errors_never_end(town: Town) -> None:
    """Eight in a row."""
    incident = take_in(town)
    town.change("UPDATE incident SET kind = 'no such kind' WHERE id = :i", i=incident)
    for _ in range(8):
        town.turn(Lane.DISPATCH)
        hurry(town)
    town.change("UPDATE incident SET kind = 'burglary' WHERE id = :i", i=incident)
    assert town.one("SELECT state FROM outbox WHERE incident_id = :i AND kind = 'create'", i=incident) == "dead"
    assert town.status(incident) == "failed"
    town.until(lambda: told(town, incident, "dead"))


def _await_call(town: Town, provider: str, method: str, ending: str) -> None:
    def on_the_line() -> bool:
        log = getattr(town, provider)("_log")
        return any(
            entry["method"] == method and entry["path"].endswith(ending) and entry["duration"] is None for entry in log
        )

    await_that(on_the_line)


@pytest.fixture
def apart(town: Town) -> Iterator[tuple[Town, Deps, Any]]:
    """A worker's parts on a connection pool of its own."""
    engine = make_engine(town.settings.database_url.get_secret_value(), name="apart")
    sessions = make_sessions(engine)
    bell = Doorbell(town.settings.redis_url.get_secret_value())
    yield town, Deps(town.settings, sessions, town.box, bell, town.bell, StoredTokens(sessions, town.box)), engine.pool
    bell.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("provider", "call", "method", "ending"),
    [
        ("noonlight", "create", "POST", "/alarms"),
        ("noonlight", "cancel", "POST", "/status"),
        ("noonlight", "event", "POST", "/events"),
        ("aura", "token", "POST", "/oauth/token"),
        ("aura", "create", "POST", "/callouts"),
        ("aura", "look-up", "GET", "/activeCallouts"),
        ("aura", "join", "GET", "/callouts/{id}"),
        ("aura", "cancel", "POST", "/cancel"),
        ("aura", "note", "POST", "/events"),
        ("platform", "writeback", "POST", "/writebacks"),
    ],
)
def test_no_connection_is_held_while_somebody_is_being_called(
    apart: tuple[Town, Deps, Any], provider: str, call: str, method: str, ending: str
) -> None:
    """A slow peer costs a thread, never a connection of the database."""
    town, deps, pool = apart
    site = town.guarded_site() if provider == "aura" else None
    incident = take_in(town, "smoke" if call == "event" else "burglary", site=site)
    lane = Lane.OUTGOING if call in ("note", "event", "writeback") else Lane.DISPATCH
    if call not in ("create", "token", "writeback", "look-up"):
        town.turn(Lane.DISPATCH)
    if call == "cancel":
        assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "resolved"}).status_code == 202
        town.turn(Lane.INTAKE)
    elif call == "join":
        take_in(town, "burglary", site=site)
        ending = ending.format(id=town.callouts()[0]["id"])
    elif call == "look-up":
        town.aura("_control", fail=[{"path": "*/callouts", "status": 500, "times": 1}])
        town.turn(Lane.DISPATCH)
        hurry(town)
    elif call == "token":
        town.change("UPDATE provider_account SET token = NULL")
    kind = call if call in ("cancel", "event", "note", "writeback") else "create"
    town.change("UPDATE outbox SET state = 'void' WHERE state = 'pending' AND kind <> :kind", kind=kind)
    with town.sessions.begin() as session:
        [taken] = lease_due(session, lane, 1, lease_s=deps.settings.lease_s(), boot_now=boot_time())
    getattr(town, provider)("_control", latency_ms=400)
    engine = Engine(deps, lane, 4)
    engine._signs = {True: float("inf"), False: float("inf")}  # its sign of life is no part of a call
    with ThreadPoolExecutor(1) as threads:
        work = threads.submit(engine._work, taken)
        _await_call(town, provider, method, ending)
        held = pool.checkedout()
        work.result(20)
    assert held == 0


def test_two_live_legs_of_one_incident_are_impossible(town: Town) -> None:
    """By a unique index, and not by care."""
    incident = take_in(town)
    with pytest.raises(Exception, match="uq_incident_leg_live") as caught:
        town.change(
            "WITH leg AS (INSERT INTO dispatch (incident_id, account_id, outcome)"
            " SELECT id, account_id, 'sending' FROM incident WHERE id = :i RETURNING id)"
            " INSERT INTO incident_leg (incident_id, leg_id, outcome) SELECT :i, id, 'sending' FROM leg",
            i=incident,
        )
    assert not isinstance(caught.value, ProgrammingError)
