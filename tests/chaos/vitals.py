"""Memory and open files of each process over the run, and the connections to Postgres at its end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.rig import Rig

EVERY_S = 5.0
CONNECTIONS = """
    SELECT application_name, count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'tocsin-%' AND application_name <> 'tocsin-test'
    GROUP BY 1
"""
IDLE_IN_TRANSACTION = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state LIKE 'idle in transaction%' AND state_change < now() - interval '8 seconds'
"""


@dataclass(frozen=True)
class Sample:
    """One process (with its children) at one moment: bytes of resident memory, and open files."""

    at: float
    name: str
    pid: int
    rss: int
    files: int


class Vitals(threading.Thread):
    """Looks every few seconds until it is told to stop."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(name="vitals", daemon=True)
        self.rig = rig
        self.samples: list[Sample] = []
        self.stop = threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.stop.wait(EVERY_S):
            self.look()

    def look(self) -> None:
        """One sample of each process."""
        with self.rig.guard:
            pids = {name: process.pid for name, process in self.rig.processes.items() if process.poll() is None}
        for name, pid in pids.items():
            with suppress(psutil.Error, OSError):
                head = psutil.Process(pid)
                family = [head, *head.children(recursive=True)]
                rss = sum(one.memory_info().rss for one in family)
                files = sum(one.num_fds() for one in family)
                self.samples.append(Sample(time.time(), name, pid, rss, files))


def connections(rig: Rig) -> dict[str, int]:
    """How many connections each kind of process has."""
    return {row[0]: row[1] for row in rig.rows(CONNECTIONS)}
