"""What we wrote into a callout's messages, so that it is told apart from what others wrote."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, Stamped


class OwnNote(Base):
    """One part of a note of ours, written down before it is sent.

    `note_id` is the id that the provider gave ("" where it gave none); null: it may have arrived, and then its
    `digest` (of the text in one line) recognises it in the stream.
    """

    __tablename__ = "own_note"

    outbox_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("outbox.id"), primary_key=True)
    part: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    leg_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("dispatch.id"))
    digest: Mapped[str]
    note_id: Mapped[str | None]
    written_at: Mapped[Stamped]

    __table_args__ = (Index("ix_own_note_leg", "leg_id"),)
