"""The ground that all contestants share: one embedded Postgres and one embedded Redis, empty for each turn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import redis
from psycopg import sql
from sqlalchemy.engine import make_url

from bench.processes import cpu_of, cpu_of_family
from deploy.embedded import Embedded

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ServerCpu:
    """CPU seconds of the two servers up to a moment."""

    postgres: float
    redis: float

    def since(self, before: ServerCpu) -> ServerCpu:
        """What they took meanwhile."""
        return ServerCpu(self.postgres - before.postgres, self.redis - before.redis)


class Ground:
    """Servers and a folder for logs."""

    def __init__(self, embedded: Embedded, folder: Path) -> None:
        """Both servers have started."""
        self.embedded = embedded
        self.folder = folder
        self.redis = redis.Redis.from_url(embedded.urls.redis_url)

    @property
    def redis_url(self) -> str:
        """The address of the Redis."""
        return self.embedded.urls.redis_url

    def fresh_database(self, name: str) -> str:
        """Make an empty database and return its address, as psycopg and libpq take it."""
        unique = f"{name}_{uuid4().hex[:8]}"
        with psycopg.connect(self._plain(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique)))
        return self._plain(unique)

    def drop_database(self, url: str) -> None:
        """Remove it, so that no contestant pays for another's autovacuum."""
        name = sql.Identifier(str(make_url(url).database))
        with psycopg.connect(self._plain(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def settle(self) -> None:
        """Empty the Redis and write a checkpoint, so that nobody starts with the debts of another."""
        self.redis.flushall()
        admin = make_url(self.embedded.postgres.admin_url).set(drivername="postgresql")
        with psycopg.connect(admin.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def redis_bytes(self) -> int:
        """`used_memory` of the Redis, without the buffers of its clients and of its log."""
        found: dict[str, Any] = self.redis.info("memory")
        return int(found["used_memory"]) - int(found["mem_clients_normal"]) - int(found["mem_aof_buffer"])

    def cpu(self) -> ServerCpu:
        """CPU seconds of the servers until now."""
        return ServerCpu(
            cpu_of_family(self._pid(self.embedded.postgres.pid)), cpu_of(self._pid(self.embedded.redis.pid))
        )

    def _pid(self, pid: int | None) -> int:
        if pid is None:
            raise RuntimeError("a server is not running")
        return pid

    def _plain(self, database: str | None = None) -> str:
        url = make_url(self.embedded.urls.database_url).set(drivername="postgresql")
        return (url.set(database=database) if database else url).render_as_string(hide_password=False)


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Servers of our own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        Path(folder).chmod(0o711)
        embedded = Embedded(Path(folder) / "data")
        try:
            embedded.start()
            ground = Ground(embedded, Path(folder))
            yield ground
            ground.redis.close()
        finally:
            embedded.erase()
