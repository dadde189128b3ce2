"""The memory of each process before and after many events: `python -m bench.memory 1000000` (by default 20,000).

Every process of the Procfile but Flower; webhooks come in and are applied all the while. No write-back address is set,
so that the figures are not those of a queue that a sandbox drains slowly.
"""

from __future__ import annotations

import argparse
import time

from sqlalchemy import text

from bench import traffic
from bench.contestant import Place
from bench.game import READY_WITHIN_S, await_port
from bench.ground import open_ground
from bench.load import Gun
from bench.ours import Ours
from bench.tables import number, table
from deploy.cli.ports import free_port

EVENTS = 20_000
STEPS = 10
# Caches and pools are filled after these.
WARM_UP = 2_000
SEED = 20260503
LOOK_EVERY_S = 0.1
APPLIED = text("SELECT count(*) FROM inbox WHERE state = 'pending'")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("events", type=int, nargs="?", default=EVENTS)
    events: int = parser.parse_args().events
    ours, gun = Ours(), Gun()
    with open_ground() as ground:
        place = Place(ground, ground.fresh_database("memory"), free_port())
        ours.make_ready(place, (WARM_UP + events) // len(traffic.STORY) + STEPS)
        with ours.session(place) as session, session.begin():
            session.execute(text("UPDATE platform SET writeback_url = ''"))
        group = ours.launch(place, "web", "worker", "beat", "watchman")
        try:
            await_port(place.port, group)
            apply(ours, place, gun, 0, WARM_UP)
            seen = [group.resident()]
            for step in range(STEPS):
                apply(ours, place, gun, WARM_UP + step * (events // STEPS), events // STEPS)
                seen.append(group.resident())
        finally:
            group.stop()
            gun.close()
    show(events, seen)


def apply(ours: Ours, place: Place, gun: Gun, first: int, count: int) -> None:
    """Send the events from number `first` on, and wait until they are applied."""
    events = traffic.sequence(first // len(traffic.STORY), count // len(traffic.STORY), SEED + first)
    posts = [traffic.request(event, ours.path, place.port) for event in events]
    gun.fire(place.port, posts, seconds=10 * READY_WITHIN_S)
    with ours.session(place) as session:
        while session.execute(APPLIED).scalar():
            session.rollback()
            time.sleep(LOOK_EVERY_S)


def show(events: int, seen: list[dict[str, int]]) -> None:
    """Print megabytes."""
    rows = [[name, *(number(at[name] / 2**20, 1) for at in (seen[0], seen[STEPS // 2], seen[-1]))] for name in seen[0]]
    rows = [[*row, number((seen[-1][row[0]] - seen[0][row[0]]) / 2**20, 1)] for row in rows]
    header = ["resident MB", "warm", f"after {events // 2:,}", f"after {events:,} events", "growth"]
    print(f"\n{table(header, rows)}\n")


if __name__ == "__main__":
    main()
