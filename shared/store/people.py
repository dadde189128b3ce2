"""Whether the one people call of an alarm has left: asked by the door under the incident's lock, and by the work."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.store.models import LIVE_OUTCOMES, Incident, Leg, Outbox


def left_for(session: Session, incident_id: str) -> bool:
    """True once the first byte of the people call of the incident's live leg may have been sent."""
    return bool(
        session.scalar(
            select(Outbox.id)
            .join(Leg, Leg.id == Outbox.leg_id)
            .where(
                Outbox.incident_id == incident_id,
                Outbox.kind == "people",
                Outbox.body["left"].as_boolean(),
                Leg.outcome.in_(LIVE_OUTCOMES),
            )
            .limit(1)
        )
    )


def hold(session: Session, incident_id: str) -> None:
    """Lock the incident, so that nothing leaves between this look and what is written next."""
    session.execute(select(Incident.id).where(Incident.id == incident_id).with_for_update())
