"""An incident, the legs by which it is dispatched, and its history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Json, Moment, Stamped

LIVE_OUTCOMES = ("pending", "sending", "unknown", "accepted")
_LIVE = "outcome IN ('pending', 'sending', 'unknown', 'accepted')"
_ENDED = "status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded')"


class Incident(Base):
    """One alarm of a platform, unique per platform, reference and generation."""

    __tablename__ = "incident"

    id: Mapped[str] = mapped_column(primary_key=True)
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    incident_ref: Mapped[str]
    generation: Mapped[int] = mapped_column(server_default=text("1"))
    predecessor_id: Mapped[str | None]
    account_id: Mapped[str | None] = mapped_column(ForeignKey("provider_account.id"))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    site_ref: Mapped[str | None]
    kind: Mapped[str]
    services: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    origin: Mapped[str] = mapped_column(server_default="platform")
    test: Mapped[bool] = mapped_column(server_default=text("false"))
    # A person at coordinates; a static alarm has an address or a site, and takes no location updates.
    moving: Mapped[bool] = mapped_column(server_default=text("false"))
    # Sealed JSON of the alarm as it was posted: person, location, device, zone, message.
    details: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(server_default="received")
    reason: Mapped[str] = mapped_column(server_default="")
    cancel: Mapped[str | None]
    cancel_reason: Mapped[str | None]
    after_authorities: Mapped[bool] = mapped_column(server_default=text("false"))
    possible_double: Mapped[bool] = mapped_column(server_default=text("false"))
    eta_at: Mapped[Moment | None]
    moments: Mapped[Json] = mapped_column(JSONB, server_default=text("'{}'"))
    seq: Mapped[int] = mapped_column(server_default=text("0"))
    acknowledged_by: Mapped[str | None]
    occurred_at: Mapped[Moment]
    received_at: Mapped[Stamped]
    ended_at: Mapped[Moment | None]
    # Where a person filed the report of it.
    report_url: Mapped[str | None]
    reported_by: Mapped[str | None]
    reported_at: Mapped[Moment | None]

    __table_args__ = (
        UniqueConstraint("platform_id", "incident_ref", "generation"),
        Index("ix_incident_open", "received_at", postgresql_where=text(f"NOT ({_ENDED})")),
        Index(
            "ix_incident_waiting",
            "received_at",
            postgresql_where=text("status IN ('received', 'holding', 'requesting')"),
        ),
        Index("ix_incident_cancelling", "id", postgresql_where=text("cancel = 'requested'")),
        Index("ix_incident_listing", "platform_id", "received_at", "id"),
        Index("ix_incident_site", "site_id", postgresql_where=text(f"NOT ({_ENDED})")),
        Index(
            "ix_incident_unreported",
            "platform_id",
            "received_at",
            "id",
            postgresql_where=text("status = 'closed' AND report_url IS NULL"),
        ),
        Index("ix_incident_moving", "received_at", postgresql_where=text(f"moving AND NOT ({_ENDED})")),
    )


class Leg(Base):
    """One create at a provider (the table `dispatch`): where it went, how it came out, how far it is.

    `outcome`: pending, sending, unknown, accepted (these four are live); doubtful (given up while unknown),
    surplus (an id that turned up late), failed (certainly not done), void (never sent, no longer wanted),
    ended (over at the provider).
    """

    __tablename__ = "dispatch"

    id: Mapped[BigId]
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    outcome: Mapped[str] = mapped_column(server_default="pending")
    provider_alarm_id: Mapped[str | None]
    status: Mapped[str | None]
    # Grows when a read shows a replacement, so that the same word may appear again on the timeline.
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    services: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default=text("'{}'"))
    test: Mapped[bool] = mapped_column(server_default=text("false"))
    possible_double: Mapped[bool] = mapped_column(server_default=text("false"))
    # null, wanted, requested, confirmed, refused, too_late
    cancel: Mapped[str | None]
    sending_at: Mapped[Moment | None]
    sending_token: Mapped[int | None]
    unknown_at: Mapped[Moment | None]
    complete_lookups: Mapped[int] = mapped_column(server_default=text("0"))
    answered_at: Mapped[Moment | None]
    arrived: Mapped[bool] = mapped_column(server_default=text("false"))
    authorities: Mapped[bool] = mapped_column(server_default=text("false"))
    # When it is to be asked for next; null once nobody follows it any more.
    poll_at: Mapped[Moment | None]
    created_at: Mapped[Stamped]

    __table_args__ = (
        UniqueConstraint("id", "outcome"),
        UniqueConstraint("account_id", "provider_alarm_id"),
        Index("ix_dispatch_live_site", "site_id", postgresql_where=text(_LIVE)),
        Index("ix_dispatch_poll", "poll_at", postgresql_where=text("poll_at IS NOT NULL")),
        Index("ix_dispatch_doubt", "sending_at", postgresql_where=text("outcome IN ('sending', 'unknown')")),
    )


class IncidentLeg(Base):
    """Which legs answer which incident. Its `outcome` follows the leg's through the foreign key.

    So the partial unique index below makes two live dispatches for one incident impossible, by schema (law 2).
    """

    __tablename__ = "incident_leg"

    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"), primary_key=True)
    leg_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    outcome: Mapped[str]
    joined: Mapped[bool] = mapped_column(server_default=text("false"))
    linked_at: Mapped[Stamped]
    left_at: Mapped[Moment | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["leg_id", "outcome"],
            ["dispatch.id", "dispatch.outcome"],
            onupdate="CASCADE",
            name="fk_incident_leg_leg",
        ),
        Index(
            "uq_incident_leg_live",
            "incident_id",
            unique=True,
            postgresql_where=text(f"left_at IS NULL AND {_LIVE}"),
        ),
        Index("ix_incident_leg_leg", "leg_id"),
    )


class Timeline(Base):
    """Append-only history. `effect` recognises a repeat: a provider's event id, or the leg's epoch and word."""

    __tablename__ = "timeline"

    id: Mapped[BigId]
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"))
    leg_id: Mapped[int | None] = mapped_column(BigInteger)
    event: Mapped[str]
    source: Mapped[str]
    status: Mapped[str]
    entry: Mapped[str]
    effect: Mapped[str | None]
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    occurred_at: Mapped[Moment]
    recorded_at: Mapped[Stamped]

    __table_args__ = (
        Index("ix_timeline_incident", "incident_id", "id"),
        Index(
            "uq_timeline_effect",
            "incident_id",
            "effect",
            unique=True,
            postgresql_where=text("effect IS NOT NULL"),
        ),
    )
