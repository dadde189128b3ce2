"""What the provider lists beside our sites: runs, the listing of a run, and the drift that it showed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Json, Moment, Stamped


class ReconciliationRun(Base):
    """One comparison of an account's sites with its provider's listing, leased and fenced like everything else.

    `state`: wanted, running, done (both sides were read to their end), failed (nothing was compared).
    `counts` are findings by kind.
    """

    __tablename__ = "reconciliation_run"

    id: Mapped[BigId]
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    # asked, interval, changes, import
    cause: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="wanted")
    reason: Mapped[str] = mapped_column(server_default="")
    # How far it is: sites of ours when it began, records listed so far, references compared so far.
    sites: Mapped[int] = mapped_column(server_default=text("0"))
    listed: Mapped[int] = mapped_column(server_default=text("0"))
    compared: Mapped[int] = mapped_column(server_default=text("0"))
    counts: Mapped[Json] = mapped_column(JSONB, server_default=text("'{}'"))
    opened: Mapped[int] = mapped_column(server_default=text("0"))
    cleared: Mapped[int] = mapped_column(server_default=text("0"))
    repairs: Mapped[int] = mapped_column(server_default=text("0"))
    # Why a run that should have repaired did not.
    withheld: Mapped[str] = mapped_column(server_default="")
    asked_at: Mapped[Stamped]
    started_at: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]
    lease_until: Mapped[Moment | None]
    token: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        Index("uq_reconciliation_run_wanted", "account_id", unique=True, postgresql_where=text("state = 'wanted'")),
        Index("uq_reconciliation_run_running", "account_id", unique=True, postgresql_where=text("state = 'running'")),
        Index("ix_reconciliation_run_account", "account_id", "id"),
        Index("ix_reconciliation_run_platform", "platform_id", "id"),
    )


class ListedSite(Base):
    """A record of the listing of a run under way. Unlogged: a lost listing is read again, a kept one is deleted."""

    __tablename__ = "listed_site"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    provider_site_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    address: Mapped[str]
    lat: Mapped[float | None]
    lng: Mapped[float | None]
    deleted: Mapped[bool]
    in_coverage: Mapped[bool | None]
    coverage: Mapped[Json]

    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


class Drift(Base):
    """One difference, from the run that showed it first to the complete run that shows it no more.

    `subject` tells two differences of one kind apart: the reference, or the provider's id where that is the point.
    """

    __tablename__ = "drift"

    id: Mapped[BigId]
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    site_id: Mapped[int | None] = mapped_column(BigInteger)
    reference: Mapped[str]
    provider_site_id: Mapped[str | None]
    kind: Mapped[str]
    subject: Mapped[str]
    entry: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    first_run_id: Mapped[int] = mapped_column(ForeignKey("reconciliation_run.id"))
    last_run_id: Mapped[int] = mapped_column(ForeignKey("reconciliation_run.id"))
    # Set when our version was sent again because of it.
    repair_asked_at: Mapped[Moment | None]
    opened_at: Mapped[Stamped]
    cleared_at: Mapped[Moment | None]

    __table_args__ = (
        Index(
            "uq_drift_open", "account_id", "kind", "subject", unique=True, postgresql_where=text("cleared_at IS NULL")
        ),
        Index("ix_drift_reference", "account_id", "reference", postgresql_where=text("cleared_at IS NULL")),
        Index("ix_drift_listing", "platform_id", "id"),
    )
