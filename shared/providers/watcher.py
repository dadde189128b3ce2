"""One thread per process that ends what takes too long, whatever it waits for by then."""

from __future__ import annotations

import threading
from typing import Protocol

from shared.clock import boot_time

# A suspended machine wakes up past its deadlines, and the pauses of its threads do not count the suspension.
LOOK_EVERY_S = 1.0


class Watched(Protocol):
    """Something that must be over at `ends` (boot clock, seconds), which may move, but never to an earlier moment."""

    ends: float

    def cut(self) -> None:
        """End it if it is late, and once. Never waits and never raises."""


class Watcher:
    """Starting a thread for each exchange took 0.3 ms of an idle machine's time, and milliseconds of a busy one's."""

    def __init__(self) -> None:
        """The thread is started by the first that is watched."""
        self._watched: set[Watched] = set()
        self._changed = threading.Condition()
        self._next_look = float("inf")
        self._thread: threading.Thread | None = None

    def watch(self, one: Watched) -> None:
        """Cut it once it is late. Raises RuntimeError when the system gives no thread."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                self._thread.start()
            self._watched.add(one)
            if one.ends < self._next_look:
                self._changed.notify()

    def forget(self, one: Watched) -> None:
        """It is over."""
        with self._changed:
            self._watched.discard(one)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = boot_time()
                ends = [one.ends for one in self._watched]
                self._next_look = min(now + LOOK_EVERY_S, *ends) if ends else float("inf")
                self._changed.wait(max(0.0, self._next_look - now) if ends else None)
                watched = list(self._watched)
            for one in watched:
                one.cut()
