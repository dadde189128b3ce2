"""The connection to Postgres: bounded in every direction, hiding parameters, refusing an unsafe server."""

from __future__ import annotations

import select
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session, sessionmaker

SESSION_OPTIONS = (
    # A stopped drainer was seen to hide its rows for ever without the first of these.
    "-c idle_in_transaction_session_timeout=5000 -c lock_timeout=4000 -c statement_timeout=10000"
)


class UnsafeDatabase(Exception):
    """The server may forget what it acknowledged (`fsync` or `synchronous_commit` is off)."""


def make_engine(database_url: str, *, name: str, pool_size: int = 10, connect_timeout_s: int = 3) -> Engine:
    """An engine whose connections time out, keep alive, and never print bound parameters."""
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=connect_timeout_s,
        pool_use_lifo=True,
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
    event.listen(engine, "checkout", _require_silence)
    return engine


def _require_silence(connection: Any, record: Any, *_: object) -> None:
    """Have a connection replaced on which its server has spoken unasked: it has gone, or is about to.

    A server that stops, restarts or ends an idle session says so on the socket, if only by closing it. Looking there
    takes microseconds, where asking (`pool_pre_ping`) takes a round trip per transaction. A server that vanished
    without a word is met by the first statement, as it would be by the question.
    """
    if "used" not in record.info:
        record.info["used"] = True  # it was made this moment; SQLAlchemy forgets this when it makes another
        return
    if connection.closed:
        raise DisconnectionError("the connection is closed")
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError("the server has spoken unasked")


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after a commit."""
    return sessionmaker(engine, expire_on_commit=False)


def each_alone(session: Session) -> Session:
    """Let each statement of a session that was just opened be its own transaction: no BEGIN and no COMMIT travel."""
    session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    return session


def require_durable(session: Session) -> None:
    """Raise UnsafeDatabase unless a commit means "on disk" (law 1)."""
    for setting in ("fsync", "synchronous_commit"):
        value = session.execute(text("SELECT current_setting(:name)"), {"name": setting}).scalar_one()
        if value == "off":
            raise UnsafeDatabase(f"Postgres runs with {setting} = {value}; a commit would not be durable")
