"""What every test may ask for: the embedded stack, and an empty or a migrated database of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from deploy.embedded import Embedded


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """A running Redis and Postgres for this test session, on data of their own."""
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
    from shared.store import migrate  # only tests of the store need it to be there

    url = fresh_database(embedded, "migrated")
    migrate.upgrade(url)
    return url


def fresh_database(embedded: Embedded, name: str) -> str:
    """Make an empty database, whose name begins with `name`, and return its address."""
    address = make_url(embedded.urls.database_url)
    unique = f"{name}_{uuid4().hex[:12]}"
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique)))
    return address.set(database=unique).render_as_string(hide_password=False)
