"""Who may use a thread: no destination more than its share, some threads for first tries, poison rows alone (law 7)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shared.store.outbox import LOST_LEASES_BEFORE_ALONE, Lease


@dataclass(frozen=True)
class Room:
    """What may be leased at this moment: `free` rows, of these `retries` that were tried before, and of each
    destination its `share`, those in flight included.
    """

    free: int
    retries: int
    share: int
    in_flight: Mapping[str, int]

    @property
    def idle(self) -> bool:
        """Nothing is in flight here, so that a row may be worked alone."""
        return not self.in_flight

    @property
    def full(self) -> list[str]:
        """The destinations that have their share."""
        return [name for name, calls in self.in_flight.items() if calls >= self.share]


class Slots:
    """The threads of one process and lane. Leasing happens under its lock, so that the shares are exact."""

    def __init__(self, threads: int, *, per_destination: int, for_first_tries: int = 0) -> None:
        """`per_destination` caps calls in flight to one peer; `for_first_tries` threads are never given to retries."""
        self._threads = threads
        self._per_destination = per_destination
        self._for_first_tries = for_first_tries
        self._lock = threading.Lock()
        self._in_flight: Counter[str] = Counter()
        self._alone = False

    def lease(self, take: Callable[[Room], list[Lease]], *, want: int | None = None) -> list[Lease]:
        """Lease rows that a thread is free for; once one that killed its owners is taken, no others are."""
        with self._lock:
            room = self._room()
            if room.free <= 0:
                return []
            taken = take(room if want is None else replace(room, free=min(want, room.free)))
            for lease in taken:
                self._in_flight[lease.destination] += 1
                self._alone = self._alone or lease.lost_leases == LOST_LEASES_BEFORE_ALONE
            return taken

    def _room(self) -> Room:
        free = 0 if self._alone else self._threads - sum(self._in_flight.values())
        return Room(free, max(0, free - self._for_first_tries), self._per_destination, dict(self._in_flight))

    def give_back(self, lease: Lease) -> None:
        """The thread is free again."""
        with self._lock:
            self._in_flight[lease.destination] -= 1
            if self._in_flight[lease.destination] <= 0:
                del self._in_flight[lease.destination]
            if not self._in_flight:
                self._alone = False
