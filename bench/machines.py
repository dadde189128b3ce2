"""Two worker machines against one, on a load that the provider bounds: each create is answered after two seconds.

A machine is the two `worker_dispatch` processes of the Procfile with their own limits, under its own name. The creates
are there before the first worker starts; one watchman rings for what waits, and is too patient to work it itself.
"""

from __future__ import annotations

import argparse
import time

import requests
from sqlalchemy import text

from bench.contestant import Place
from bench.desk import HOME, post
from bench.figures import Goal, ratio
from bench.game import await_port
from bench.ground import Ground, open_ground
from bench.load import Gun
from bench.ours import Ours
from bench.tables import number, table
from deploy.cli.ports import free_port
from deploy.sandbox import Sandbox
from shared.accounts import DEFAULT_PLATFORM
from shared.store.keys import create_key

ANSWER_MS = 2_000
CREATES = 240
WAITING = text("SELECT count(*) FROM outbox WHERE kind = 'create' AND state = 'pending'")
LOOK_EVERY_S = 0.02


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.machines", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--creates", type=int, default=CREATES)
    creates: int = parser.parse_args().creates
    gun, sandbox = Gun(), Sandbox({}).start()
    try:
        requests.post(
            f"{sandbox.noonlight.url}/_control", json={"latency_ms": ANSWER_MS}, timeout=10
        ).raise_for_status()
        provider = {"noonlight_base_url": sandbox.noonlight.url, "noonlight_token": sandbox.config.noonlight.token}
        ours = Ours(**provider, watchman_patience_s="3600")
        with open_ground() as ground:
            found = {machines: play(ours, ground, gun, machines, creates) for machines in (1, 2)}
    finally:
        sandbox.stop()
        gun.close()
    rows = [[str(machines), number(rate, 1), number(rate / found[1], 2)] for machines, rate in found.items()]
    print(f"\n{table([f'machines, answers after {ANSWER_MS} ms', 'creates/s', 'times one'], rows)}\n")
    print(f"- {Goal('creates/s of two machines, times one', ratio(found[2], found[1]), 1.9).line()}")


def play(ours: Ours, ground: Ground, gun: Gun, machines: int, creates: int) -> float:
    """Creates per second, from the first tenth to the last."""
    place = Place(ground, ground.fresh_database("machines"), free_port())
    ours.make_ready(place, 0)
    ground.settle()
    prepare(ours, place, gun, creates)
    groups = [ours.launch(place, "watchman")]
    groups += [ours.launch(place, "worker_dispatch", machine=f"machine{number_}") for number_ in range(machines)]
    try:
        began, begun = _until(ours, place, creates * 9 // 10)
        ended, left = _until(ours, place, creates // 10)
    finally:
        for group in groups:
            group.stop()
        ground.drop_database(place.database_url)
    return (begun - left) / (ended - began)


def prepare(ours: Ours, place: Place, gun: Gun, creates: int) -> None:
    """Post the alarms, and work them until their creates wait."""
    with ours.session(place) as session, session.begin():
        key = create_key(session, DEFAULT_PLATFORM, "bench", ["alarms"])[1]
    group = ours.launch(place, "web", "worker_intake")
    try:
        await_port(place.port, group)
        posts = [post(key, {"incident_ref": f"ref-{n}", "kind": "burglary", **HOME}) for n in range(creates)]
        gun.fire(place.port, posts, seconds=60)
        with ours.session(place) as session:
            while session.execute(WAITING).scalar_one() < creates:
                session.rollback()
                time.sleep(LOOK_EVERY_S)
    finally:
        group.stop()


def _until(ours: Ours, place: Place, left: int) -> tuple[float, int]:
    """Wait until no more than `left` creates wait; when that was, and how many did."""
    with ours.session(place) as session:
        while (found := int(session.execute(WAITING).scalar_one())) > left:
            time.sleep(LOOK_EVERY_S)
            session.rollback()
    return time.monotonic(), found


if __name__ == "__main__":
    main()
