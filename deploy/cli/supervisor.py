"""Runs the processes of the Procfile, and starts each again when it dies.

Honcho's own manager stops every process when one ends. Here a worker that is killed must come back by itself, as
under systemd or Kubernetes in production ("restart always", `facts/reliability.md` 2.6), and the others must not
notice. So Honcho reads the Procfile, and this supervises.

The output of a process goes to a file: a pipe that nobody reads, or a paused terminal, would stop its alarms.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy import embedded_child

RESTART_AFTER_S = 0.5
STOPPED_WITHIN_S = 20.0
LOOK_EVERY_S = 0.05
LAST_LINES = 8


@dataclass(frozen=True)
class Program:
    """A line of the Procfile and what its environment has beyond that of all."""

    line: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    ends: int = 0
    start_at: float = 0.0


class Supervisor:
    """One thread starts, watches and restarts all children.

    The kernel counts the *thread* that started a child as its parent, and ends the child with it: so it is one thread
    that lives until every child is stopped.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        *,
        folder: Path,
        logs: Path,
        environment: Mapping[str, str],
        tell: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Children run in `folder`; `tell` gets a line for a person, `changed` is called after a restart."""
        self._children = {name: _Child(program) for name, program in programs.items()}
        self._folder = folder
        self._logs = logs
        self._environment = dict(environment)
        self._tell = tell
        self._changed = changed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor")

    def start(self) -> None:
        """Start every program; does not wait until they work."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask every child to stop, wait, kill what stays; a second call does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def pids(self) -> dict[str, int]:
        """The process ids of the children that run now, by name."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process is not None and child.process.poll() is None
        }

    def ends(self) -> dict[str, int]:
        """How often each program ended unasked."""
        return {name: child.ends for name, child in self._children.items()}

    def last_words(self, name: str) -> str:
        """The end of a child's log."""
        file = self._log(name)
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        return "\n".join(f"    {line[:400]}" for line in lines[-LAST_LINES:]) or "    (it said nothing)"

    def _run(self) -> None:
        while not self._stopping.is_set():
            for name, child in self._children.items():
                self._look_at(name, child)
            self._stopping.wait(LOOK_EVERY_S)
        self._end_all()

    def _look_at(self, name: str, child: _Child) -> None:
        if child.process is None:
            if time.monotonic() >= child.start_at:
                child.process = self._launch(name, child.program)
                if child.ends:
                    self._changed()
            return
        code = child.process.poll()
        if code is None:
            return
        _signal_group(child.process.pid, signal.SIGKILL)  # what a dead head leaves behind would hold its port
        child.process = None
        child.ends += 1
        child.start_at = time.monotonic() + RESTART_AFTER_S
        self._tell(f"{name} ended with {code} and is started again; the end of its log:\n{self.last_words(name)}")

    def _launch(self, name: str, program: Program) -> subprocess.Popen[bytes]:
        numbers = (os.getpid(), signal.SIGTERM.value, os.geteuid(), os.getegid())
        # A Procfile's line is for a shell; `exec` leaves the program itself as our child, so that signals reach it.
        command = ["/bin/sh", "-c", f"exec {program.line}"]
        with open(os.open(self._log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-IS", embedded_child.__file__, *map(str, numbers), *command],
                cwd=self._folder,
                env=self._environment | dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, who stop the children in order
            )

    def _end_all(self) -> None:
        running = [child.process for child in self._children.values() if child.process is not None]
        for process in running:
            _signal_group(process.pid, signal.SIGCONT)
            _signal_head(process, signal.SIGTERM)
        give_up = time.monotonic() + STOPPED_WITHIN_S
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, give_up - time.monotonic()))
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _signal_head(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(what)


def _signal_group(leader: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, what)
