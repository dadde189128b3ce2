"""A storm: 25,000 sites report trouble within a minute, and among them 200 people press a button and 200 homes burn.

The whole stack of `tocsin up`, every process of the Procfile, with the sandbox as the world. Each alarm has its moment,
whether a connection is free or not. None may be lost, none doubled; `--quick` is a tenth of it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import requests
from sqlalchemy import text

from bench.desk import PERSON, cpu_seconds, door_port, open_desk, post
from bench.figures import Goal, percentile
from bench.load import Fired, Gun
from bench.tables import number, table
from deploy.cli.stack import Stack

SEED = 20260501
SITES = text("""
    INSERT INTO site (platform_id, account_id, reference, name, address)
    SELECT 'default', 'noonlight', 'site-' || i, 'Depot ' || i,
        jsonb_build_object('line1', i || ' Some Street', 'city', 'St. Louis', 'state', 'MO', 'zip', '63101')
    FROM generate_series(1, :sites) AS i
""")
SETTLED_WITHIN_S = 300.0
DISPATCHED = ("panic", "fire")
STAGES = text("""
    SELECT i.incident_ref, extract(epoch FROM i.received_at), extract(epoch FROM b.worked_at),
        extract(epoch FROM d.sending_at)
    FROM incident i
    JOIN inbox b ON b.incident_id = i.id AND b.source = 'alarm'
    JOIN dispatch d ON d.incident_id = i.id
""")


@dataclass(frozen=True)
class Size:
    """How many of each kind in how many seconds; `troubles` sites lose their line."""

    troubles: int = 25_000
    panics: int = 200
    fires: int = 200
    seconds: float = 60.0

    def alarms(self) -> list[tuple[float, dict[str, Any]]]:
        """When each alarm comes, and what it says; each of a site of its own."""
        kinds = ["trouble"] * self.troubles + ["panic"] * self.panics + ["fire"] * self.fires
        dice = random.Random(SEED)
        made = []
        for at, kind in enumerate(kinds, start=1):
            body = {"incident_ref": f"{kind}-{at}", "kind": kind, "site_ref": f"site-{at}", "person": PERSON}
            made.append((dice.random() * self.seconds, body))
        return sorted(made, key=lambda pair: pair[0])


@dataclass(frozen=True)
class Aftermath:
    """What stands when all is worked."""

    lost: int
    doubled: int
    # From the moment of a panic until the provider began to read its request, in seconds.
    panics: list[float]
    fires: list[float]
    # On that way: from its moment until the door has it, until it is decided, until its create is about to leave.
    stages: dict[str, list[float]]
    settled_s: float
    writebacks_waiting: int
    watchman: int
    # Seconds, by process, from the first alarm until all were worked.
    cpu: dict[str, float]


def main() -> int:
    """Let it storm; 1 when an alarm was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it, in six seconds")
    size = Size(2_500, 20, 20, 6.0) if parser.parse_args().quick else Size()
    gun = Gun()
    try:
        with open_desk() as stack:
            fired, after = storm(stack, gun, size)
    finally:
        gun.close()
    show(size, fired, after)
    return 1 if after.lost or after.doubled else 0


def storm(stack: Stack, gun: Gun, size: Size) -> tuple[Fired, Aftermath]:
    """Make the sites, fire, and look at what stands."""
    alarms = size.alarms()
    with stack.session() as session, session.begin():
        session.execute(SITES, {"sites": len(alarms)})
    with stack.session() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(text("VACUUM ANALYZE site"))
    posts = [post(stack.described["api_key"], body) for _, body in alarms]
    due = [at for at, _ in alarms]
    before = cpu_seconds(stack)
    fired = gun.fire(door_port(stack), posts, seconds=SETTLED_WITHIN_S, due=due)
    moments = {body["incident_ref"]: fired.began + at for at, body in alarms}
    return fired, _aftermath(stack, moments, fired.began + size.seconds, before)


