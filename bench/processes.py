"""The processes of a contestant and of the servers: started as a group, and measured in /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
STOPPED_WITHIN_S = 15.0


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (state) on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_of(pid: int, *, reaped: bool = True) -> float:
    """CPU seconds of a process and, with `reaped`, of its children that have ended and were waited for."""
    fields = stat_of(pid)
    return sum(int(ticks) for ticks in fields[11 : 15 if reaped else 13]) * _TICK_S if fields else 0.0


def cpu_of_family(pid: int) -> float:
    """CPU seconds of a process, its living children and its ended ones: a Postgres with all of its backends."""
    return cpu_of(pid) + sum(cpu_of(child) for child in _every_pid() if _field(child, 1) == str(pid))


def cpu_of_session(leader: int) -> float:
    """CPU seconds of all living processes of a session, and of those that they have waited for."""
    return sum(cpu_of(pid) for pid in _every_pid() if _field(pid, 3) == str(leader))


def resident(pid: int) -> int:
    """The memory that a process occupies, in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Group:
    """Processes that were started together, each the head of a session of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], working_folder: Path) -> None:
        """Logs go to `folder`."""
        self._folder = folder
        self._environment = dict(environment)
        self._working_folder = working_folder
        self._heads: dict[str, subprocess.Popen[bytes]] = {}

    def launch(self, name: str, command: Sequence[str]) -> None:
        """Start one process."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._heads[name] = subprocess.Popen(
                command,
                cwd=self._working_folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        """All living processes of all heads."""
        sessions = {str(head.pid) for head in self._heads.values()}
        return [pid for pid in _every_pid() if _field(pid, 3) in sessions]

    def cpu_s(self) -> float:
        """CPU seconds so far, of those that ended and were waited for too."""
        return sum(cpu_of(pid) for pid in self.pids())

    def resident(self) -> dict[str, int]:
        """Bytes of memory by the name of the head, its children included."""
        found = dict.fromkeys(self._heads, 0)
        names = {str(head.pid): name for name, head in self._heads.items()}
        for pid in self.pids():
            found[names[_field(pid, 3)]] += resident(pid)
        return found

    def check(self) -> None:
        """Raise RuntimeError when a head has ended by itself."""
        for name, head in self._heads.items():
            if head.poll() is not None:
                raise RuntimeError(f"{name} ended with {head.returncode}")

    def last_words(self) -> str:
        """The end of what each head said."""
        logs = {name: (self._folder / f"{name}.log").read_text(errors="replace") for name in self._heads}
        return "\n".join(f"{name}:\n{text[-2000:]}" for name, text in logs.items() if text)

    def stop(self) -> None:
        """Ask all to stop, wait, and kill what stays."""
        for head in self._heads.values():
            with contextlib.suppress(ProcessLookupError):
                head.terminate()
        ends = time.monotonic() + STOPPED_WITHIN_S
        for head in self._heads.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(max(0.1, ends - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)
            head.wait()
        self._heads = {}


def _every_pid() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _field(pid: int, at: int) -> str:
    fields = stat_of(pid)
    return fields[at] if fields else ""
