"""A contestant on its own database: its door is fired at, its workers drain, and what stands in the end is judged."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psycopg

from bench import traffic
from bench.contestant import Contestant, Place
from bench.ground import Ground
from bench.load import Fired, Gun
from bench.meter import Meter, Part
from bench.processes import Group
from deploy.cli.ports import free_port

LOOK_EVERY_S = 0.02
READY_WITHIN_S = 30.0
DRAINED_WITHIN_S = 300.0


class GameFailedError(Exception):
    """A contestant could not play to the end; says what it said last."""


class Game:
    """Used as a context: whatever was started is stopped, and the database is gone."""

    def __init__(self, contestant: Contestant, ground: Ground, alarms: int) -> None:
        """Make the database, with incidents for alarms 0 to `alarms`."""
        self._contestant, self._ground = contestant, ground
        self.place = Place(ground, ground.fresh_database(contestant.name), free_port())
        contestant.make_ready(self.place, alarms)
        ground.settle()
        self._watch = psycopg.connect(self.place.database_url, autocommit=True)
        self.door: Group | None = None
        self.workers: Group | None = None
        self._heard: set[traffic.Event] = set()

    @property
    def distinct(self) -> int:
        """How many different events were accepted so far."""
        return len(self._heard)

    def open_door(self) -> None:
        """Start what accepts, and wait until it listens."""
        self.door = self._contestant.door(self.place)
        await_port(self.place.port, self.door)

    def close_door(self) -> None:
        """Nothing is accepted any more."""
        if self.door is not None:
            self.door.stop()
            self.door = None

    def start_workers(self) -> None:
        """Start what applies."""
        self.workers = self._contestant.workers(self.place)

    def stop_workers(self) -> None:
        """Let what applies end its work."""
        if self.workers is not None:
            self.workers.stop()
            self.workers = None

    def requests(self, events: Sequence[traffic.Event]) -> list[bytes]:
        """The events as this contestant's door takes them."""
        return [traffic.request(event, self._contestant.path, self.place.port) for event in events]

    def fire(self, gun: Gun, events: Sequence[traffic.Event], requests: Sequence[bytes], seconds: float) -> Fired:
        """Send what can be sent in the time, and remember what was accepted."""
        fired = gun.fire(self.place.port, requests, seconds=seconds)
        self._heard.update(events[: fired.sent])
        return fired

    def drain(self) -> Part:
        """Start the workers and apply the backlog; measured from its first tenth on, when each of them is awake."""
        done, all_of_it = self._position(), self.distinct
        self.start_workers()
        assert self.workers is not None
        begun = self._await_position(done + (all_of_it - done) // 10)
        meter = Meter(self._ground, self.workers)
        self.await_written()
        return meter.read(all_of_it - begun)

    def await_written(self) -> None:
        """Wait until a write-back row of each event is there, or until it is clear that some never will be."""
        self._await_position(self.distinct)
        ends = time.monotonic() + READY_WITHIN_S
        while self._number(self._contestant.written) < self.distinct and time.monotonic() < ends:
            time.sleep(LOOK_EVERY_S)

    def wrong(self) -> int:
        """How many alarms stand otherwise than what was accepted says: lost, doubled, or at another status."""
        expected = traffic.expected(self._heard)
        nothing = ("requested", 0)
        found = self._watch.execute(self._contestant.outcome.encode()).fetchall()
        missing = expected.keys() - {row[0] for row in found}
        wrong = [row for row in found if (row[1], row[2]) != expected.get(row[0], nothing) or row[3] != row[2]]
        return len(missing) + len(wrong)

    def _await_position(self, least: int) -> int:
        ends = time.monotonic() + DRAINED_WITHIN_S
        while (found := self._position()) < least and time.monotonic() < ends:
            for group in filter(None, (self.door, self.workers)):
                group.check()
            time.sleep(LOOK_EVERY_S)
        return found

    def _position(self) -> int:
        """Where the sequence of the write-backs is, which costs nothing to ask."""
        return self._number(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {self._contestant.sequence}")

    def _number(self, query: str) -> int:
        row: tuple[Any, ...] | None = self._watch.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        groups = [group for group in (self.door, self.workers) if group is not None]
        words = "\n".join(group.last_words() for group in groups)
        for group in groups:
            group.stop()
        self._watch.close()
        self._ground.drop_database(self.place.database_url)
        if isinstance(error, Exception):
            told = f"{self._contestant.name}: {type(error).__name__}: {error}\n{words}"
            raise GameFailedError(told) from error


def await_port(port: int, server: Group) -> None:
    """Wait until somebody listens. Raises OSError, and RuntimeError when the server has ended."""
    ends = time.monotonic() + READY_WITHIN_S
    while True:
        server.check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
