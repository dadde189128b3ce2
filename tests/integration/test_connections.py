"""The connections to Postgres: replaced before they fail somebody; and statements that are transactions alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from deploy.embedded import Embedded
from shared.store.engine import each_alone, make_engine, make_sessions
from tests.conftest import fresh_database
from tests.integration.doubt_stage import await_that

OWN_ID = text("SELECT pg_backend_pid()")


@pytest.fixture
def engine(embedded: Embedded) -> Iterator[Engine]:
    """Two connections at most, to a database of their own."""
    made = make_engine(fresh_database(embedded, "connections"), name="test", pool_size=1)
    yield made
    made.dispose()


def _own_id(engine: Engine) -> int:
    with make_sessions(engine).begin() as session:
        return int(session.execute(OWN_ID).scalar_one())


def test_connection_is_kept_while_its_server_is_silent(engine: Engine) -> None:
    """One connection serves one transaction after another."""
    assert _own_id(engine) == _own_id(engine)


def test_transaction_meets_no_error_when_the_server_has_ended_the_idle_connection(engine: Engine) -> None:
    """What a restart, a failover or an administrator leaves behind in the pool is thrown away unused."""
    ended = _own_id(engine)
    with engine.connect() as pooled, engine.connect() as other:
        assert pooled.execute(OWN_ID).scalar_one() == ended
        pooled.close()
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": ended})
        alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
        await_that(lambda: other.execute(alive, {"pid": ended}).scalar_one() == 0)
        other.invalidate()
    assert _own_id(engine) != ended


def test_statement_is_a_transaction_when_each_is_alone(engine: Engine) -> None:
    """What was done stays done when the next statement fails; afterwards the connection has transactions again."""
    with pytest.raises(DBAPIError):
        _then_fail(engine, "CREATE TABLE kept (id int)", alone=True)
    with pytest.raises(DBAPIError):
        _then_fail(engine, "INSERT INTO kept VALUES (1)", alone=False)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM kept")).scalar_one() == 0


def _then_fail(engine: Engine, statement: str, *, alone: bool) -> None:
    with make_sessions(engine).begin() as session:
        if alone:
            each_alone(session)
        session.execute(text(statement))
        session.execute(text("SELECT 1 / 0"))
