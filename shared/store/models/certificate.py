"""Monitoring certificates that a provider was asked for."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, Moment, Stamped


class Certificate(Base):
    """One certificate. `address` and the provider's raw `answer` are sealed JSON.

    `state`: pending, issued, refused (it will never be taken), unconfirmed (it may have been made: never asked for
    again by itself).
    """

    __tablename__ = "certificate"

    id: Mapped[str] = mapped_column(primary_key=True)
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    idempotency_key: Mapped[str | None]
    address: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(server_default="pending")
    reason: Mapped[str] = mapped_column(server_default="")
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[Stamped]
    answered_at: Mapped[Moment | None]

    __table_args__ = (UniqueConstraint("platform_id", "idempotency_key"),)
