"""The running Tocsin that a command works on: its database, its box for sealed fields, its bell."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from deploy.cli.faults import CommandError
from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell
from shared.settings import BadSettings, Settings, load
from shared.store.engine import make_engine
from shared.store.models import Audit, Platform

HINT = 'At a desk, while `tocsin up` runs: eval "$(tocsin env)"'


@dataclass
class Reach:
    """One transaction of one command; it is committed at the end of `reach`, and then the lanes are rung for."""

    settings: Settings
    session: Session
    box: Box
    _rings: set[Lane] = field(default_factory=set)

    def ring(self, lane: Lane) -> None:
        """Ring after the commit; with Redis away the watchman finds the row."""
        self._rings.add(lane)

    def write_down(self, platform_id: str | None, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Note in the audit who typed what; `detail` holds no secret."""
        row = Audit(platform_id=platform_id, actor=actor(), action=action, subject=subject, detail=dict(detail))
        self.session.add(row)

    def platform(self, platform_id: str) -> Platform:
        """The tenant. Raises CommandError."""
        row = self.session.get(Platform, platform_id)
        if row is None:
            raise CommandError(f"there is no platform {platform_id}")
        return row


@contextmanager
def reach() -> Iterator[Reach]:
    """Open what the environment names. Raises CommandError that says what is missing."""
    try:
        settings = load()
    except BadSettings as error:
        raise CommandError(f"{error}\n{HINT}") from None
    try:
        box = Box(tuple(key.get_secret_value() for key in settings.encryption_keys))
    except ValueError:
        raise CommandError("TOCSIN_ENCRYPTION_KEYS: holds something that is no key") from None
    engine = make_engine(settings.database_url.get_secret_value(), name="cli", pool_size=2)
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            reached = Reach(settings, session, box)
            yield reached
    except OperationalError as error:
        raise CommandError(
            f"the database of TOCSIN_DATABASE_URL does not answer ({type(error.orig).__name__})"
        ) from None
    except DBAPIError as error:
        raise CommandError(f"the database refused ({type(error.orig).__name__}); was `tocsin migrate` run?") from None
    finally:
        engine.dispose()
    _ring(settings, reached)


def actor() -> str:
    """Who typed the command, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as in containers
        return "cli"


def _ring(settings: Settings, reached: Reach) -> None:
    if not reached._rings:
        return
    bell = Doorbell(settings.redis_url.get_secret_value())
    for lane in sorted(reached._rings):
        bell.ring(lane)
    bell.close()
