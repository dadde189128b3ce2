"""The task. Its worker is asynchronous, so the task is too."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector, RetryStrategy
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from bench.peers import records

URL = os.environ["DATABASE_URL"]
SIZE = int(os.environ["POOL_SIZE"])

app = App(
    connector=PsycopgConnector(conninfo=URL.replace("+psycopg", ""), min_size=1, max_size=SIZE),
    worker_defaults={"concurrency": SIZE, "delete_jobs": "successful"},
)
_engine: list[AsyncEngine] = []


def engine() -> AsyncEngine:
    """The connections of the tasks, made in the worker's loop."""
    if not _engine:
        _engine.append(create_async_engine(URL, pool_size=SIZE, max_overflow=0))
    return _engine[0]


@app.task(name="apply_event", retry=RetryStrategy(max_attempts=10, exponential_wait=2))
async def apply_event(row_id: int) -> None:
    """Apply one stored event."""
    async with AsyncSession(engine()) as session, session.begin():
        await session.run_sync(records.apply, row_id)
