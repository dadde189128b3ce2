"""Everything that comes in, committed before the sender is told "accepted" (law 1)."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Moment, Stamped


class Inbox(Base):
    """One row per event. `stream` groups what must be worked in order of arrival; `body` is sealed JSON.

    `source`: alarm, cancel, note, event, resend, drop, close, acknowledge, webhook.
    `state`: pending, parked (a stranger: `subject` is the provider's alarm id), done, unmatched, set_aside.
    """

    __tablename__ = "inbox"

    id: Mapped[BigId]
    source: Mapped[str]
    platform_id: Mapped[str | None] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str | None] = mapped_column(ForeignKey("provider_account.id"))
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incident.id"))
    api_key_id: Mapped[int | None] = mapped_column(BigInteger)
    event_id: Mapped[str | None]
    digest: Mapped[str]
    stream: Mapped[str]
    subject: Mapped[str | None]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("50"))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[Stamped]
    lease_until: Mapped[Moment | None]
    token: Mapped[int] = mapped_column(server_default=text("0"))
    received_at: Mapped[Stamped]
    worked_at: Mapped[Moment | None]
    last_error: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        UniqueConstraint("account_id", "event_id"),
        # A sender without event ids: equal bodies collapse only while the earlier one is unworked. A row that was
        # worked once never comes back into this index, so that a parked one can always become pending again.
        Index(
            "uq_inbox_unworked_digest",
            "account_id",
            "digest",
            unique=True,
            postgresql_where=text("event_id IS NULL AND source = 'webhook' AND state = 'pending' AND attempts = 0"),
        ),
        Index("ix_inbox_due", "priority", "id", postgresql_where=text("state = 'pending'")),
        Index("ix_inbox_stream", "stream", "id", postgresql_where=text("state = 'pending'")),
        Index("ix_inbox_pending_incident", "incident_id", postgresql_where=text("state = 'pending'")),
        Index("ix_inbox_parked", "account_id", "subject", postgresql_where=text("state = 'parked'")),
        # Apart from the one above, which is read every second: strangers of others may become many.
        Index("ix_inbox_unmatched", "account_id", "subject", postgresql_where=text("state = 'unmatched'")),
        Index("ix_inbox_set_aside", "id", postgresql_where=text("state IN ('set_aside', 'unmatched')")),
    )


class RepeatKey(Base):
    """What recognises a repeated alarm: its event id, its time of occurrence, its bytes. Kept 13 months longer."""

    __tablename__ = "repeat_key"

    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"), primary_key=True)
    incident_ref: Mapped[str] = mapped_column(primary_key=True)
    # Of the incident, "" for none: panels count their events from 1, each for itself.
    site_ref: Mapped[str] = mapped_column(primary_key=True, server_default="")
    key: Mapped[str] = mapped_column(primary_key=True)
    incident_id: Mapped[str]
    seen_at: Mapped[Stamped]
