"""One life for every provider: statuses, their rank, and which move is forward (law 5)."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The incident statuses of the outer contract."""

    RECEIVED = "received"
    HOLDING = "holding"
    REQUESTING = "requesting"
    RECORDED = "recorded"
    DROPPED = "dropped"
    UNCONFIRMED = "unconfirmed"
    FAILED = "failed"
    REQUESTED = "requested"
    AUTHORITIES_CONTACTED = "authorities_contacted"
    DISPATCHED = "dispatched"
    ACKNOWLEDGED = "acknowledged"
    ON_SCENE = "on_scene"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    CLOSED = "closed"


# Progress of a leg. `closed` alone is final; a cancelled response may be replaced, but only by what a read says.
RANK: dict[Status, int] = {
    Status.REQUESTED: 10,
    Status.AUTHORITIES_CONTACTED: 20,
    Status.DISPATCHED: 30,
    Status.ACKNOWLEDGED: 40,
    Status.ON_SCENE: 50,
    Status.COMPLETED: 60,
    Status.CANCELLED: 70,
    Status.CLOSED: 80,
}

ENDED: frozenset[Status] = frozenset(
    {Status.CLOSED, Status.CANCELLED, Status.COMPLETED, Status.DROPPED, Status.RECORDED}
)
BEFORE_ARRIVAL: frozenset[Status] = frozenset(
    {Status.REQUESTED, Status.AUTHORITIES_CONTACTED, Status.DISPATCHED, Status.ACKNOWLEDGED}
)


def moves_forward(current: Status | None, new: Status) -> bool:
    """True when `new` is further along a leg than `current` (None: nothing is known yet)."""
    return current is None or RANK[new] > RANK[current]


def ended(status: Status) -> bool:
    """An incident has ended when it is closed, cancelled, completed, dropped or recorded (design section 6)."""
    return status in ENDED
