"""Protected places, and what the provider knows of each."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Json, Moment, Stamped


class Site(Base):
    """One fixed place; `reference` is the platform's own stable id and the provider's external reference."""

    __tablename__ = "site"

    id: Mapped[BigId]
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    reference: Mapped[str]
    provider_site_id: Mapped[str | None]
    name: Mapped[str]
    address: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    lat: Mapped[float | None]
    lng: Mapped[float | None]
    account_number: Mapped[str] = mapped_column(server_default="")
    contacts: Mapped[bytes | None] = mapped_column(LargeBinary)
    gate_instructions: Mapped[str] = mapped_column(server_default="")
    notes: Mapped[str] = mapped_column(server_default="")
    # local: the provider is told nothing, or only by the next upload; pending, synced, failed, conflict: how far the
    # provider has it; deleting, deleted: the row stays for its incidents, and a later PUT revives it.
    sync_state: Mapped[str] = mapped_column(server_default="local")
    sync_error: Mapped[str] = mapped_column(server_default="")
    version: Mapped[int] = mapped_column(server_default=text("1"))
    synced_version: Mapped[int] = mapped_column(server_default=text("0"))
    synced_at: Mapped[Moment | None]
    # What the provider last said of its coverage, by service: true, false, or null where it does not know.
    coverage: Mapped[Json] = mapped_column(JSONB, server_default=text("'{}'"))
    # Why the reference is ambiguous at the provider; only a later complete listing clears it.
    conflict: Mapped[str] = mapped_column(server_default="")
    deleted_at: Mapped[Moment | None]
    # The last import that held the site.
    import_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Stamped]
    updated_at: Mapped[Stamped]

    __table_args__ = (
        UniqueConstraint("account_id", "reference"),
        UniqueConstraint("platform_id", "reference"),
        Index(
            "uq_site_provider_site_id",
            "account_id",
            "provider_site_id",
            unique=True,
            postgresql_where=text("provider_site_id IS NOT NULL"),
        ),
        Index("ix_site_changed", "account_id", "updated_at"),
    )
