"""Everything that must go out, written in the transaction that asked for it; the row owns its retry (law 6)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, LargeBinary, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Moment, Stamped


class Outbox(Base):
    """One call to make. `kind` names its handler in workers/engine.py.

    `destination` is what a hung peer can hold up: `account:<id>`, `platform:<id>`, `source:<id>` or
    `escalation:<id>`.
    `state`: pending, done, dead (escalated, replayable), void (no longer wanted).
    """

    __tablename__ = "outbox"

    id: Mapped[BigId]
    lane: Mapped[str]
    kind: Mapped[str]
    destination: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("50"))
    platform_id: Mapped[str | None] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str | None] = mapped_column(ForeignKey("provider_account.id"))
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incident.id"))
    leg_id: Mapped[int | None] = mapped_column(BigInteger)
    site_id: Mapped[int | None] = mapped_column(BigInteger)
    seq: Mapped[int | None]
    # Waits for no predecessor: a cancel, `unconfirmed`, `failed`.
    urgent: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    # Tells of a turn for the worse: undelivered after 30 s, a person is told at the escalation address too.
    worse: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    # A create is not sent after this without a named person.
    expires_at: Mapped[Moment | None]
    body: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    # At most one pending row per key: a newer wish replaces or joins the older one.
    single: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    lost_leases: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    # Unexpected errors in a row.
    errors: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    next_attempt_at: Mapped[Stamped]
    lease_until: Mapped[Moment | None]
    token: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Stamped]
    done_at: Mapped[Moment | None]
    last_error: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        Index("ix_outbox_due", "lane", "priority", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index("ix_outbox_order", "incident_id", "seq", postgresql_where=text("state = 'pending'")),
        Index(
            "ix_outbox_leased",
            "destination",
            postgresql_where=text("state = 'pending' AND lease_until IS NOT NULL"),
        ),
        Index(
            "uq_outbox_single",
            "single",
            unique=True,
            postgresql_where=text("state = 'pending' AND single IS NOT NULL"),
        ),
        Index("ix_outbox_dead", "id", postgresql_where=text("state = 'dead'")),
        Index("ix_outbox_worse", "created_at", postgresql_where=text("state = 'pending' AND worse")),
        Index("ix_outbox_site", "site_id", postgresql_where=text("state = 'pending' AND site_id IS NOT NULL")),
    )


class Attempt(Base):
    """One call as it was made: when, how long, how it came out. Never a body, never a header."""

    __tablename__ = "attempt"

    id: Mapped[BigId]
    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id"))
    leg_id: Mapped[int | None] = mapped_column(BigInteger)
    token: Mapped[int]
    # Null while the call is on its way; a lost owner leaves it so.
    outcome: Mapped[str | None]
    reason: Mapped[str] = mapped_column(server_default="")
    http_status: Mapped[int | None]
    provider_id: Mapped[str | None]
    late: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[Stamped]
    ended_at: Mapped[Moment | None]

    __table_args__ = (Index("ix_attempt_outbox", "outbox_id", "id"),)
