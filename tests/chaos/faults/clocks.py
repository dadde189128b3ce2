"""Clocks that jump, as far as that can be faked without root: a worker's own `time.time`, and a provider's clock.

Postgres's clock, which decides about leases, is the kernel's and cannot be moved here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.faults.registry import fault
from tests.chaos.rig import Rig
from tests.e2e.stack import ROOT

FAMILY = "clocks"
SHIFTED = Path(__file__).resolve().parents[1] / "shifted"
JUMPS_S = (-3600.0, -40.0, 40.0, 3600.0, 86_400.0)


@fault("clock: jumps in workers and a watchman", FAMILY, hold_s=15.0, brief_s=5.0)
def _workers(rig: Rig, dice: Random) -> Iterator[None]:
    file = rig.folder / "clock"
    file.write_text("0")
    names = {f"jumping_{line}": line for line in ("worker_dispatch_1", "worker_intake", "watchman")}
    for name, line in names.items():
        rig.add(name, line, PYTHONPATH=f"{SHIFTED}:{ROOT}", TOCSIN_CHAOS_CLOCK=str(file))
    stop = threading.Event()
    jumping = threading.Thread(target=_jump, args=(file, stop, dice), daemon=True)
    jumping.start()
    yield
    stop.set()
    jumping.join()
    rig.remove(*names)


def _jump(file: Path, stop: threading.Event, dice: Random) -> None:
    while not stop.wait(2.0):
        file.write_text(str(dice.choice(JUMPS_S)))


@fault("clock: a provider's is off", FAMILY, hold_s=10.0, brief_s=4.0)
def _provider(rig: Rig, dice: Random) -> Iterator[None]:
    rig.aura("_control", clock_skew_s=dice.choice((-900.0, -70.0, 70.0, 900.0)))
    yield
    rig.aura("_control", clock_skew_s=0.0)
