"""What every test may ask for: the embedded stack, a database of its own, empty or migrated, and a door on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from deploy.embedded import Embedded
from shared.store import migrate
from tests.integration.door_stage import Stage, close_stage, open_stage


@contextmanager
def running_servers() -> Iterator[Embedded]:
    """A Redis and a Postgres on data of their own, erased afterwards."""
    # Not `tmp_path`: the account that runs Postgres for root cannot enter pytest's folders.
    with tempfile.TemporaryDirectory(prefix="tocsin-tests-") as folder:
        stack = Embedded(Path(folder) / "data")
        Path(folder).chmod(0o711)
        try:
            stack.start()
            yield stack
        finally:
            stack.erase()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """The servers of this test session."""
    with running_servers() as stack:
        yield stack


@pytest.fixture(scope="session")
def redis_url(embedded: Embedded) -> str:
    """The address of the session's Redis."""
    return embedded.urls.redis_url


@pytest.fixture(scope="session")
def database_url(embedded: Embedded) -> str:
    """The address of an empty database, one for the session."""
    return fresh_database(embedded, "session")


@pytest.fixture(scope="session")
def migrated_database_url(embedded: Embedded) -> str:
    """The address of a database with Tocsin's tables, one for the session."""
    url = fresh_database(embedded, "migrated")
    migrate.upgrade(url)
    return url


@pytest.fixture(scope="module")
def database(embedded: Embedded) -> str:
    """The address of a database with Tocsin's tables, one for each module."""
    url = fresh_database(embedded, "module")
    migrate.upgrade(url)
    return url


@pytest.fixture
def stage(database: str, redis_url: str) -> Iterator[Stage]:
    """A door with a platform of its own, and nothing remembered."""
    made = open_stage(database, redis_url)
    yield made
    close_stage(made)


def fresh_database(embedded: Embedded, name: str) -> str:
    """Make an empty database, whose name begins with `name`, and return its address."""
    address = make_url(embedded.urls.database_url)
    unique = f"{name}_{uuid4().hex[:12]}"
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique)))
    return address.set(database=unique).render_as_string(hide_password=False)
