"""Clocks that jump, as far as that can be faked without root: the wall clock of single processes, and a provider's.

A shim that is preloaded shifts what a process reads of the wall clock. Postgres's clock, which decides about leases,
stays the kernel's: it cannot be moved here for one server alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.faults.registry import fault
from tests.chaos.rig import Rig
from tests.shifted_clock import set_clock, shifted_clock

FAMILY = "clocks"
JUMPS_S = (-3600, -40, 40, 3600, 86_400)
JUMPING = ("worker_dispatch_1", "worker_intake_1", "worker_outgoing", "watchman")
AWAY = ("worker_dispatch_2", "worker_intake_2")


@fault("clock: jumps in workers and a watchman", FAMILY, hold_s=20.0, brief_s=8.0)
def _workers(rig: Rig, dice: Random) -> Iterator[None]:
    """In place of those whose clocks are right: nobody else is there to do their work."""
    off = shifted_clock(rig.folder, 0)
    if off is None:
        rig.left_out.add("jumping clocks of workers: there is no C compiler here")
        yield
        return
    names = {f"jumping_{line}": line for line in JUMPING}
    for line in (*JUMPING, *AWAY):
        rig.strike(line, signal.SIGTERM, stay_down=True)
    for name, line in names.items():
        rig.add(name, line, **off)
    stop = threading.Event()
    jumping = threading.Thread(target=_jump, args=(rig.folder, stop, dice), daemon=True)
    jumping.start()
    yield
    stop.set()
    jumping.join()
    rig.remove(*names)
    rig.let_up(*JUMPING, *AWAY)


def _jump(folder: Path, stop: threading.Event, dice: Random) -> None:
    while not stop.wait(2.0):
        set_clock(folder, dice.choice(JUMPS_S))


@fault("clock: a provider's is off", FAMILY, hold_s=10.0, brief_s=4.0)
def _provider(rig: Rig, dice: Random) -> Iterator[None]:
    rig.aura("_control", clock_skew_s=dice.choice((-900.0, -70.0, 70.0, 900.0)))
    yield
    rig.aura("_control", clock_skew_s=0.0)
