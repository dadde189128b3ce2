"""One commit for all deliveries that arrived while the one before was on its way; nobody is made to wait for more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.store.reception import Delivery
from webhooks_app.database import LEAST_S, DatabaseAway

# How many events one statement takes, and how much may wait for its turn; what comes on top is refused (503).
GROUP_EVENTS = 1_000
WAITING_BYTES = 32_000_000
# What a waiting event costs beside its body.
EVENT_BYTES = 600

Commit = Callable[[Sequence[Delivery], float], None]


@dataclass(eq=False)
class _Waiter:
    """A delivery whose sender waits for the answer. `since` is monotonic."""

    rows: Sequence[Delivery]
    size: int
    since: float
    answer: asyncio.Future[None]


class Gathering:
    """Belongs to one event loop. The commits run one after another on a thread of their own, in order of arrival."""

    def __init__(
        self, commit: Commit, hold_s: float, *, group_events: int = GROUP_EVENTS, waiting_bytes: int = WAITING_BYTES
    ) -> None:
        """`commit` stores rows for good within so many seconds, all or none, or raises; it may be repeated."""
        self._commit = commit
        self._hold_s = hold_s
        self._group_events, self._waiting_bytes = group_events, waiting_bytes
        self._waiting: list[_Waiter] = []
        self._bytes = 0
        self._work: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gathering")

    async def store(self, rows: Sequence[Delivery]) -> None:
        """Return when the rows are on disk.

        Raises DatabaseAway when they could not be stored in time, or at once when too much waits already; and whatever
        the database says of these very rows.
        """
        size = sum(len(row.body) + EVENT_BYTES for row in rows)
        if self._bytes + size > self._waiting_bytes:
            raise DatabaseAway
        loop = asyncio.get_running_loop()
        waiter = _Waiter(rows, size, time.monotonic(), loop.create_future())
        self._waiting.append(waiter)
        self._bytes += size
        if self._work is None:
            self._work = loop.create_task(self._store_all(loop))
        await waiter.answer

    async def _store_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until nobody waits."""
        try:
            while self._waiting:
                group = self._next_group()
                faults = await loop.run_in_executor(self._thread, self._store_group, group)
                for waiter, fault in zip(group, faults, strict=True):
                    self._bytes -= waiter.size
                    _tell(waiter, fault)
        finally:
            self._work = None

    def _next_group(self) -> list[_Waiter]:
        """Who has waited longest, up to the size of a statement; at least one."""
        events, length = 0, 0
        for waiter in self._waiting:
            events += len(waiter.rows)
            if length and events > self._group_events:
                break
            length += 1
        group, self._waiting = self._waiting[:length], self._waiting[length:]
        return group

    def _store_group(self, group: Sequence[_Waiter]) -> list[Exception | None]:
        """What each waiter is told. A group that the database refuses is taken apart, to spare the neighbours."""
        fault = self._fault([row for waiter in group for row in waiter.rows], group[0].since)
        if fault is None or len(group) == 1:
            return [fault] * len(group)
        if isinstance(fault, DatabaseAway):
            return [DatabaseAway() for _ in group]  # each is raised in a place of its own
        return [self._fault(waiter.rows, waiter.since) for waiter in group]

    def _fault(self, rows: Sequence[Delivery], since: float) -> Exception | None:
        try:
            self._commit(rows, max(since + self._hold_s - time.monotonic(), LEAST_S))
        except Exception as fault:  # noqa: BLE001 - told to those whom it concerns, whatever it is
            return fault
        return None


def _tell(waiter: _Waiter, fault: Exception | None) -> None:
    if waiter.answer.done():
        return  # the sender went away meanwhile
    if fault is None:
        waiter.answer.set_result(None)
    else:
        waiter.answer.set_exception(fault)
