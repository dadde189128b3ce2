"""What keeps the house: periodic jobs, signs of life, notices to people, and who did what."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Json, Moment, Stamped


class Job(Base):
    """A periodic duty, leased and fenced, so that two beats do it once and a dead beat is noticed."""

    __tablename__ = "job"

    name: Mapped[str] = mapped_column(primary_key=True)
    every_s: Mapped[float]
    next_run_at: Mapped[Stamped]
    lease_until: Mapped[Moment | None]
    token: Mapped[int] = mapped_column(server_default=sql("0"))
    last_done_at: Mapped[Moment | None]
    last_error: Mapped[str] = mapped_column(server_default="")


class Heartbeat(Base):
    """A sign of life written by the work itself; `detail` carries counters."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Stamped]
    detail: Mapped[Json] = mapped_column(JSONB, server_default=sql("'{}'"))


class Notice(Base):
    """What a person is told until he acknowledges it or it is over (law 13). One open notice per subject."""

    __tablename__ = "notice"

    id: Mapped[BigId]
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    # incident:<id>, inbox:<id>, outbox:<id>, site:<id>
    subject: Mapped[str]
    incident_id: Mapped[str | None]
    kind: Mapped[str]
    text: Mapped[str]
    opened_at: Mapped[Stamped]
    next_at: Mapped[Stamped]
    # How often it was told, and up to which telling each of the two ways has taken it.
    told: Mapped[int] = mapped_column(server_default=sql("0"))
    heard_by_platform: Mapped[int] = mapped_column(server_default=sql("0"))
    heard_by_escalation: Mapped[int] = mapped_column(server_default=sql("0"))
    once: Mapped[bool] = mapped_column(server_default=sql("false"))
    acknowledged_at: Mapped[Moment | None]
    acknowledged_by: Mapped[str | None]
    ended_at: Mapped[Moment | None]

    __table_args__ = (
        Index("uq_notice_open", "subject", unique=True, postgresql_where=sql("ended_at IS NULL")),
        Index(
            "ix_notice_due",
            "next_at",
            postgresql_where=sql("ended_at IS NULL AND acknowledged_at IS NULL"),
        ),
    )


class Audit(Base):
    """Who did what: keys, settings, resends, drops, replays."""

    __tablename__ = "audit"

    id: Mapped[BigId]
    at: Mapped[Stamped]
    platform_id: Mapped[str | None]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
