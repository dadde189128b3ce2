"""What an event costs with a long history behind it: 10 thousand, 1 million and 5 million finished events.

`python -m bench.history 10000 1000000 5000000` (by default without the last, which needs 10 GB and some minutes). A
finished event left a row each in `inbox`, `timeline`, `outbox` and `attempt`, and every second of them an incident with
its leg. The databases take turns, with the same events each.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields

import psycopg
from sqlalchemy.engine import make_url

from bench import traffic
from bench.contestant import Place
from bench.figures import Goal, middle, ratio
from bench.game import READY_WITHIN_S, Game
from bench.ground import Ground, open_ground
from bench.load import Gun
from bench.meter import Meter
from bench.ours import ACCOUNT, Ours
from bench.tables import number, table, times

SIZES = (10_000, 1_000_000)
ALARMS = 3_000
ROUNDS = 5
SEED = 20260502
# Ids below zero: the sequences stand at their beginning, and what is new is told by its sign.
HISTORY = (
    """INSERT INTO incident (id, platform_id, incident_ref, account_id, kind, services, details, status, moments, seq,
        occurred_at, received_at, ended_at, report_url)
    SELECT 'old_' || n, 'default', 'old-' || n, '{account}', 'burglary', '{{police}}', '{sealed}', 'closed', '{{}}', 2,
        now() - n * interval '1 second', now() - n * interval '1 second', now() - n * interval '1 second', 'filed'
    FROM generate_series(1, {alarms}) AS n""",
    """INSERT INTO dispatch (id, incident_id, account_id, outcome, provider_alarm_id, status)
    SELECT -n, 'old_' || n, '{account}', 'ended', 'old-' || md5(n::text), 'closed'
    FROM generate_series(1, {alarms}) AS n""",
    """INSERT INTO incident_leg (incident_id, leg_id, outcome)
    SELECT 'old_' || n, -n, 'ended' FROM generate_series(1, {alarms}) AS n""",
    """INSERT INTO inbox (id, source, account_id, platform_id, event_id, digest, stream, subject, body, state, attempts,
        received_at, worked_at)
    SELECT -n, 'webhook', '{account}', 'default', 'old-' || md5(n::text), md5(n::text) || md5((-n)::text),
        '{account}:old-' || n / 2, 'old-' || n / 2, '{sealed}', 'done', 1, now() - n * interval '1 second', now()
    FROM generate_series(1, {events}) AS n""",
    """INSERT INTO timeline (id, incident_id, leg_id, event, source, status, entry, effect, occurred_at, recorded_at)
    SELECT -n, 'old_' || (n + 1) / 2, -(n + 1) / 2, 'closed', '{account}', 'closed', 'closed by the dispatcher',
        'event:old-' || md5(n::text), now(), now()
    FROM generate_series(1, {events}) AS n""",
    """INSERT INTO outbox (id, lane, kind, destination, platform_id, incident_id, seq, body, state, attempts, done_at)
    SELECT -n, 'outgoing', 'writeback', 'platform:default', 'default', 'old_' || (n + 1) / 2, n % 2 + 1,
        jsonb_build_object('id', 'wb_' || md5(n::text), 'entry', repeat('x', 300)), 'done', 1, now()
    FROM generate_series(1, {events}) AS n""",
    """INSERT INTO attempt (id, outbox_id, token, outcome, http_status, ended_at)
    SELECT -n, -n, 1, 'accepted', 200, now() FROM generate_series(1, {events}) AS n""",
)
FURTHER_INDEXES = """
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
    JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.relname IN ('incident', 'dispatch', 'incident_leg', 'inbox', 'timeline', 'outbox', 'attempt')
        AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""


