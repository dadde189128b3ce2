"""What every service is handed: settings, sessions, the box for sealed fields, a bell, and tokens."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell, Ringer, Row
from shared.settings import Settings
from shared.store.engine import make_engine, make_sessions, require_durable
from workers.tokens import StoredTokens

log = structlog.get_logger(__name__)
T = TypeVar("T")

# How long a result is kept in memory for a database that is away. An answer is worth waiting for.
RECORD_PATIENCE_S = 120.0


class Rings(Protocol):
    """What rings soon, from a thread of its own."""

    def ring(self, what: Lane | Row, *, force: bool = False) -> None:
        """Announce work; never blocks and never raises."""


@dataclass(frozen=True)
class Deps:
    """The parts of a process. `sessions` makes short transactions; none is held across the network."""

    settings: Settings
    sessions: sessionmaker[Session]
    box: Box
    bell: Doorbell
    ringer: Rings
    tokens: StoredTokens

    def record(self, work: Callable[[Session], T], *, patience_s: float = RECORD_PATIENCE_S) -> T:
        """Run `work` in a transaction, again while the database is away or busy. Raises what lasts longer."""
        give_up = time.monotonic() + patience_s
        pause = 0.05
        while True:
            try:
                with self.sessions.begin() as session:
                    return work(session)
            except (OperationalError, PoolTimeout, DBAPIError) as error:
                passing = isinstance(error, OperationalError | PoolTimeout) or error.connection_invalidated
                if not passing or time.monotonic() > give_up:
                    raise
                log.warning("record.again", error=type(error).__name__)
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, 2.0)


def build(settings: Settings, name: str, *, pool_size: int | None = None) -> Deps:
    """The parts for a process called `name`. Raises UnsafeDatabase when the database may forget commits."""
    engine = make_engine(
        settings.database_url.get_secret_value(), name=name, pool_size=pool_size or settings.database_pool
    )
    sessions = make_sessions(engine)
    with sessions() as session:
        require_durable(session)
    box = Box(tuple(key.get_secret_value() for key in settings.encryption_keys))
    bell = Doorbell(settings.redis_url.get_secret_value())
    return Deps(settings, sessions, box, bell, Ringer(bell), StoredTokens(sessions, box))
