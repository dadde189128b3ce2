"""The whole of Tocsin at a desk: embedded servers, the sandbox, and every process of the Procfile."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from honcho.environ import parse_procfile
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

import deploy
from deploy.cli.desk import Desk, prepare
from deploy.cli.leftovers import MARK, stop_leftovers
from deploy.cli.private_files import write_private
from deploy.cli.readiness import await_ready, database_now
from deploy.cli.supervisor import Program, Supervisor
from deploy.embedded import Embedded
from deploy.sandbox import rehearsal_stage as stage

ROOT = Path(deploy.__file__).resolve().parent.parent
RUN_FILE = "run.json"
# Of the caller's own settings only times, sizes and the log's level reach the children: a desk must never write to an
# address, or with a secret, that the shell holds for production.
_TUNING = re.compile(r"TOCSIN_\w+_(S|MINUTE|THREADS|LEVEL|BATCH|POOL|BYTES)")
_OTHERS = ("TOCSIN_", "FLOWER_", "CELERY_", "GRANIAN_")


class Stack:
    """Started and stopped as a whole; `embedded` is there to be stopped and started by a rehearsal.

    `described` is what `run.json` says, without the process ids; it is empty until the stack is ready.
    """

    def __init__(self, data_dir: Path, tell: Callable[[str], None]) -> None:
        """Keep everything in `data_dir`; `tell` gets lines for a person."""
        self.data_dir = data_dir.absolute()
        self.embedded = Embedded(self.data_dir)
        self.described: dict[str, Any] = {}
        self._tell = tell
        self._supervisor: Supervisor | None = None
        self._engine: Engine | None = None

    def start(self) -> None:
        """Start everything and wait until all of it works.

        Raises `NotReadyError`, and what `Embedded.start` raises.
        """
        try:
            urls = self.embedded.start()
            self._run_file.unlink(missing_ok=True)
            left = stop_leftovers(self.data_dir)
            if left:
                self._tell(f"stopped {left} processes that an earlier start had left behind")
            self._engine = create_engine(urls.database_url, hide_parameters=True)
            self._start_processes(prepare(self.data_dir, urls, self._engine), self._engine)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the processes first, then the servers; a second call does nothing."""
        self.described = {}
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
            self._run_file.unlink(missing_ok=True)
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self.embedded.stop()

    def erase(self) -> None:
        """Stop, and remove all data."""
        self.stop()
        self.embedded.erase()

    def last_words(self) -> str:
        """The end of every process's log, for a person who looks for what went wrong."""
        if self._supervisor is None:
            return ""
        names = self._supervisor.ends()
        return "\n".join(f"{name}:\n{self._supervisor.last_words(name)}" for name in names)

    def session(self) -> Session:
        """A session on the stack's database."""
        if self._engine is None:
            raise RuntimeError("the stack was not started")
        return Session(self._engine)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _run_file(self) -> Path:
        return self.data_dir / RUN_FILE

    def _start_processes(self, desk: Desk, engine: Engine) -> None:
        lines: dict[str, str] = parse_procfile((ROOT / "Procfile").read_text()).processes
        programs = {name: Program(line, desk.own.get(name, {})) for name, line in lines.items()}
        self._supervisor = Supervisor(
            {"sandbox": Program(stage.command(self.data_dir / stage.FILE)), **programs},
            folder=ROOT,
            logs=self.data_dir / "logs",
            environment=self._environment(desk.described["environment"]),
            tell=self._tell,
            changed=self._write_run_file,
        )
        since = database_now(engine)
        self._supervisor.start()
        await_ready(desk.addresses, engine, since, self.embedded.urls.redis_url, self._supervisor)
        self.described = desk.described
        self._write_run_file()

    def _environment(self, told: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(_OTHERS) or _TUNING.fullmatch(name)
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
        fixed = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", MARK: str(self.data_dir)}
        return {"TOCSIN_LOG_LEVEL": "WARNING"} | kept | fixed | dict(told)

    def _write_run_file(self) -> None:
        """Write down where everything is; again when a process has a new id."""
        if not self.described or self._supervisor is None:
            return
        servers = {"up": os.getpid(), "postgres": self.embedded.postgres.pid, "redis": self.embedded.redis.pid}
        write_private(self._run_file, self.described | {"pids": servers | self._supervisor.pids()})
