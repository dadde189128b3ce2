"""The tables of the webhooks: figures, each as a multiple of ours and of the tightest limit, and the goals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bench.figures import Goal, middle, ratio
from bench.tables import number, table, times
from bench.turns import Turn

OURS, BOOK, NODE = "ours", "flask_celery", "node"


@dataclass(frozen=True)
class Column:
    """A figure of the table; of a cost less is better."""

    figure: str
    title: str
    digits: int
    cost: bool = True

    def of(self, turn: Turn) -> float:
        """The figure of a turn."""
        return float(getattr(turn, self.figure))


COLUMNS = (
    Column("accepted_s", "accepted/s", 0, cost=False),
    Column("p50_ms", "p50 ms", 1),
    Column("p99_ms", "p99 ms", 1),
    Column("applied_s", "applied/s", 0, cost=False),
    Column("through_s", "both at once/s", 0, cost=False),
    Column("live_p50_ms", "its p50 ms", 1),
    Column("live_p99_ms", "its p99 ms", 1),
    Column("accept_cpu", "CPU s door", 2),
    Column("apply_cpu", "CPU s work", 2),
    Column("postgres_cpu", "CPU s Postgres", 2),
    Column("redis_cpu", "CPU s Redis", 3),
    Column("redis_bytes", "Redis B/item", 0),
)
WORDS = """
`accepted/s`, p50 and p99: no worker runs. `applied/s`: the backlog of that, nothing comes in. `both at once/s`: counted
until the last write-back row exists, with the p50 and p99 of acceptance meanwhile. CPU seconds are per 1,000 webhooks.
"""


def medians(turns: Sequence[Turn]) -> Turn:
    """One turn of the medians; wrong is all that ever was."""
    values: dict[str, Any] = {each.name: middle([getattr(turn, each.name) for turn in turns]) for each in fields(Turn)}
    return Turn(**values | {"wrong": sum(turn.wrong for turn in turns)})


def show(found: Mapping[str, Turn], limits: Mapping[str, Turn], missing: Mapping[str, str]) -> None:
    """Print everything."""
    titles = ["contestant", *(column.title for column in COLUMNS)]
    rows = [[name, *_cells(turn), _verdict(turn)] for name, turn in found.items()]
    rows += [[name, *("-" for _ in COLUMNS), why] for name, why in missing.items()]
    rows += [[f"limit: {name}", *_cells(turn), ""] for name, turn in limits.items()]
    print(f"\n{table([*titles, 'verdict'], rows)}\n{WORDS}")
    everybody = {**found, **{f"limit: {name}": turn for name, turn in limits.items()}}
    if OURS in found:
        _multiples("ours", titles, everybody, {each.figure: each.of(found[OURS]) for each in COLUMNS})
    if limits:
        _multiples("the tightest limit", titles, everybody, {each.figure: _bound(each, limits) for each in COLUMNS})
    print("Goals:\n")
    for goal in goals(found):
        print(f"- {goal.line()}")


def _multiples(of: str, titles: list[str], turns: Mapping[str, Turn], base: Mapping[str, float]) -> None:
    rows = [
        [name, *(times(ratio(column.of(turn), base[column.figure])) for column in COLUMNS)]
        for name, turn in turns.items()
    ]
    print(f"As a multiple of {of}:\n\n{table(titles, rows)}\n")


def _bound(column: Column, limits: Mapping[str, Turn]) -> float:
    known = [value for turn in limits.values() if not math.isnan(value := column.of(turn))]
    if not known:
        return math.nan
    return max(known) if column.cost else min(known)


def _cells(turn: Turn) -> list[str]:
    return [number(column.of(turn), column.digits) for column in COLUMNS]


def _verdict(turn: Turn) -> str:
    return f"FAILED: {turn.wrong} alarms" if turn.wrong else "each once"


def goals(found: Mapping[str, Turn]) -> list[Goal]:
    """What is asked of ours beside the peers."""
    ours = found.get(OURS)
    peers = {name: turn for name, turn in found.items() if name != OURS}
    if ours is None:
        return []
    asked = []
    if BOOK in peers:
        asked.append(Goal(f"accepted/s, times {BOOK}", ratio(ours.accepted_s, peers[BOOK].accepted_s), 4))
    if NODE in peers:
        asked.append(Goal(f"accepted/s, times {NODE}", ratio(ours.accepted_s, peers[NODE].accepted_s), 2))
    if BOOK in peers:
        asked.append(Goal(f"applied/s, times {BOOK}", ratio(ours.applied_s, peers[BOOK].applied_s), 5))
    if others := {name: turn.applied_s for name, turn in peers.items() if name != BOOK}:
        best = max(others, key=lambda name: others[name])
        asked.append(Goal(f"applied/s, times the best other ({best})", ratio(ours.applied_s, others[best]), 2))
    for name, peer in peers.items():
        asked.append(Goal(f"p99 of acceptance, of {name}'s", ratio(ours.p99_ms, peer.p99_ms), 1, below=True))
        live = ratio(ours.live_p99_ms, peer.live_p99_ms)
        asked.append(Goal(f"p99 while applying, of {name}'s", live, 1, below=True))
    return asked
