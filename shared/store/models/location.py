"""Where a moving person is: each fix as it came in, and what became of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Moment, Stamped


class LocationFix(Base):
    """One position of an incident's person. `point` is sealed JSON: lat, lng (degrees, WGS 84), accuracy (metres).

    `state`: held (not sent, perhaps not yet), coarse (too inaccurate to be sent), swapped (latitude and longitude look
    exchanged), superseded (a newer one took its place), sent (to `leg_id` at `sent_at`), refused (by the provider).
    """

    __tablename__ = "location_fix"

    id: Mapped[BigId]
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"))
    leg_id: Mapped[int | None] = mapped_column(BigInteger)
    # push: by the platform; poll: from its location source.
    source: Mapped[str]
    # By the device's clock, where it gave one that is not in our future.
    taken_at: Mapped[Moment]
    point: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(server_default="held")
    received_at: Mapped[Stamped]
    sent_at: Mapped[Moment | None]

    __table_args__ = (
        Index("ix_location_fix_incident", "incident_id", "taken_at"),
        Index("ix_location_fix_held", "incident_id", postgresql_where=text("state = 'held'")),
    )
