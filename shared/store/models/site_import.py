"""A portfolio of sites that was handed over as one file, on its way through our tables to the provider and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Moment, Stamped


class SiteImport(Base):
    """One file. Leased and fenced; each state can be taken up again from its beginning.

    `state`: wanted, saved (in our tables), awaiting (the provider took it and will call back), reconciling; and at the
    end checked (a dry run), refused (nothing was changed), done, failed.
    """

    __tablename__ = "site_import"

    id: Mapped[BigId]
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    state: Mapped[str] = mapped_column(server_default="wanted")
    reason: Mapped[str] = mapped_column(server_default="")
    dry_run: Mapped[bool] = mapped_column(server_default=text("false"))
    keep_absent: Mapped[bool] = mapped_column(server_default=text("false"))
    allow_fall: Mapped[bool] = mapped_column(server_default=text("false"))
    delimiter: Mapped[str | None]
    # The sealed file, until it was worked; read only where it is worked.
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    # Rows of the file, sites saved, sites removed, sites of the upload; and the first faults by line and column.
    good: Mapped[int] = mapped_column(server_default=text("0"))
    bad: Mapped[int] = mapped_column(server_default=text("0"))
    saved: Mapped[int] = mapped_column(server_default=text("0"))
    removed: Mapped[int] = mapped_column(server_default=text("0"))
    uploaded: Mapped[int] = mapped_column(server_default=text("0"))
    faults: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    # The provider calls back at an address with this secret in it; found by its hash.
    secret_hash: Mapped[str | None] = mapped_column(unique=True)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    callback: Mapped[bytes | None] = mapped_column(LargeBinary)
    callback_at: Mapped[Moment | None]
    wait_until: Mapped[Moment | None]
    reconciliation_id: Mapped[int | None] = mapped_column(ForeignKey("reconciliation_run.id"))
    next_attempt_at: Mapped[Stamped]
    lease_until: Mapped[Moment | None]
    token: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Stamped]
    ended_at: Mapped[Moment | None]

    __table_args__ = (
        Index("ix_site_import_platform", "platform_id", "id"),
        Index("uq_site_import_open", "account_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )
