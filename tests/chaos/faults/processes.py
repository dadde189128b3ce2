"""Processes that end: killed or asked to, alone or together. The keeper starts them again when the fault is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from random import Random

from tests.chaos.faults.registry import BOTH_WAYS, Story, fault, register
from tests.chaos.rig import Rig

FAMILY = "processes"
NAMES = (
    "web",
    "worker_intake_1",
    "worker_intake_2",
    "worker_dispatch_1",
    "worker_dispatch_2",
    "worker_outgoing",
    "worker_periodic",
    "beat",
    "watchman",
)


def _one(name: str, what: signal.Signals) -> Story:
    def story(rig: Rig, dice: Random) -> Iterator[None]:
        rig.strike(name, what, stay_down=dice.random() < 0.6)
        yield
        rig.let_up(name)

    return story


for _name in NAMES:
    register(f"kill -9: {_name}", FAMILY, _one(_name, signal.SIGKILL), hold_s=5.0, brief_s=2.0)
    register(f"SIGTERM: {_name}", FAMILY, _one(_name, signal.SIGTERM), hold_s=5.0, brief_s=2.0)


@fault("kill -9: the door's child", FAMILY, hold_s=3.0, brief_s=2.0)
def _door_child(rig: Rig, dice: Random) -> Iterator[None]:
    rig.strike("web", signal.SIGKILL, stay_down=False, child=True)
    yield


@fault("kill -9: all workers", FAMILY, hold_s=8.0, brief_s=3.0)
def _all_workers(rig: Rig, dice: Random) -> Iterator[None]:
    names = rig.workers()
    for name in names:
        rig.strike(name, signal.SIGKILL, stay_down=True)
    yield
    rig.let_up(*names)


@fault("kill -9: one worker again and again", FAMILY, hold_s=15.0, brief_s=6.0)
def _again(rig: Rig, dice: Random) -> Iterator[None]:
    """As soon as it is back it is killed: its leases are lost one after the other."""
    name = dice.choice(rig.workers())
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(2.5):
            rig.strike(name, signal.SIGKILL, stay_down=False)

    killing = threading.Thread(target=kill)
    killing.start()
    yield
    stop.set()
    killing.join()


@fault("kill -9: every process", FAMILY, hold_s=4.0, brief_s=2.0, silences=BOTH_WAYS)
def _everything(rig: Rig, dice: Random) -> Iterator[None]:
    for name in NAMES:
        rig.strike(name, signal.SIGKILL, stay_down=True)
    yield
    rig.let_up(*NAMES)


@fault("SIGSTOP: a worker or the watchman", FAMILY, hold_s=12.0, brief_s=4.0)
def _standing_still(rig: Rig, dice: Random) -> Iterator[None]:
    name = dice.choice([*rig.workers(), "watchman"])
    rig.strike(name, signal.SIGSTOP, stay_down=False)
    yield
    rig.strike(name, signal.SIGCONT, stay_down=False)
