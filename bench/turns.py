"""One contestant's turn: accepting alone, applying alone, both at once, and whether all of it is right."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from bench import traffic
from bench.contestant import Contestant, Place
from bench.figures import percentile
from bench.ground import Ground
from bench.load import Fired, Gun
from bench.processes import Group
from deploy.cli.ports import free_port

SEED = 20260501
WARM_UP = 300
# More than any contestant takes in the time.
MOST_PER_S = 8_000
LOOK_EVERY_S = 0.02
READY_WITHIN_S = 30.0
DRAINED_WITHIN_S = 180.0


@dataclass(frozen=True)
class Turn:
    """The figures of one contestant in one round, NaN where it has none. CPU is in seconds per 1,000 webhooks."""

    accepted_s: float = math.nan
    p50_ms: float = math.nan
    p99_ms: float = math.nan
    applied_s: float = math.nan
    through_s: float = math.nan
    live_p50_ms: float = math.nan
    live_p99_ms: float = math.nan
    accept_cpu: float = math.nan
    apply_cpu: float = math.nan
    postgres_cpu: float = math.nan
    redis_cpu: float = math.nan
    redis_bytes: float = math.nan
    wrong: int = 0


@dataclass
class Part:
    """What a span of time took: items, seconds, CPU of the contestant and of the servers."""

    items: int
    seconds: float
    own: float
    postgres: float
    redis: float


class Meter:
    """Reads the clocks of a contestant's processes and of the servers."""

    def __init__(self, ground: Ground, *groups: Group) -> None:
        """Begin now."""
        self._ground, self._groups = ground, groups
        self._began, self._own, self._servers = time.monotonic(), self._cpu(), ground.cpu()

    def _cpu(self) -> float:
        return sum(group.cpu_s() for group in self._groups)

    def read(self, items: int) -> Part:
        """What has passed since the beginning."""
        servers = self._ground.cpu().since(self._servers)
        seconds = time.monotonic() - self._began
        return Part(items, seconds, self._cpu() - self._own, servers.postgres, servers.redis)


class TurnFailedError(Exception):
    """A contestant could not play to the end; says what it said last."""


def play(contestant: Contestant, ground: Ground, gun: Gun, seconds: float) -> Turn:
    """One contestant's turn, on a database of its own."""
    place = Place(ground, ground.fresh_database(contestant.name), free_port())
    first = traffic.sequence(0, int(MOST_PER_S * seconds / 2), SEED)
    second = traffic.sequence(len(first), int(MOST_PER_S * seconds / 2), SEED + 1)
    contestant.make_ready(place, len(first) + len(second))
    ground.settle()
    door = contestant.door(place)
    groups = [door]
    try:
        await_port(place.port, door)
        requests = [traffic.request(event, contestant.path, place.port) for event in first]
        later = [traffic.request(event, contestant.path, place.port) for event in second]
        empty = ground.redis_bytes()
        gun.fire(place.port, requests[:WARM_UP], seconds=READY_WITHIN_S)
        meter = Meter(ground, door)
        alone = gun.fire(place.port, requests[WARM_UP:], seconds=seconds)
        accepting = meter.read(alone.sent)
        heard = first[: WARM_UP + alone.sent]
        waiting = len(set(heard))
        held = (ground.redis_bytes() - empty) / waiting
        with psycopg.connect(place.database_url, autocommit=True) as watch:
            workers = contestant.workers(place)
            groups.append(workers)
            applying = _drain(watch, contestant, ground, groups, waiting)
            both = gun.fire(place.port, later, seconds=seconds)
            heard += second[: both.sent]
            _await_written(watch, contestant, groups, len(set(heard)))
            through = len(set(second[: both.sent])) / (time.time() - both.began)
            wrong = _wrong(watch, contestant, heard)
        return _turn(alone, accepting, applying, both, through, held, wrong)
    except Exception as error:
        words = "\n".join(group.last_words() for group in groups)
        raise TurnFailedError(f"{contestant.name}: {type(error).__name__}: {error}\n{words}") from error
    finally:
        for group in groups:
            group.stop()
        ground.drop_database(place.database_url)


def _drain(
    watch: psycopg.Connection[Any], contestant: Contestant, ground: Ground, groups: Sequence[Group], waiting: int
) -> Part:
    """Apply the backlog; measured from its first tenth on, when every worker has started."""
    begun = _await_sequence(watch, contestant, groups, waiting // 10)
    meter = Meter(ground, groups[1])
    _await_written(watch, contestant, groups, waiting)
    return meter.read(waiting - begun)


def _await_sequence(watch: psycopg.Connection[Any], contestant: Contestant, groups: Sequence[Group], least: int) -> int:
    """Wait until the sequence of the write-backs is so far, and return where it is."""
    ends = time.monotonic() + DRAINED_WITHIN_S
    while (found := _number(watch, f"SELECT last_value FROM {contestant.sequence}")) < least:
        for group in groups:
            group.check()
        if time.monotonic() > ends:
            break
        time.sleep(LOOK_EVERY_S)
    return found


def _await_written(watch: psycopg.Connection[Any], contestant: Contestant, groups: Sequence[Group], rows: int) -> None:
    """Wait until the rows are there, or until it is clear that they never will be."""
    _await_sequence(watch, contestant, groups, rows)
    ends = time.monotonic() + READY_WITHIN_S
    while _number(watch, contestant.written) < rows and time.monotonic() < ends:
        time.sleep(LOOK_EVERY_S)


def _number(watch: psycopg.Connection[Any], query: str) -> int:
    row: tuple[Any, ...] | None = watch.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def _wrong(watch: psycopg.Connection[Any], contestant: Contestant, heard: Sequence[traffic.Event]) -> int:
    """How many alarms stand otherwise than what was accepted says: lost, doubled, or at another status."""
    expected = traffic.expected(heard)
    nothing = ("requested", 0)
    found = watch.execute(contestant.outcome.encode()).fetchall()
    missing = expected.keys() - {row[0] for row in found}
    wrong = [row for row in found if (row[1], row[2]) != expected.get(row[0], nothing) or row[3] != row[2]]
    return len(missing) + len(wrong)


def _turn(alone: Fired, accepting: Part, applying: Part, both: Fired, through: float, held: float, wrong: int) -> Turn:
    return Turn(
        accepted_s=alone.rate,
        p50_ms=percentile(alone.latencies, 50) * 1000,
        p99_ms=percentile(alone.latencies, 99) * 1000,
        applied_s=applying.items / applying.seconds,
        through_s=through,
        live_p50_ms=percentile(both.latencies, 50) * 1000,
        live_p99_ms=percentile(both.latencies, 99) * 1000,
        accept_cpu=accepting.own / accepting.items * 1000,
        apply_cpu=applying.own / applying.items * 1000,
        postgres_cpu=accepting.postgres / accepting.items * 1000 + applying.postgres / applying.items * 1000,
        redis_cpu=accepting.redis / accepting.items * 1000 + applying.redis / applying.items * 1000,
        redis_bytes=held,
        wrong=wrong,
    )


def await_port(port: int, door: Group) -> None:
    """Wait until somebody listens. Raises OSError, and RuntimeError when the door has ended."""
    ends = time.monotonic() + READY_WITHIN_S
    while True:
        door.check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