def _aftermath(stack: Stack, moments: dict[str, float], last: float, before: dict[str, float]) -> Aftermath:
    wanted = {ref for ref in moments if ref.startswith(DISPATCHED)}
    ends = time.monotonic() + SETTLED_WITHIN_S
    while (_number(stack, "SELECT count(*) FROM inbox WHERE state = 'pending'") or _unserved(stack)) and (
        time.monotonic() < ends
    ):
        time.sleep(0.5)
    settled_s = time.time() - last
    cpu = {name: seconds - before.get(name, 0.0) for name, seconds in cpu_seconds(stack).items()}
    with stack.session() as session:
        rows = session.execute(text("SELECT incident_ref, status FROM incident")).all()
    incidents = Counter(row[0] for row in rows)
    worked = {row[0] for row in rows if row[1] not in ("received", "requesting")}
    arrived = _arrivals(stack, wanted)
    creates = Counter(ref for ref, _ in arrived)
    first = {ref: at - moments[ref] for ref, at in reversed(arrived)}
    return Aftermath(
        lost=len(moments.keys() - worked) + len(wanted - creates.keys()),
        doubled=sum(count - 1 for count in [*incidents.values(), *creates.values()]),
        panics=[took for ref, took in first.items() if ref.startswith("panic")],
        fires=[took for ref, took in first.items() if ref.startswith("fire")],
        stages=_stages(stack, moments),
        settled_s=max(0.0, settled_s),
        writebacks_waiting=_number(stack, "SELECT count(*) FROM outbox WHERE kind = 'writeback' AND state = 'pending'"),
        watchman=_number(stack, "SELECT coalesce((detail->>'acted')::int, 0) FROM heartbeat WHERE name = 'watchman'"),
        cpu=cpu,
    )


def _stages(stack: Stack, moments: dict[str, float]) -> dict[str, list[float]]:
    with stack.session() as session:
        rows = session.execute(STAGES).all()
    names = ("its moment to the door's row", "the row to the decision", "the decision to the send")
    found: dict[str, list[float]] = {name: [] for name in names}
    for ref, *stages in rows:
        ends = [moments[ref], *(float(at) for at in stages if at is not None)]
        for name, began, ended in zip(names, ends, ends[1:], strict=False):
            found[name].append(ended - began)
    return found


def _unserved(stack: Stack) -> int:
    return _number(stack, "SELECT count(*) FROM dispatch WHERE outcome NOT IN ('accepted', 'ended')")


def _number(stack: Stack, query: str) -> int:
    with stack.session() as session:
        return int(session.execute(text(query)).scalar() or 0)


def _arrivals(stack: Stack, refs: set[str]) -> list[tuple[str, float]]:
    """The reference in each create that the provider's server read, and when it began to, in order."""
    url = stack.described["sandbox"]["noonlight"]["url"]
    told = requests.get(f"{url}/_log", params={"path": "/dispatch/v1/alarms", "method": "POST"}, timeout=60)
    found = []
    for entry in told.json():
        words = json.loads(entry["body"])["instructions"]["entry"].split()
        found.append((next(word for word in words if word in refs), entry["time"]))
    return found


def show(size: Size, fired: Fired, after: Aftermath) -> None:
    """Print the table and the goals."""
    took = fired.latencies
    rows = [
        ["accepted", number(fired.sent), ""],
        ["503 and sent again", number(fired.repeats), ""],
        ["acceptance, ms", number(percentile(took, 50) * 1000, 1), number(percentile(took, 99) * 1000, 1)],
        ["panic to provider, ms", *_pair(after.panics)],
        ["fire to provider, ms", *_pair(after.fires)],
        *([f"... {name}", *_pair(took)] for name, took in after.stages.items()),
        ["last alarm to all worked, s", number(after.settled_s, 1), ""],
        ["write-backs that still wait", number(after.writebacks_waiting), ""],
        ["rows worked by the watchman", number(after.watchman), ""],
        ["lost", number(after.lost), ""],
        ["doubled", number(after.doubled), ""],
    ]
    words = f"{size.troubles} troubles, {size.panics} panics, {size.fires} fires in {size.seconds:.0f} s"
    print(f"\n{table([words, 'p50 or count', 'p95 (acceptance: p99)'], rows)}\n")
    most = sorted(after.cpu.items(), key=lambda pair: -pair[1])
    print(f"{table(['process', 'CPU s'], [[name, number(seconds, 1)] for name, seconds in most])}\n")
    for goal in (
        Goal("p99 of acceptance, s", percentile(took, 99), 1.0, below=True),
        Goal("p95 of panic to provider, s", percentile(after.panics, 95), 2.0, below=True),
    ):
        print(f"- {goal.line()}")


def _pair(took: list[float]) -> list[str]:
    return [number(percentile(took, percent) * 1000, 0) for percent in (50, 95)]


if __name__ == "__main__":
    sys.exit(main())
