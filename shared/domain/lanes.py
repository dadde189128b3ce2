"""The lanes on which work is rung for, and the Celery task names, a wire contract that is never renamed."""

from __future__ import annotations

from enum import StrEnum


class Lane(StrEnum):
    """A Redis list, a set of workers and a bell of its own each."""

    INTAKE = "intake"
    DISPATCH = "dispatch"
    OUTGOING = "outgoing"
    PERIODIC = "periodic"


DRAIN_TASK: dict[Lane, str] = {
    Lane.INTAKE: "intake.drain",
    Lane.DISPATCH: "dispatch.drain",
    Lane.OUTGOING: "outgoing.drain",
    Lane.PERIODIC: "periodic.drain",
}

# Rows of the dispatch lane have a task of their own, so that ops see each in Flower.
ROW_TASK: dict[str, str] = {
    "create": "dispatch.create",
    "cancel": "dispatch.cancel",
    "site": "dispatch.register_site",
}
