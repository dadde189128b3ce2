"""The watchman: rings with back-off, works what nobody takes, leaves the rest, and pages by silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from shared.store.outbox import lease_due
from tests.integration.doubt_stage import await_that, sweep
from tests.town import QUICK, Town, open_town
from workers.watchman import Watchman

LANES = "SELECT count(*) FROM heartbeat WHERE name LIKE 'lane:%'"


@pytest.fixture(scope="module")
def built(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(built: Town) -> Town:
    """The town with an empty street, no duties, and nobody who has ever worked."""
    built.change("DELETE FROM heartbeat")
    built.change("UPDATE job SET next_run_at = now() + interval '1 hour'")
    built.bell.rung.clear()
    return sweep(built)


def watchman(town: Town, **values: Any) -> Watchman:
    """A watchman in a process of its own, as far as the database can tell."""
    return Watchman(town.new_deps(**values))


def rounds(one: Watchman, seconds: float) -> None:
    """Let it look twice a second for so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        one.round()
        time.sleep(0.5)


def older(town: Town, table: str, seconds: float) -> None:
    """What waits in a table has waited so much longer."""
    town.change(
        f"UPDATE {table} SET next_attempt_at = next_attempt_at - make_interval(secs => :s) WHERE state = 'pending'",
        s=seconds,
    )


def acted(town: Town) -> int:
    """What watchmen have worked themselves."""
    return int(town.one("SELECT (detail->>'acted')::int FROM heartbeat WHERE name = 'watchman'") or 0)


def ended(one: Watchman) -> None:
    """Wait until nothing that it began goes on."""
    await_that(lambda: all(future.done() for future in one.acting.values()))


def test_watchman_rings_with_back_off_when_nobody_answers(town: Town) -> None:
    """At once, then less and less often: a dead lane is not flooded with messages."""
    town.alarm("burglary")
    town.bell.rung.clear()
    one = watchman(town, watchman_patience_s=60.0)
    rounds(one, 6.0)
    rung = [what for what in town.bell.rung if what is Lane.INTAKE]
    assert 3 <= len(rung) <= 5
    assert acted(town) == 0


def test_watchman_leaves_alarms_to_the_workers_when_they_answer_soon(town: Town) -> None:
    """Nothing is taken before it has lain for three seconds."""
    town.alarm("burglary")
    one = watchman(town)
    rounds(one, 1.2)
    assert town.one("SELECT count(*) FROM inbox WHERE state = 'pending'") == 1
    town.turn(Lane.INTAKE)
    rounds(one, 1.2)
    assert town.creates() == []


def test_watchman_sends_a_create_when_it_lay_for_three_seconds(town: Town) -> None:
    """Also in a lane that works: a create has no other turn to wait for."""
    town.alarm("burglary")
    town.turn(Lane.INTAKE)
    older(town, "outbox", 3.0)
    town.change("INSERT INTO heartbeat (name) VALUES ('lane:dispatch')")
    one = watchman(town)
    one.round()
    ended(one)
    assert len(town.creates()) == 1
    assert acted(town) >= 1


@pytest.mark.parametrize(("idle_s", "works"), [(0.0, False), (3.0, True)])
def test_watchman_writes_back_only_when_the_lane_is_idle(town: Town, idle_s: float, works: bool) -> None:
    """A backlog that somebody works off is not its business."""
    incident = town.alarm("burglary")
    town.until(lambda: town.status(incident) == "requested", lanes=(Lane.INTAKE, Lane.DISPATCH))
    older(town, "outbox", 10.0)
    town.change("DELETE FROM heartbeat")
    town.change(
        "INSERT INTO heartbeat (name, at) VALUES ('lane:outgoing', now() - make_interval(secs => :s))", s=idle_s
    )
    one = watchman(town)
    one.round()
    ended(one)
    assert (acted(town) > 0) is works


