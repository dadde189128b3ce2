"""The embedded stack: a real Redis and a real Postgres as child processes, in one data folder.

For `tocsin up`, `tocsin demo` and the tests only; production brings its own servers.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shutil
import socket
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.embedded_account import Account, make_private, own_account, unprivileged_account
from deploy.embedded_postgres import Passwords, Postgres
from deploy.embedded_redis import Redis
from deploy.embedded_server import ServerFailedError

DEFAULT_DATA_DIR = Path(".tocsin")
# Below the range that Linux uses for outgoing connections, so that the port of a stopped server stays free.
PORTS = range(20_000, 32_000)


class EmbeddedInUseError(RuntimeError):
    """Another living process runs the embedded stack on this data folder."""


@dataclass(frozen=True)
class Urls:
    """Where the two servers are, passwords included (and so never shown by `repr`)."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


@dataclass(frozen=True)
class _Remembered:
    """What must stay the same from one start to the next; kept in `embedded.json`, mode 0600."""

    redis_port: int
    redis_password: str = field(repr=False)
    postgres_port: int
    postgres_password: str = field(repr=False)
    superuser_password: str = field(repr=False)
    postgres_home: str


class Embedded:
    """Redis and Postgres on one data folder that survives a stop, a kill of either and of this process.

    A folder belongs to one living process at a time. Left-over servers of a dead one are stopped before new
    ones start. Ports stay the same from start to start unless somebody else took them meanwhile.
    """

    def __init__(self, data_dir: Path = DEFAULT_DATA_DIR) -> None:
        self.data_dir = data_dir.absolute()
        self._lock: int | None = None
        self._redis: Redis | None = None
        self._postgres: Postgres | None = None

    @property
    def redis(self) -> Redis:
        """The Redis server; known after `start`."""
        if self._redis is None:
            raise RuntimeError("the embedded stack was not started")
        return self._redis

    @property
    def postgres(self) -> Postgres:
        """The Postgres server; known after `start`."""
        if self._postgres is None:
            raise RuntimeError("the embedded stack was not started")
        return self._postgres

    @property
    def urls(self) -> Urls:
        """The addresses of both servers; known after `start`."""
        return Urls(self.postgres.url, self.redis.url)

    def start(self) -> Urls:
        """Start both servers and wait until they answer.

        Raises `EmbeddedInUseError` if a living process holds the folder, `ServerFailedError` if a server
        does not come up.
        """
        account = unprivileged_account()
        self._make_data_dir(account)
        self._take_lock()
        try:
            self._make_servers(account)
            self.postgres.start()
            self.redis.start()
        except BaseException:
            self.stop()
            raise
        return self.urls

    def stop(self) -> None:
        """Stop both servers cleanly and let go of the folder; a second call does nothing."""
        for server in (self._redis, self._postgres):
            if server is not None:
                server.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def erase(self) -> None:
        """Stop both servers and remove their data, wherever it lies."""
        self.stop()
        if self._postgres is not None:
            shutil.rmtree(self._postgres.home)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _make_data_dir(self, account: Account) -> None:
        """Close the folder to others; where Postgres runs as another account, its group may pass through."""
        me = own_account()
        make_private(self.data_dir, me)
        if account != me:
            os.chown(self.data_dir, me.uid, account.gid)
            self.data_dir.chmod(0o710)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.data_dir / "embedded.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EmbeddedInUseError(f"the embedded stack already runs on {self.data_dir}") from None
        self._lock = lock

    def _make_servers(self, account: Account) -> None:
        """Build both on what the last start chose; a change is written down before anything relies on it."""
        known = self._recall(account)
        self._redis = Redis(self.data_dir / "redis", known.redis_port, own_account(), known.redis_password)
        passwords = Passwords(known.superuser_password, known.postgres_password)
        self._postgres = Postgres(Path(known.postgres_home), known.postgres_port, account, passwords)
        for server in (self._redis, self._postgres):
            server.stop_leftovers()
            if not _is_free(server.port):
                server.port = _free_port()
        now = replace(known, redis_port=self._redis.port, postgres_port=self._postgres.port)
        _write_private(self._memory, json.dumps(asdict(now)))

    @property
    def _memory(self) -> Path:
        return self.data_dir / "embedded.json"

    def _recall(self, account: Account) -> _Remembered:
        """Read what the last start wrote down; choose anew what is missing."""
        if self._memory.exists():
            known = _Remembered(**json.loads(self._memory.read_text()))
            if account.owns(Path(known.postgres_home)):
                return known
            return replace(known, postgres_home=str(self._new_postgres_home(account)))
        return _Remembered(
            redis_port=_free_port(),
            redis_password=secrets.token_hex(24),
            postgres_port=_free_port(),
            postgres_password=secrets.token_hex(24),
            superuser_password=secrets.token_hex(24),
            postgres_home=str(self._new_postgres_home(account)),
        )

    def _new_postgres_home(self, account: Account) -> Path:
        """Return a folder for Postgres: here, or in the temp folder if its account cannot get here."""
        if account.reaches(self.data_dir):
            home = self.data_dir / "postgres"
        else:
            home = Path(tempfile.mkdtemp(prefix="tocsin-postgres-"))
            if not account.reaches(home.parent):
                raise ServerFailedError(f"Postgres, run for root by user {account.uid}, cannot enter {home.parent}")
        make_private(home, account)
        return home


def _free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    for port in random.sample(PORTS, 200):
        if _is_free(port):
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write_private(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.rename(file)
