"""What a span of time takes: seconds of the clock, and of CPU by whom."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.ground import Ground
from bench.processes import Group


@dataclass(frozen=True)
class Part:
    """So many items took so many seconds, and so much CPU of the contestant and of the servers."""

    items: int
    seconds: float
    own: float
    postgres: float
    redis: float

    @property
    def rate(self) -> float:
        """Items per second."""
        return self.items / self.seconds

    def per_1000(self, cpu: float) -> float:
        """CPU seconds per 1,000 items."""
        return cpu / self.items * 1000


class Meter:
    """Reads the clocks of a contestant's processes and of the servers."""

    def __init__(self, ground: Ground, *groups: Group) -> None:
        """Begin now."""
        self._ground, self._groups = ground, groups
        self._began, self._own, self._servers = time.monotonic(), self._cpu(), ground.cpu()

    def read(self, items: int) -> Part:
        """What has passed since the beginning."""
        servers = self._ground.cpu().since(self._servers)
        seconds = time.monotonic() - self._began
        return Part(items, seconds, self._cpu() - self._own, servers.postgres, servers.redis)

    def _cpu(self) -> float:
        return sum(group.cpu_s() for group in self._groups)