def test_one_dispatch_stands_when_two_watchmen_work_at_once(town: Town) -> None:
    """They lease like everybody else."""
    for _ in range(8):
        town.alarm("burglary")
    older(town, "inbox", 4.0)
    both = [watchman(town), watchman(town)]
    threads = [threading.Thread(target=rounds, args=(one, 3.0)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in both:
        ended(one)
    assert len(town.creates()) == len(town.alarms()) == 8


def test_watchman_goes_on_taking_alarms_in_when_a_provider_hangs(town: Town) -> None:
    """Its creates wait for an answer in threads of their own, its look at the inbox does not."""
    site = town.guarded_site()
    town.aura("_control", hang=[{"path": "*/callouts", "method": "POST", "seconds": 6}])
    for _ in range(3):
        town.site_alarm(site, "fire")
    older(town, "inbox", 4.0)
    one = watchman(town, call_s=8.0)
    began = time.monotonic()
    one.round()
    await_that(lambda: town.one("SELECT count(*) FROM inbox WHERE state = 'pending'") == 0)
    rounds(one, 1.0)
    other = town.alarm("burglary")
    older(town, "inbox", 4.0)
    while town.status(other) != "requested":
        one.round()
        time.sleep(0.05)
    assert time.monotonic() - began < 5.0
    town.aura("_control", hang=[])
    ended(one)


def test_duties_are_done_by_the_watchman_when_beat_and_workers_are_dead(town: Town) -> None:
    """A doubt is looked at and a person is told without Celery."""
    town.change("UPDATE job SET next_run_at = now() - interval '4 seconds', last_done_at = NULL")
    one = watchman(town)
    one.round()
    ended(one)
    assert town.one("SELECT last_done_at IS NOT NULL FROM job WHERE name = 'attend'")


def test_workers_look_dead_when_only_the_watchman_works(town: Town) -> None:
    """What it does is no sign of life of anybody else."""
    town.alarm("burglary")
    older(town, "inbox", 4.0)
    one = watchman(town)
    one.round()
    ended(one)
    assert acted(town) > 0
    assert town.one("SELECT count(*) FROM heartbeat WHERE name LIKE 'worker:%'") == 0
    assert town.one(LANES) == 0


def test_round_goes_on_when_rows_of_one_destination_must_wait(town: Town) -> None:
    """Rows that nobody may lease now are no reason to count an act."""
    incident = town.alarm("burglary")
    town.until(lambda: town.status(incident) == "requested", lanes=(Lane.INTAKE, Lane.DISPATCH))
    with town.sessions.begin() as session:
        held = lease_due(session, Lane.OUTGOING, 8, lease_s=30.0, boot_now=time.clock_gettime(time.CLOCK_BOOTTIME))
    assert held
    older(town, "outbox", 10.0)
    one = watchman(town)
    one.round()
    ended(one)
    assert acted(town) <= 1


class Pings:
    """The outside address that pages somebody when it hears nothing."""

    def __init__(self) -> None:
        """Listen on a free port."""
        heard = self.heard = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/beat"

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pings() -> Iterator[Pings]:
    """An address that counts what it hears."""
    made = Pings()
    yield made
    made.close()


def test_heartbeat_is_pinged_when_every_alarm_is_served(town: Town, pings: Pings) -> None:
    """Once, and not again before its time."""
    one = watchman(town, heartbeat_url=pings.url)
    one.round()
    one.round()
    await_that(lambda: pings.heard)
    assert pings.heard == ["/beat"]


def test_heartbeat_is_silent_when_an_alarm_waits_too_long(town: Town, pings: Pings) -> None:
    """Until somebody has acknowledged it: silence pages."""
    incident = town.alarm("burglary")
    town.change("UPDATE incident SET received_at = now() - interval '31 seconds' WHERE id = :i", i=incident)
    town.change("UPDATE inbox SET lease_until = now() + interval '1 hour' WHERE state = 'pending'")
    one = watchman(town, heartbeat_url=pings.url)
    one.round()
    assert one.pinging is None
    town.change("UPDATE incident SET acknowledged_by = 'Ann' WHERE id = :i", i=incident)
    one.audited_at = float("-inf")
    one.round()
    await_that(lambda: pings.heard)
