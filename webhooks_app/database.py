"""One unit of work at a time: a transaction that is tried again while the database is away, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from flask import g, has_request_context
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from shared.store.engine import make_engine, make_sessions
from shared.store.patience import make_patient, patience

T = TypeVar("T")

# libpq's own least time-out for a connect, in seconds.
CONNECT_S = 2
PAUSE_S = 0.1
# A hold of nothing still gives a healthy server the time for its answer.
LEAST_S = 0.5
# After a hold in vain, requests that queued behind it are told at once for this long; then somebody tries again.
AWAY_S = 0.5


class DatabaseAway(Exception):
    """Postgres did not answer within the time for which the door may hold a request."""


class Database:
    """The door's Postgres. Nothing here waits longer than `hold_s`, frozen servers included.

    A connect may add up to CONNECT_S when the server comes back and freezes within the hold.
    """

    def __init__(self, database_url: str, *, hold_s: float, pool_size: int) -> None:
        """Connects at first use."""
        self.engine: Engine = make_engine(database_url, name="door", pool_size=pool_size, connect_timeout_s=CONNECT_S)
        make_patient(self.engine)
        self._sessions = make_sessions(self.engine)
        self._hold_s = hold_s
        self._served_at = 0.0
        self._away_until = 0.0

    def run(self, work: Callable[[Session], T], *, hold_s: float | None = None, again: bool = True) -> T:
        """Do `work` in one transaction and commit. Raises DatabaseAway when the hold is over.

        `again=False` is for work that must not be repeated once its commit was sent, whatever came of it.
        """
        began = time.monotonic()
        if began < self._away_until:
            raise DatabaseAway
        hold = self.left() if hold_s is None else hold_s
        try:
            with patience(hold):
                done = self._persist(work, began + hold, again=again)
        except DatabaseAway:
            # Others were served meanwhile: then it is this work that waits, and not the database that is away.
            if self._served_at < began:
                self._away_until = time.monotonic() + AWAY_S
            raise
        self._served_at, self._away_until = time.monotonic(), 0.0
        return done

    def _persist(self, work: Callable[[Session], T], deadline: float, *, again: bool) -> T:
        """Try until it is done or the deadline has passed."""
        while True:
            started = time.monotonic()
            committing = False
            try:
                with self._sessions() as session:
                    done = work(session)
                    committing = True
                    session.commit()
                    return done
            except (PoolTimeoutError, DBAPIError) as error:
                if not _passes(error):
                    raise
                if committing and not again:
                    raise DatabaseAway from None
            slow = time.monotonic() - started > 1.0
            left = deadline - time.monotonic()
            if left <= PAUSE_S or (slow and left < CONNECT_S):
                raise DatabaseAway
            time.sleep(PAUSE_S)

    def left(self) -> float:
        """What is left of the hold, in seconds; all work of one request shares it."""
        if not has_request_context():
            return self._hold_s
        if "database_deadline" not in g:
            g.database_deadline = time.monotonic() + self._hold_s
        return max(float(g.database_deadline) - time.monotonic(), LEAST_S)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _passes(error: Exception) -> bool:
    """True for a fault that another try may not meet: no server, no connection, a deadlock, a lock time-out."""
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated
