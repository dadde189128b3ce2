"""The word that a platform shows for a status: a default table and each platform's own."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.lifecycle import Status

DEFAULT_WORDS: dict[Status, str | None] = {
    Status.RECEIVED: None,
    Status.HOLDING: None,
    Status.REQUESTING: None,
    Status.RECORDED: "recorded",
    Status.DROPPED: "dropped",
    Status.UNCONFIRMED: "dispatch unconfirmed",
    Status.FAILED: "DISPATCH FAILED",
    Status.REQUESTED: "response requested",
    Status.AUTHORITIES_CONTACTED: "PSAP contacted",
    Status.DISPATCHED: "responder dispatched",
    Status.ACKNOWLEDGED: "ETA",
    Status.ON_SCENE: "responder on location",
    Status.COMPLETED: "response complete",
    Status.CANCELLED: "response cancelled",
    Status.CLOSED: "closed",
}


def word(status: Status, own: Mapping[str, str | None]) -> str | None:
    """The platform's word; None means a history entry without a badge."""
    if status.value in own:
        return own[status.value]
    return DEFAULT_WORDS[status]
