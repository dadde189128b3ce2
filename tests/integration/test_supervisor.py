"""The supervisor on real processes: what dies comes back, what is stopped stays away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.cli.leftovers import MARK, stop_leftovers
from deploy.cli.supervisor import Program, Supervisor

PATIENCE_S = 20.0


@pytest.fixture
def said() -> list[str]:
    """What a person was told."""
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    """A supervisor of one program, which starts a child of its own."""
    line = "sh -c 'echo working; sleep 1000 & exec sleep 1000'"
    made = Supervisor(
        {"one": Program(line, {"TOKEN": "x"})},
        folder=tmp_path,
        logs=tmp_path / "logs",
        environment={"PATH": os.environ["PATH"]},
        tell=said.append,
    )
    made.start()
    yield made
    made.stop()


def test_program_is_started_again_when_it_is_killed(supervisor: Supervisor, said: list[str]) -> None:
    """With what it had started itself gone, and the end of its log told."""
    first = _running(supervisor)
    os.kill(first, signal.SIGKILL)
    _until(lambda: supervisor.pids().get("one", first) != first)

    _until(lambda: not _group(first))
    assert supervisor.ends() == {"one": 1}
    assert "one ended with -9" in said[0]
    assert "working" in said[0]


def test_programs_are_gone_when_the_supervisor_stops(supervisor: Supervisor) -> None:
    """Heads and their children; stopping twice is harmless."""
    pid = _running(supervisor)
    supervisor.stop()
    supervisor.stop()

    assert not psutil.pid_exists(pid)
    _until(lambda: not _group(pid))
    assert supervisor.ends() == {"one": 0}


def test_log_is_private(supervisor: Supervisor, tmp_path: Path) -> None:
    """A log may hold what a library prints."""
    _running(supervisor)
    assert (tmp_path / "logs" / "one.log").stat().st_mode & 0o777 == 0o600


def test_leftover_is_stopped_when_it_carries_the_mark(tmp_path: Path) -> None:
    """Of this folder only; a frozen one too."""
    sleep = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)"]
    ours, theirs = (
        subprocess.Popen(sleep, env={**os.environ, MARK: str(folder)}, stdout=subprocess.PIPE)
        for folder in (tmp_path, tmp_path / "other")
    )
    with ours, theirs:
        try:
            for process in (ours, theirs):
                assert process.stdout is not None
                process.stdout.readline()
            ours.send_signal(signal.SIGSTOP)

            assert stop_leftovers(tmp_path) == 1
            ours.wait(PATIENCE_S)  # how it ended was read by whoever stopped it
            assert theirs.poll() is None
        finally:
            ours.kill()
            theirs.kill()


def _running(supervisor: Supervisor) -> int:
    """The pid, once the program and its child run."""
    _until(lambda: len(_group(supervisor.pids().get("one", -1))) == 2)
    return supervisor.pids()["one"]


def _group(leader: int) -> list[int]:
    """The processes of a group that are alive."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
