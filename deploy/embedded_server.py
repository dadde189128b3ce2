"""One server as a child process: started on a fixed port, stopped cleanly, broken on purpose by chaos tests.

A server does not outlive the process that started it: the kernel signals it when that process dies (on Linux),
and the next start stops whatever is left on the same folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from deploy import embedded_child
from deploy.embedded_account import Account, make_private

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
LOOK_EVERY_S = 0.01

# The kernel counts the *thread* that started a child as its parent, so all are started by one that stays.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded")


class ServerFailedError(RuntimeError):
    """An embedded server did not start or did not stop; the message ends with the last lines of its log."""


class Server(ABC):
    """A server that listens on 127.0.0.1:`port` and keeps its data and log below `home` (mode 0700)."""

    program: str
    stop_signal: signal.Signals

    def __init__(self, home: Path, port: int, account: Account) -> None:
        self.home = home
        self.port = port
        self.account = account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address with user and password, for clients."""

    @property
    @abstractmethod
    def working_folder(self) -> Path:
        """Where the running server has its working directory, which tells it from a stranger's."""

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Write the configuration and return the command; no password is part of it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Say whether the server takes requests now."""

    @property
    def pid(self) -> int | None:
        """The process id while the server runs, frozen or not."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and wait until it answers; a running one is left as it is.

        Raises `ServerFailedError` if it ends before it answers, or does not answer within `READY_WITHIN_S`.
        """
        if self.pid is not None:
            return
        make_private(self.home, self.account)
        self.stop_leftovers()
        command = self._prepare()
        self._process = _starter.submit(self._launch, command).result()
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the server cleanly, a frozen one too; after `STOPPED_WITHIN_S` it is killed."""
        if self.pid is not None:
            _end(self._family(), self.stop_signal)
        self._reap()

    def kill(self) -> None:
        """End the server and its children as `kill -9` does."""
        if self.pid is not None:
            family = self._family()
            for process in family:
                _send(process, signal.SIGKILL)
            _await_end(family)
        self._reap()

    def stop_leftovers(self) -> None:
        """Stop what a killed parent left running here, frozen ones too, recognised by program and folder."""
        left = [process for process in psutil.process_iter() if self._is_ours(process)]
        _end(left, self.stop_signal)

    def freeze(self) -> None:
        """Stop the server in its tracks (SIGSTOP): connections stay open and nobody answers."""
        for process in self._family():
            _send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for process in self._family():
            _send(process, signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server cleanly and start it again on the same port and data."""
        self.stop()
        self.start()

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        numbers = (os.getpid(), self.stop_signal.value, self.account.uid, self.account.gid)
        with self._log().open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-IS", embedded_child.__file__, *map(str, numbers), *command],
                cwd=self.home,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the parent, which stops its servers in order
            )

    def _await_answer(self) -> None:
        for _ in _looks(READY_WITHIN_S):
            if self.pid is None:
                raise ServerFailedError(f"{self.program} ended before it answered: {self._last_words()}")
            if self._answers():
                return
        raise ServerFailedError(f"{self.program} gave no answer in {READY_WITHIN_S:.0f} s: {self._last_words()}")

    def _family(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.name() == self.program and Path(process.cwd()) == self.working_folder.resolve()
        except (psutil.Error, OSError):  # gone meanwhile, or not ours to look at
            return False

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=STOPPED_WITHIN_S)
            self._process = None

    def _log(self) -> Path:
        log = self.home / "server.log"
        log.touch(mode=0o600)
        return log

    def _last_words(self) -> str:
        return " | ".join(self._log().read_text(errors="replace").splitlines()[-5:]) or "it said nothing"


def environment() -> dict[str, str]:
    """Return the environment of a server: none of ours, which may hold credentials."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _end(family: list[psutil.Process], stop_signal: signal.Signals) -> None:
    """Ask the heads of `family` to stop, wait for all (a child may hold the data), kill those that stay."""
    pids = {member.pid for member in family}
    for member in family:
        if _parent(member) not in pids:
            _send(member, stop_signal)
    for member in family:
        _send(member, signal.SIGCONT)
    for member in _await_end(family):
        _send(member, signal.SIGKILL)
    _await_end(family)


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return 0


def _await_end(family: list[psutil.Process]) -> list[psutil.Process]:
    """Wait up to `STOPPED_WITHIN_S` and return those that still run; a zombie has ended, reaped or not."""
    alive = family
    for _ in _looks(STOPPED_WITHIN_S):
        alive = [member for member in alive if _runs(member)]
        if not alive:
            break
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, what: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(what)


def _looks(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(LOOK_EVERY_S)
