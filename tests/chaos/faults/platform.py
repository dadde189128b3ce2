"""The operator's system: away for long, hanging, or losing its answers; its escalation address goes with it or not."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from tests.chaos.faults.registry import BOTH_WAYS, fault
from tests.chaos.rig import Rig

FAMILY = "platform"


def _with(rig: Rig, kind: str, *paths: str, **rule: Any) -> Iterator[None]:
    rig.platform("_control", **{kind: [{"path": path, **rule} for path in paths]})
    yield
    rig.platform("_control", **{kind: []})


@fault("platform: endpoint down for long", FAMILY, hold_s=75.0, brief_s=6.0, silences=("platform",))
def _down(rig: Rig, dice: Random) -> Iterator[None]:
    """Only its own address: the escalation must be told in time all the same (the audit judges each way alone)."""
    yield from _with(rig, "fail", "/writebacks", status=503, body={"message": "down"})


@fault("platform: endpoint hangs", FAMILY, hold_s=15.0, brief_s=4.0, silences=("platform",))
def _hangs(rig: Rig, dice: Random) -> Iterator[None]:
    yield from _with(rig, "hang", "/writebacks", seconds=5.0)


@fault("platform: answers lost at both addresses", FAMILY, hold_s=8.0, brief_s=3.0, silences=BOTH_WAYS)
def _lost(rig: Rig, dice: Random) -> Iterator[None]:
    yield from _with(rig, "drop_answer", "/writebacks", "/escalation")


@fault("platform: escalation address down", FAMILY, hold_s=20.0, brief_s=4.0, silences=("escalation",))
def _escalation(rig: Rig, dice: Random) -> Iterator[None]:
    yield from _with(rig, "fail", "/escalation", status=500, body="")
