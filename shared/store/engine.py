"""The connection to Postgres: bounded in every direction, hiding parameters, refusing an unsafe server."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

SESSION_OPTIONS = (
    # A stopped drainer was seen to hide its rows for ever without the first of these.
    "-c idle_in_transaction_session_timeout=5000 -c lock_timeout=4000 -c statement_timeout=10000"
)


class UnsafeDatabase(Exception):
    """The server may forget what it acknowledged (`fsync` or `synchronous_commit` is off)."""


def make_engine(database_url: str, *, name: str, pool_size: int = 10, connect_timeout_s: int = 3) -> Engine:
    """An engine whose connections time out, keep alive, and never print bound parameters."""
    return create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=connect_timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "application_name": f"tocsin-{name}",
            "connect_timeout": connect_timeout_s,
            "keepalives": 1,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": SESSION_OPTIONS,
        },
    )


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after a commit."""
    return sessionmaker(engine, expire_on_commit=False)


def require_durable(session: Session) -> None:
    """Raise UnsafeDatabase unless a commit means "on disk" (law 1)."""
    for setting in ("fsync", "synchronous_commit"):
        value = session.execute(text("SELECT current_setting(:name)"), {"name": setting}).scalar_one()
        if value == "off":
            raise UnsafeDatabase(f"Postgres runs with {setting} = {value}; a commit would not be durable")