class Aged(Ours):
    """Tocsin with so many finished events behind it."""

    written = f"{Ours.written} AND id > 0"
    outcome = f"{Ours.outcome} WHERE i.id LIKE 'inc_%'"

    def __init__(self, events: int) -> None:
        """The history is made with the schema."""
        super().__init__()
        self._events = events

    def make_ready(self, place: Place, alarms: int) -> None:
        """The alarms to come, and those that were."""
        super().make_ready(place, alarms)
        values = {"account": ACCOUNT, "sealed": "x" * 300, "events": self._events, "alarms": self._events // 2}
        url = make_url(place.ground.embedded.postgres.admin_url).set(drivername="postgresql")
        url = url.set(database=make_url(place.database_url).database)
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            # References are right by construction, and checking each takes hours.
            connection.execute("SET session_replication_role = replica")
            further = connection.execute(FURTHER_INDEXES).fetchall()
            for name, _ in further:
                connection.execute(f"DROP INDEX {name}".encode())
            for statement in HISTORY:
                connection.execute(statement.format(**values).encode())
            for _, definition in further:
                connection.execute(definition.encode())
            connection.execute("VACUUM ANALYZE")


@dataclass(frozen=True)
class Cost:
    """Of 1,000 events: CPU seconds of the door and the worker, of Postgres for each, and the seconds to apply them."""

    door: float
    door_postgres: float
    worker: float
    worker_postgres: float
    wall: float

    @property
    def cpu(self) -> float:
        """All of it."""
        return self.door + self.door_postgres + self.worker + self.worker_postgres


def main() -> int:
    """Measure and print; 1 when something was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, help="finished events")
    sizes: list[int] = parser.parse_args().sizes
    gun = Gun()
    costs: dict[int, list[Cost]] = defaultdict(list)
    try:
        with open_ground() as ground, ExitStack() as games:
            players = {size: games.enter_context(Game(Aged(size), ground, ROUNDS * ALARMS)) for size in sizes}
            for round_ in range(ROUNDS):
                for size, game in players.items():
                    costs[size].append(play(game, ground, gun, round_ * ALARMS))
            wrong = {size: game.wrong() for size, game in players.items()}
    finally:
        gun.close()
    show({size: medians(found) for size, found in costs.items()}, wrong)
    return 1 if any(wrong.values()) else 0


def play(game: Game, ground: Ground, gun: Gun, first: int) -> Cost:
    """Accept and apply the events of the next alarms, one after the other."""
    events = traffic.sequence(first, ALARMS, SEED + first)
    ground.settle()
    game.open_door()
    assert game.door is not None
    meter = Meter(ground, game.door)
    fired = game.fire(gun, events, game.requests(events), READY_WITHIN_S)
    accepting = meter.read(fired.sent)
    game.close_door()
    applying = game.drain()
    game.stop_workers()
    return Cost(
        door=accepting.per_1000(accepting.own),
        door_postgres=accepting.per_1000(accepting.postgres),
        worker=applying.per_1000(applying.own),
        worker_postgres=applying.per_1000(applying.postgres),
        wall=1000 / applying.rate,
    )


def medians(found: list[Cost]) -> Cost:
    """Of the rounds."""
    return Cost(*(middle([getattr(each, part.name) for each in found]) for part in fields(Cost)))


def show(costs: dict[int, Cost], wrong: dict[int, int]) -> None:
    """Print the table, the first size being the measure of the others."""
    least = costs[min(costs)]
    rows = [
        [
            number(size),
            *(number(value, 3) for value in (*astuple(cost)[:-1], cost.cpu, cost.wall)),
            times(ratio(cost.cpu, least.cpu)),
            times(ratio(cost.wall, least.wall)),
            f"FAILED: {wrong[size]}" if wrong[size] else "each once",
        ]
        for size, cost in costs.items()
    ]
    parts = ["CPU s door", "Postgres for it", "CPU s worker", "Postgres for it", "all", "s to apply"]
    print(f"\n{table(['finished events behind', *parts, 'CPU', 'time', 'verdict'], rows)}")
    print("\nPer 1,000 events; `CPU` and `time` are the two before them as a multiple of the first row's.\n")
    for size, cost in costs.items():
        if cost is not least:
            words = f"CPU per event with {size:,} behind it, times that with {min(costs):,}"
            print(f"- {Goal(words, ratio(cost.cpu, least.cpu), 1.1, below=True).line()}")


if __name__ == "__main__":
    sys.exit(main())
