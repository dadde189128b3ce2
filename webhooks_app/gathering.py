"""One commit for all that arrived while the one before was on its way; nobody is made to wait for more to come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from webhooks_app.database import LEAST_S, DatabaseAway

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Given_contra = TypeVar("Given_contra", contravariant=True)

# How much one group takes, and how much may wait for its turn; what comes on top is refused (503).
GROUP_BYTES = 1_000_000
WAITING_BYTES = 32_000_000


class Promise(Protocol[Given_contra]):
    """A future, of `asyncio` or of threads."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Given_contra, /) -> None:
        """Answer."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Say what went wrong."""


@dataclass(eq=False)
class _Waiter(Generic[Item, Answer]):
    """Something to be stored, and who waits for it until `deadline` (monotonic)."""

    item: Item
    size: int
    deadline: float
    promise: Promise[Answer]


Told = Sequence[tuple[Promise[Answer], Answer | Exception]]


def tell(told: Told[Answer]) -> None:
    """Give each his answer."""
    for promise, answer in told:
        if promise.done():
            continue  # the sender went away meanwhile
        if isinstance(answer, Exception):
            promise.set_exception(answer)
        else:
            promise.set_result(answer)


class Gathering(Generic[Item, Answer]):
    """Groups are stored one after another, in order of arrival, by a thread that begins with the first item."""

    def __init__(
        self,
        store: Callable[[Sequence[Item], float], Sequence[Answer | Exception]],
        *,
        tell: Callable[[Told[Answer]], object] = tell,
        group_bytes: int = GROUP_BYTES,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        """`store` commits a group within so many seconds and says what each item is told; it may raise DatabaseAway.

        `tell` is called on the thread; an event loop passes one that comes back to the loop.
        """
        self._store = store
        self._tell = tell
        self._group_bytes, self._waiting_bytes = group_bytes, waiting_bytes
        self._waiting: queue.SimpleQueue[_Waiter[Item, Answer]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._bytes = 0
        self._thread: threading.Thread | None = None

    def put(self, item: Item, size: int, hold_s: float, promise: Promise[Answer]) -> None:
        """Have the item stored; `promise` is kept when it is on disk, or told DatabaseAway after about `hold_s`.

        `size` is in bytes. Raises DatabaseAway when too much waits already. Never blocks.
        """
        with self._lock:
            if self._bytes + size > self._waiting_bytes:
                raise DatabaseAway
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gathering", daemon=True)
                self._thread.start()
        self._waiting.put(_Waiter(item, size, time.monotonic() + hold_s, promise))

    def _run(self) -> None:
        while True:
            group = self._next_group()
            told = self._told(group)
            with self._lock:
                self._bytes -= sum(waiter.size for waiter in group)
            self._tell(told)

    def _next_group(self) -> list[_Waiter[Item, Answer]]:
        """Waits for the first; the others are those who are there by then."""
        group = [self._waiting.get()]
        size = group[0].size
        while size < self._group_bytes and not self._waiting.empty():
            group.append(self._waiting.get())
            size += group[-1].size
        return group

    def _told(self, group: Sequence[_Waiter[Item, Answer]]) -> Told[Answer]:
        """Whatever happens, each is told something, and the thread goes on."""
        left = min(waiter.deadline for waiter in group) - time.monotonic()
        try:
            answers = self._store([waiter.item for waiter in group], max(left, LEAST_S))
            return [(waiter.promise, answer) for waiter, answer in zip(group, answers, strict=True)]
        except DatabaseAway:
            return [(waiter.promise, DatabaseAway()) for waiter in group]  # each is raised in a place of its own
        except Exception as fault:  # noqa: BLE001 - told to those whom it concerns
            return [(waiter.promise, fault) for waiter in group]
