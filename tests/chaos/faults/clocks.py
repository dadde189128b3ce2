"""Clocks that jump, as far as that can be faked without root: the wall clock of single processes, and a provider's.

A shim that is preloaded shifts what a process reads of the wall clock; it is compiled when it is first used. Postgres's
clock, which decides about leases, stays the kernel's: it cannot be moved here for one server alone.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.faults.registry import fault
from tests.chaos.rig import Rig

FAMILY = "clocks"
SHIM = Path(__file__).with_name("shifted_clock.c")
JUMPS_S = (-3600, -40, 40, 3600, 86_400)
JUMPING = ("worker_dispatch_1", "worker_intake", "worker_outgoing", "watchman")


@fault("clock: jumps in workers and a watchman", FAMILY, hold_s=20.0, brief_s=8.0)
def _workers(rig: Rig, dice: Random) -> Iterator[None]:
    """In place of those whose clocks are right: nobody else is there to do their work."""
    shim = _shim(rig.folder)
    if shim is None:
        rig.left_out.add("jumping clocks of workers: there is no C compiler here")
        yield
        return
    file = rig.folder / "clock"
    file.write_text("0")
    names = {f"jumping_{line}": line for line in JUMPING}
    for name, line in names.items():
        rig.strike(line, signal.SIGTERM, stay_down=True)
        rig.add(name, line, LD_PRELOAD=str(shim), CHAOS_CLOCK=str(file))
    stop = threading.Event()
    jumping = threading.Thread(target=_jump, args=(file, stop, dice), daemon=True)
    jumping.start()
    yield
    stop.set()
    jumping.join()
    rig.remove(*names)
    rig.let_up(*JUMPING)


def _jump(file: Path, stop: threading.Event, dice: Random) -> None:
    while not stop.wait(2.0):
        file.write_text(str(dice.choice(JUMPS_S)))


def _shim(folder: Path) -> Path | None:
    """The compiled shim; None without a compiler."""
    made = folder / "shifted_clock.so"
    if not made.exists() and shutil.which("cc") is not None:
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(SHIM), "-ldl"], check=True)
    return made if made.exists() else None


@fault("clock: a provider's is off", FAMILY, hold_s=10.0, brief_s=4.0)
def _provider(rig: Rig, dice: Random) -> Iterator[None]:
    rig.aura("_control", clock_skew_s=dice.choice((-900.0, -70.0, 70.0, 900.0)))
    yield
    rig.aura("_control", clock_skew_s=0.0)
