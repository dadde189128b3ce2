"""Who uses Tocsin and through which provider account: a second tenant is data, not code."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, BigId, Json, Moment, Stamped


class Platform(Base):
    """A tenant: a monitoring platform with its write-back endpoint, its words and its policies."""

    __tablename__ = "platform"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    writeback_url: Mapped[str] = mapped_column(server_default="")
    writeback_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    escalation_url: Mapped[str] = mapped_column(server_default="")
    escalation_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    # Where the positions of moving alarms are polled from: a URL with placeholders, and a bearer token.
    location_source_url: Mapped[str] = mapped_column(server_default="")
    location_source_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    location_source_interval_s: Mapped[float] = mapped_column(server_default=text("10"))
    words: Mapped[Json] = mapped_column(JSONB, server_default=text("'{}'"))
    policies: Mapped[Json] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[Stamped]


class ApiKey(Base):
    """A hashed, scoped key of a platform; a panel's key is bound to one site."""

    __tablename__ = "api_key"

    id: Mapped[BigId]
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    site_ref: Mapped[str | None]
    created_at: Mapped[Stamped]
    revoked_at: Mapped[Moment | None]


class ProviderAccount(Base):
    """Credentials, host and webhook secrets at a provider; the one from the environment is the default."""

    __tablename__ = "provider_account"

    id: Mapped[str] = mapped_column(primary_key=True)
    platform_id: Mapped[str] = mapped_column(ForeignKey("platform.id"))
    provider: Mapped[str]
    name: Mapped[str]
    base_url: Mapped[str]
    environment: Mapped[str]
    site_mode: Mapped[str] = mapped_column(server_default="rest")
    credentials: Mapped[bytes] = mapped_column(LargeBinary)
    webhook_secrets: Mapped[bytes] = mapped_column(LargeBinary)
    options: Mapped[Json] = mapped_column(JSONB, server_default=text("'{}'"))
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    token: Mapped[bytes | None] = mapped_column(LargeBinary)
    token_renew_at: Mapped[Moment | None]
    webhook_seen_at: Mapped[Moment | None]
    # Sealed: the address and the secret that we last registered at the provider.
    registered_hook: Mapped[bytes | None] = mapped_column(LargeBinary)
    registered_hook_at: Mapped[Moment | None]
    # Not before this moment are its active alarms listed again.
    poll_at: Mapped[Moment | None]
    # Steps that polling found and no webhook had told: of all time, and in a row up to `unheard_at`.
    polled_steps: Mapped[int] = mapped_column(server_default=text("0"))
    unheard_steps: Mapped[int] = mapped_column(server_default=text("0"))
    unheard_at: Mapped[Moment | None]
    created_at: Mapped[Stamped]

    __table_args__ = (
        UniqueConstraint("platform_id", "provider", "name"),
        # The hook /webhooks/<provider> has no account in its path, so it needs exactly one default.
        Index("uq_provider_account_default", "provider", unique=True, postgresql_where=text("is_default")),
    )
