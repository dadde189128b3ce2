"""`python -m tests.chaos`: break everything for a while, audit what became of each alarm, exit 1 if a promise broke."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tests.chaos import report
from tests.chaos.running import run

DEFAULT_HOURS = 1 / 6


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--hours", type=float, default=DEFAULT_HOURS)
    parser.add_argument(
        "--seed", type=int, default=None, help="repeats a schedule; one is chosen and printed by default"
    )
    parser.add_argument("--keep", type=Path, default=None, help="where the ledger and the report go")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    keep = arguments.keep or Path(".tocsin") / f"chaos-{seed}"
    tell(f"seed {seed}, {arguments.hours * 60:.0f} minutes; the ledger and the report go to {keep}")
    verdict = run(seed, arguments.hours * 3600, keep.absolute(), tell)
    tell(verdict.text)
    tell(report.plain(report.table(verdict.history, verdict.violations)))
    tell(f"\n{len(verdict.violations)} violations; the same schedule again: make chaos SEED={seed}")
    return 1 if verdict.violations else 0


def tell(line: str) -> None:
    """For a person who watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
