"""Beat's static schedule. It only rings; each entry expires before its next turn, so that none pile up in an outage."""

from __future__ import annotations

from typing import Any

from shared.domain.lanes import DRAIN_TASK, Lane

TICK_S = 5.0
SWEEP_S = 10.0


def _entry(task: str, lane: Lane, every_s: float) -> dict[str, Any]:
    return {"task": task, "schedule": every_s, "options": {"queue": lane.value, "expires": every_s * 1.5}}


SCHEDULE: dict[str, dict[str, Any]] = {
    "tick": _entry("periodic.tick", Lane.PERIODIC, TICK_S),
    "accounts.probe": _entry("accounts.probe", Lane.PERIODIC, TICK_S),
    "location.poll": _entry("location.poll", Lane.PERIODIC, TICK_S),
    "status.poll": _entry("status.poll", Lane.PERIODIC, TICK_S),
    "webhooks.check": _entry("webhooks.check", Lane.PERIODIC, 3_600.0),
    "sites.reconcile": _entry("sites.reconcile", Lane.PERIODIC, TICK_S),
    **{
        f"sweep {lane.value}": _entry(DRAIN_TASK[lane], lane, SWEEP_S)
        for lane in (Lane.INTAKE, Lane.DISPATCH, Lane.OUTGOING)
    },
}
