"""Tocsin as it runs: every process of the Procfile as a child, real servers, the sandbox as the world."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
import requests
from honcho.environ import parse_procfile

from deploy.cli.ports import free_port
from deploy.embedded import Embedded
from deploy.sandbox import Sandbox
from shared.accounts import ensure_defaults
from shared.crypto import Box, new_encryption_key
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell
from shared.settings import Settings
from shared.store import migrate
from shared.store.engine import make_engine, make_sessions
from shared.store.keys import create_key
from shared.store.models import Platform
from tests.conftest import fresh_database
from tests.town import SCOPES, Town

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0


class Stack(Town):
    """A town whose door and workers are processes. They work by themselves, so `until` only waits."""

    def __init__(
        self,
        embedded: Embedded,
        folder: Path,
        *,
        without: tuple[str, ...] = ("flower",),
        environment: dict[str, str] | None = None,
        **values: Any,
    ) -> None:
        """Start all processes but `without` and wait until each lane has worked; `values` are settings."""
        self.embedded = embedded
        self.folder = folder
        self.sandbox = Sandbox({}).start()
        self.encryption_key = new_encryption_key()
        self.environment = environment or {}
        self.flower_port = free_port()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        database_url = fresh_database(embedded, "stack")
        migrate.upgrade(database_url)
        self.values = self._given(database_url) | values
        self.settings = Settings(**self.values)
        self.box = Box((self.encryption_key,))
        self.engine = make_engine(database_url, name="test")
        self.sessions = make_sessions(self.engine)
        self._make_ready()
        self.noonlight("_control", webhook_url=f"{self.url}/webhooks/noonlight")
        self.aura("_control", webhook_url=f"{self.url}/webhooks/aura")
        lines: dict[str, str] = parse_procfile((ROOT / "Procfile").read_text()).processes
        self.lines = {name: line for name, line in lines.items() if name not in without}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in self.lines:
            self.launch(name)
        self.await_workers(within_s=READY_WITHIN_S)

    def _given(self, database_url: str) -> dict[str, Any]:
        given = self.sandbox.config
        return {
            "database_url": database_url,
            "redis_url": self.embedded.urls.redis_url,
            "encryption_keys": self.encryption_key,
            "aura_base_url": self.sandbox.aura.url,
            "aura_client_id": given.aura.client_id,
            "aura_client_secret": given.aura.client_secret,
            "aura_webhook_secrets": given.aura.webhook_secret,
            "noonlight_base_url": self.sandbox.noonlight.url,
            "noonlight_token": given.noonlight.token,
            "noonlight_webhook_secrets": given.noonlight.webhook_secret,
            "escalation_url": self.sandbox.platform.escalation_url,
            "escalation_secret": given.platform.escalation_secret,
            "log_level": "WARNING",
            "probe_every_s": 0,
        }

    def _make_ready(self) -> None:
        with self.sessions.begin() as session:
            ensure_defaults(session, self.settings.default_accounts(), self.box)
        with self.sessions.begin() as session:
            platform = session.get_one(Platform, "default")
            platform.writeback_url = self.sandbox.platform.writeback_url
            platform.writeback_secret = self.box.seal(self.sandbox.config.platform.writeback_secret)
            platform.policies = {}
            _, self.key = create_key(session, "default", "stack", SCOPES)

    # -- processes -------------------------------------------------------------------------------------------------

    def launch(self, name: str) -> None:
        """Start one process of the Procfile."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {self.lines[name]}"],
                cwd=self.folder,
                env=self.environment_of(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def environment_of(self, name: str) -> dict[str, str]:
        """What a process is given to start with."""
        own = {f"TOCSIN_{key.upper()}": _as_text(value) for key, value in self.values.items()}
        plain = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}
        return plain | own | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{plain.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port if name == "web" else self.flower_port),
            "BEAT_SCHEDULE": str(self.folder / name),
            **self.environment,
        }  # fmt: skip

    def kill(self, *names: str) -> None:
        """`kill -9` of whole processes, their children included."""
        for name in names:
            self._signal(name, signal.SIGKILL)
        for name in names:
            self.processes.pop(name).wait()

    def _signal(self, name: str, what: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, what)

    def workers(self) -> list[str]:
        """The names of the Celery workers."""
        return [name for name in self.lines if name.startswith("worker_")]

    def log(self, name: str) -> Path:
        """What a process said."""
        return self.folder / f"{name}.log"

    def dead(self) -> list[str]:
        """The processes that ended by themselves."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def await_workers(self, *, within_s: float = 20.0) -> float:
        """Wait until the door answers and each lane was worked by a worker after this moment; how long that took."""
        began = time.monotonic()
        since = self.one("SELECT clock_timestamp()")
        bell = Doorbell(self.settings.redis_url.get_secret_value())

        def silent() -> set[str]:
            assert not self.dead(), {name: self.log(name).read_text()[-2000:] for name in self.dead()}
            alive = {row[0] for row in self.rows("SELECT name FROM heartbeat WHERE at > :since", since=since)}
            return ({f"worker:{lane.value}" for lane in Lane} | {"watchman_loop"}) - alive

        def ready() -> bool:
            missing = silent()
            for lane in Lane:
                if f"worker:{lane.value}" in missing:
                    bell.ring(lane)
            return not missing and _answers(self.url)

        self.until(ready, within_s=within_s)
        bell.close()
        return time.monotonic() - began

    def close(self) -> None:
        """Stop everything; what a test froze goes on first."""
        for name, process in self.processes.items():
            self._signal(name, signal.SIGCONT)
            process.terminate()
        for name, process in self.processes.items():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self._signal(name, signal.SIGKILL)
                process.wait()
        self.sandbox.stop()
        self.engine.dispose()

    # -- looking ---------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], *, within_s: float = 15.0, lanes: tuple[Lane, ...] = ()) -> Any:
        """Wait until the condition holds, and return what it returned."""
        ends = time.monotonic() + within_s
        while not (found := condition()):
            if time.monotonic() > ends:
                raise AssertionError(f"did not come true within {within_s} s")
            time.sleep(0.02)
        return found

    def acted(self) -> int:
        """How many rows the watchman has worked itself."""
        return int(self.one("SELECT coalesce((detail->>'acted')::int, 0) FROM heartbeat WHERE name = 'watchman'") or 0)

    def story(self, ref: str, *, within_s: float = 15.0) -> tuple[float, float]:
        """Raise an alarm; seconds until the provider had it, and until its `requested` was at the platform."""
        began = time.monotonic()
        self.alarm("burglary", ref=ref)
        self.until(lambda: any(ref in entry["body"] for entry in self.creates()), within_s=within_s)
        created = time.monotonic() - began
        self.until(lambda: self.heard(ref, "requested"), within_s=within_s)
        return created, time.monotonic() - began

    def heard(self, ref: str, event: str) -> bool:
        """True when the platform has got this event of an incident."""
        return any(body["event"] == event for body in self.writebacks(ref))

    def redis(self) -> redis.Redis:
        """A client of our own; the caller closes it."""
        return redis.Redis.from_url(self.settings.redis_url.get_secret_value())


def _as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).ok
    except requests.RequestException:
        return False


@contextmanager
def open_stack(**values: Any) -> Iterator[Stack]:
    """A stack on servers of its own, which a test may stop, freeze and fill."""
    with tempfile.TemporaryDirectory(prefix="tocsin-e2e-") as folder:
        Path(folder).chmod(0o711)
        embedded = Embedded(Path(folder) / "data")
        stack = None
        try:
            embedded.start()
            stack = Stack(embedded, Path(folder), **values)
            yield stack
        finally:
            for server in (embedded.redis, embedded.postgres):
                server.thaw()
            if stack is not None:
                stack.close()
            embedded.erase()
