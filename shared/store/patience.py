"""A client's own patience with Postgres: a server that is frozen answers no timeout that it keeps itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import OperationalError
from sqlalchemy import Engine, event

T = TypeVar("T")
_deadline: ContextVar[float | None] = ContextVar("tocsin_database_deadline", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within this block every wait for Postgres ends after `seconds` in all; the connection is then closed."""
    held = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(held)


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose waits end with the patience of the caller; `statement_timeout` needs a living server."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the server. Raises OperationalError, with the connection closed, when patience ends."""
        deadline = _deadline.get()
        if deadline is None:
            return super().wait(gen, interval, timeout)
        left = max(deadline - time.monotonic(), 0.0)
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except OperationalError:
            if time.monotonic() >= deadline:
                # Whatever the server still does with it, nobody will read its answer on this connection.
                self.pgconn.finish()
            raise


def make_patient(engine: Engine) -> None:
    """Let the engine's connections obey `patience`."""

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, record: Any, cargs: tuple[Any, ...], cparams: dict[str, Any]) -> PatientConnection:
        deadline = _deadline.get()
        if deadline is not None and time.monotonic() >= deadline:
            # A pooled connection took all the patience; the pool would now go on to make a new one.
            raise OperationalError("no time is left to connect")
        return PatientConnection.connect(*cargs, **cparams)
