"""A signed webhook accepted durably, applied once to its incident, its write-back row made: ours beside its peers.

`python -m bench.webhooks` plays every contestant in turn on the same servers, several rounds of it, and prints the
medians. Each turn has three parts: accepting alone (no worker runs), applying alone (the backlog of the first part),
and both at once. Afterwards every event must have been applied once, and every write-back row be there.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

from bench import comparison, limits
from bench.contestant import Contestant
from bench.game import GameFailedError
from bench.ground import Ground, open_ground
from bench.load import Gun
from bench.node_peer import NodePeer
from bench.ours import Ours
from bench.python_peers import FLASK_CELERY, FLASK_DRAMATIQ, FLASK_PROCRASTINATE
from bench.turns import Turn, play

CONTESTANTS: tuple[Contestant, ...] = (Ours(), FLASK_CELERY, FLASK_DRAMATIQ, FLASK_PROCRASTINATE, NodePeer())
LIMITS = "limits"


class Run:
    """Rounds of turns, and what came of them."""

    def __init__(self, names: Sequence[str], seconds: float) -> None:
        """`seconds` of fire in each part of a turn."""
        self._players = [each for each in CONTESTANTS if each.name in names]
        self._with_limits = LIMITS in names
        self._seconds = seconds
        self._turns: dict[str, list[Turn]] = defaultdict(list)
        self._limits: dict[str, list[Turn]] = defaultdict(list)
        self._missing = {each.name: why for each in self._players if (why := each.missing()) is not None}

    def round(self, ground: Ground, gun: Gun) -> None:
        """Everybody once; whoever cannot play to the end is out."""
        for player in self._players:
            if player.name in self._missing:
                continue
            try:
                self._turns[player.name].append(play(player, ground, gun, self._seconds))
                print(f"{player.name}: played", file=sys.stderr, flush=True)
            except GameFailedError as error:
                self._missing[player.name] = "FAILED: could not play to the end"
                print(error, file=sys.stderr, flush=True)
        if self._with_limits:
            self._limits["pgbench INSERT"].append(limits.commits(ground, self._seconds))
            name, turn = limits.pushes(ground, gun, self._seconds)
            self._limits[name].append(turn)
            self._limits["bare WSGI 204"].append(limits.answers(ground, gun, self._seconds))

    def conclude(self) -> int:
        """Print the medians; 1 when something was lost or doubled, or could not be shown not to be."""
        found = {name: comparison.medians(turns) for name, turns in self._turns.items() if name not in self._missing}
        bounds = {name: comparison.medians(turns) for name, turns in self._limits.items()}
        comparison.show(found, bounds, self._missing)
        failed = any(turn.wrong for turn in found.values()) or any("FAILED" in why for why in self._missing.values())
        return 1 if failed else 0


def main() -> int:
    """Play and print."""
    names = [*(each.name for each in CONTESTANTS), LIMITS]
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"some of {','.join(names)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of fire, in each part of a turn")
    parser.add_argument("--quick", action="store_true", help="one short round")
    asked = parser.parse_args()
    rounds, seconds = (1, 2.0) if asked.quick else (asked.rounds, asked.seconds)
    run = Run(asked.only, seconds)
    gun = Gun()
    try:
        with open_ground() as ground:
            for _ in range(rounds):
                run.round(ground, gun)
    finally:
        gun.close()
    return run.conclude()


if __name__ == "__main__":
    sys.exit(main())
