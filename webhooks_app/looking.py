"""What costs a look at Postgres or Redis and asks for no key: one request at a time looks, the others read its word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")

# Nobody is told what is older than this.
FRESH_S = 30.0


class Look(Generic[V]):
    """Callers in any number hold one thread, however long a look takes; without others each caller looks anew."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._lock = threading.Lock()
        self._last: tuple[float, V] | None = None

    def get(self, look: Callable[[], V]) -> V:
        """What `look` finds, or what it found a moment ago while another caller looks."""
        last = self._last
        fresh = last is not None and time.monotonic() - last[0] < FRESH_S
        if not self._lock.acquire(blocking=not fresh):
            assert last is not None
            return last[1]
        try:
            if self._last is not last and self._last is not None:
                return self._last[1]  # found while this caller waited
            found = look()
            self._last = (time.monotonic(), found)
            return found
        finally:
            self._lock.release()
