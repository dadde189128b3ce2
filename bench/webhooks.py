"""A signed webhook accepted durably, applied once to its incident, its write-back row made: ours beside its peers.

`python -m bench.webhooks` plays every contestant in turn on the same servers, several rounds of it, and prints the
medians. Each turn has three parts: accepting alone (no worker runs), applying alone (the backlog of the first part),
and both at once. Afterwards every event must have been applied once, and every write-back row be there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bench.contestant import Contestant
from bench.figures import Goal, middle, ratio
from bench.ground import open_ground
from bench.load import Gun
from bench.node_peer import NodePeer
from bench.ours import Ours
from bench.python_peers import FLASK_CELERY, FLASK_DRAMATIQ, FLASK_PROCRASTINATE
from bench.tables import number, table, times
from bench.turns import Turn, TurnFailedError, play

CONTESTANTS: tuple[Contestant, ...] = (Ours(), FLASK_CELERY, FLASK_DRAMATIQ, FLASK_PROCRASTINATE, NodePeer())


@dataclass(frozen=True)
class Column:
    """A figure of the table."""

    figure: str
    title: str
    digits: int


COLUMNS = (
    Column("accepted_s", "accepted/s", 0),
    Column("p50_ms", "p50 ms", 1),
    Column("p99_ms", "p99 ms", 1),
    Column("applied_s", "applied/s", 0),
    Column("through_s", "both at once/s", 0),
    Column("live_p50_ms", "its p50 ms", 1),
    Column("live_p99_ms", "its p99 ms", 1),
    Column("accept_cpu", "CPU s door", 2),
    Column("apply_cpu", "CPU s work", 2),
    Column("postgres_cpu", "CPU s Postgres", 2),
    Column("redis_cpu", "CPU s Redis", 2),
    Column("redis_bytes", "Redis B/item", 0),
)


def medians(turns: Sequence[Turn]) -> Turn:
    """One turn of the medians; wrong is all that ever was."""
    values: dict[str, Any] = {each.name: middle([getattr(turn, each.name) for turn in turns]) for each in fields(Turn)}
    return Turn(**values | {"wrong": sum(turn.wrong for turn in turns)})


def show(found: Mapping[str, Turn], missing: Mapping[str, str]) -> None:
    """The figures, and each as a multiple of ours."""
    header = ["contestant", *(column.title for column in COLUMNS), "verdict"]
    rows = [[name, *_cells(turn), _verdict(turn)] for name, turn in found.items()]
    rows += [[name, *("-" for _ in COLUMNS), why] for name, why in missing.items()]
    print(f"\n{table(header, rows)}")
    print("\nCPU seconds are per 1,000 webhooks; `both at once` counts until the last write-back row exists.")
    if "ours" in found:
        ours = found["ours"]
        rows = [[name, *(times(ratio(_figure(turn, each), _figure(ours, each))) for each in COLUMNS)]
                for name, turn in found.items()]  # fmt: skip
        print(f"\nAs a multiple of ours:\n\n{table(header[:-1], rows)}")


def _cells(turn: Turn) -> list[str]:
    return [number(_figure(turn, column), column.digits) for column in COLUMNS]


def _figure(turn: Turn, column: Column) -> float:
    return float(getattr(turn, column.figure))


def _verdict(turn: Turn) -> str:
    return f"FAILED: {turn.wrong} alarms" if turn.wrong else "each once"


def goals(found: Mapping[str, Turn]) -> list[Goal]:
    """What the issue asks of ours beside the peers."""
    ours = found.get("ours")
    if ours is None:
        return []
    asked = []
    if (book := found.get("flask_celery")) is not None:
        asked.append(Goal("accepted/s, times flask_celery", ratio(ours.accepted_s, book.accepted_s), 4))
        asked.append(Goal("applied/s, times flask_celery", ratio(ours.applied_s, book.applied_s), 5))
    if (node := found.get("node")) is not None:
        asked.append(Goal("accepted/s, times node", ratio(ours.accepted_s, node.accepted_s), 2))
    others = {name: peer.applied_s for name, peer in found.items() if name not in ("ours", "flask_celery")}
    if others:
        best = max(others, key=lambda name: others[name])
        asked.append(Goal(f"applied/s, times the best other ({best})", ratio(ours.applied_s, others[best]), 2))
    for name, peer in found.items():
        if name != "ours":
            asked.append(Goal(f"p99 of acceptance, part of {name}'s", ratio(ours.p99_ms, peer.p99_ms), 1, below=True))
            live = ratio(ours.live_p99_ms, peer.live_p99_ms)
            asked.append(Goal(f"p99 of it while applying, part of {name}'s", live, 1, below=True))
    return asked


def main() -> int:
    """Play, print; 1 when something was lost or doubled."""
    everybody: dict[str, Contestant] = {each.name: each for each in CONTESTANTS}
    parser = argparse.ArgumentParser(prog="bench.webhooks", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join(everybody)}, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of fire, in each part of a turn")
    parser.add_argument("--quick", action="store_true", help="one short round")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(everybody)
    rounds, seconds = (1, 3.0) if asked.quick else (asked.rounds, asked.seconds)
    missing = {name: why for name in names if (why := everybody[name].missing()) is not None}
    turns: dict[str, list[Turn]] = {name: [] for name in names if name not in missing}
    gun = Gun()
    try:
        with open_ground() as ground:
            for number_of in range(rounds):
                for name in [name for name in turns if name not in missing]:
                    try:
                        turns[name].append(play(everybody[name], ground, gun, seconds))
                        words = "played"
                    except TurnFailedError as error:
                        missing[name] = "FAILED: could not play to the end"
                        words = str(error)
                    print(f"round {number_of + 1} of {rounds}: {name}: {words}", file=sys.stderr, flush=True)
    finally:
        gun.close()
    found = {name: medians(played) for name, played in turns.items() if name not in missing}
    show(found, missing)
    print("\nGoals:\n")
    for goal in goals(found):
        print(f"- {goal.line()}")
    failed = any(turn.wrong for turn in found.values()) or any("FAILED" in why for why in missing.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
