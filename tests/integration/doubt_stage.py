"""What the stories of doubt share: a clean street between two of them, time travel, and workers in a process apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from pydantic import SecretStr

from shared.domain.lanes import Lane
from shared.store.outbox import Lease, lease_due
from tests.town import QUICK, Town
from workers.deps import Deps
from workers.engine import Engine

NOONLIGHT_CREATE = "/dispatch/v1/alarms"
AURA_CREATE = "*/externalRef/*/callouts"
AURA_LISTING = "*/activeCallouts"
# Told within a second, so that a story of doubt does not take ten.
DOUBTFUL: dict[str, Any] = {**QUICK, "unconfirmed_after_s": 1.0}
WORKED = (Lane.INTAKE, Lane.DISPATCH)


def sweep(town: Town) -> Town:
    """Let nothing of an earlier story reach into the next one."""
    for service in (town.noonlight, town.aura, town.platform):
        service("_reset")
    town.change("UPDATE outbox SET state = 'void' WHERE state = 'pending'")
    town.change("UPDATE inbox SET state = 'done' WHERE state IN ('pending', 'parked')")
    town.change("UPDATE dispatch SET outcome = 'ended', possible_double = false WHERE outcome <> 'ended'")
    town.change("UPDATE incident SET status = 'closed', ended_at = now() WHERE ended_at IS NULL")
    town.change("UPDATE notice SET ended_at = now() WHERE ended_at IS NULL")
    town.policy()
    return town


def await_that(condition: Callable[[], Any], *, within_s: float = 15.0) -> Any:
    """Wait, without working, for what somebody else does."""
    ends = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < ends, f"did not come true within {within_s} s"
        time.sleep(0.01)
    return found


def take_in(town: Town, kind: str = "burglary", *, site: str | None = None, **more: Any) -> str:
    """An alarm whose create is due and not leased yet."""
    incident = town.alarm(kind, **more) if site is None else town.site_alarm(site, kind, **more)
    town.turn(Lane.INTAKE)
    return incident


def lease(town: Town, deps: Deps | None = None) -> Lease:
    """Lease the one create that is due, as a worker would."""
    from shared.clock import boot_time

    settings = (deps or town.deps).settings
    with town.sessions.begin() as session:
        [taken] = lease_due(session, Lane.DISPATCH, 1, lease_s=settings.lease_s(), boot_now=boot_time())
    return taken


def run_out(town: Town) -> None:
    """Let every lease run out now."""
    town.change("UPDATE outbox SET lease_until = now() - interval '1 ms' WHERE lease_until IS NOT NULL")


def hurry(town: Town) -> None:
    """Make everything that waits for its next try due now."""
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending' AND lease_until IS NULL")


def next_try_in(town: Town, incident: str) -> float:
    """Seconds until the incident's create is tried again."""
    return float(
        town.one(
            "SELECT extract(epoch FROM next_attempt_at - now()) FROM outbox"
            " WHERE incident_id = :i AND kind = 'create' AND state = 'pending'",
            i=incident,
        )
    )


def legs(town: Town, incident: str) -> list[str]:
    """The outcomes of the incident's own legs, oldest first."""
    return [row[0] for row in town.rows("SELECT outcome FROM dispatch WHERE incident_id = :i ORDER BY id", i=incident)]


def look(town: Town, times: int = 1) -> None:
    """So many look-ups, one after the other, without the waits between them."""
    for _ in range(times):
        hurry(town)
        town.turn(Lane.DISPATCH)


def told(town: Town, incident: str, kind: str) -> bool:
    """True when both addresses were told of the incident by a notice of this kind."""
    ref = town.one("SELECT incident_ref FROM incident WHERE id = :i", i=incident)
    bundles = [item["body"] for item in town.platform("_writebacks")["items"] if "notices" in item["body"]]
    at_platform = [notice for bundle in bundles for notice in bundle["notices"]]
    return all(
        any(notice["incident_ref"] == ref and notice["kind"] == kind for notice in where)
        for where in (at_platform, town.escalations())
    )


def own_engine(town: Town, threads: int = 4, **values: Any) -> Engine:
    """The dispatch engine of another worker."""
    return Engine(town.new_deps(**values), Lane.DISPATCH, threads)


class LoneWorker:
    """A worker in a process of its own, that can be stopped and killed for real."""

    def __init__(self, town: Town, module: str, lane: Lane, environment: Mapping[str, str]) -> None:
        """Start it; it waits for orders."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.{module}", lane.value],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(json.dumps({name: _plain(value) for name, value in town.settings if value}))
        assert self.answer() == "ready"

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def order(self, word: str) -> Self:
        """Have it do something: `lease`, `work` (what it leased), `serve`, or say what its `clock` reads."""
        self._say(word)
        return self

    def answer(self) -> str:
        """Wait for its word."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        """Stop, continue or kill it."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait(10)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(str(_plain(part)) for part in value)
    return value


@contextmanager
def lone_worker(
    town: Town, module: str = "lone_worker", lane: Lane = Lane.DISPATCH, **environment: str
) -> Iterator[LoneWorker]:
    """A worker apart, gone at the end whatever became of it."""
    worker = LoneWorker(town, module, lane, environment)
    try:
        yield worker
    finally:
        worker.kill()
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                stream.close()
