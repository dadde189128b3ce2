"""The doorbell: tells a lane that there is work. It carries ids at most, and losing it costs only time."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import redis
import structlog
from celery import Celery

from shared.domain.lanes import DRAIN_TASK, ROW_TASK, Lane

log = structlog.get_logger(__name__)

# How long a held bell suppresses further rings when its holder dies; the holder renews it while it works.
HOLD_MS = 4_000
# After a failed ring nobody touches the broker for this long: a frozen Redis must not slow the one who rings.
GIVE_UP_S = 2.0
SOCKET_S = 0.5
# What tells a platform is rung for this much later than an alarm of the same moment: else both would be worked at once,
# and on a busy machine the call for help would share the processor with a line of history.
AFTER_ALARM_S = 0.03


@dataclass(frozen=True)
class Row:
    """A ring for one row of the dispatch lane."""

    kind: str
    id: int


class Bell(Protocol):
    """What rings; tests pass one that only counts."""

    def ring(self, what: Lane | Row) -> None:
        """Announce work; never blocks for long and never raises."""


class Doorbell:
    """Rings through Redis and Celery: one ring, one answerer, and a give-up flag while the broker is away."""

    def __init__(self, redis_url: str) -> None:
        """Connect lazily; `redis_url` is never logged."""
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_S,
            socket_connect_timeout=SOCKET_S,
            retry=None,
            client_name="tocsin-bell",
        )
        self._celery = Celery("tocsin-bell", broker=redis_url, set_as_current=False)
        self._celery.conf.update(
            task_publish_retry=False,
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
            task_send_sent_event=False,
            broker_transport_options={
                "socket_timeout": SOCKET_S,
                "socket_connect_timeout": SOCKET_S,
                "socket_keepalive": True,
                "max_connections": 8,
                "client_name": "tocsin-ringer",
                "visibility_timeout": 60,
            },
        )
        self._quiet_until = 0.0

    def ring(self, what: Lane | Row, *, force: bool = False) -> bool:
        """Ring now; True when a task was published. `force` rings past a bell that is held."""
        if time.monotonic() < self._quiet_until:
            return False
        try:
            if isinstance(what, Row):
                self._publish(ROW_TASK[what.kind], [what.id], Lane.DISPATCH)
                return True
            if not force and not self._redis.set(_key(what), "rung", nx=True, px=HOLD_MS):
                return False
            self._publish(DRAIN_TASK[what], [], what)
        except Exception as error:  # noqa: BLE001 - any broker fault is only a delay; the watchman rings again
            self._quiet_until = time.monotonic() + GIVE_UP_S
            log.warning("bell.silent", error=type(error).__name__)
            return False
        return True

    def _publish(self, task: str, args: list[int], lane: Lane) -> None:
        self._celery.send_task(task, args=args, queue=lane.value, retry=False, argsrepr=str(args), kwargsrepr="{}")

    @contextlib.contextmanager
    def hold(self, lane: Lane) -> Iterator[Hold]:
        """Hold the bell of a lane while answering it, so that rings meanwhile are suppressed.

        Whoever answers renews it as he goes on; who rang for him has set it.
        """
        held = Hold(self._redis, _key(lane))
        try:
            yield held
        finally:
            held.let_go()

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()
        self._celery.close()


class Hold:
    """A held bell. Redis faults are ignored: then others may ring as well, which is harmless."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        """Wrap the key of one lane's bell."""
        self._client = client
        self._key = key
        self._renewed = 0.0

    def renew(self) -> None:
        """Keep the bell for another HOLD_MS; cheap to call often."""
        if time.monotonic() - self._renewed < HOLD_MS / 4000:
            return
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.set(self._key, "held", px=HOLD_MS)
        self._renewed = time.monotonic()

    def let_go(self) -> None:
        """Let the next ring through."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.delete(self._key)
        self._renewed = 0.0


class Ringer:
    """A thread that rings for those who must not wait for Redis: the door after its answer, the watchman's loop."""

    def __init__(self, doorbell: Doorbell) -> None:
        """Start the thread (daemon: a process that ends loses rings only)."""
        self._doorbell = doorbell
        self._waiting: queue.SimpleQueue[Lane | Row] = queue.SimpleQueue()
        # Whether what waits is to be rung past a bell that is held.
        self._pending: dict[Lane | Row, bool] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
        self._thread.start()

    def ring(self, what: Lane | Row, *, force: bool = False) -> None:
        """Ring soon, from the ringer's thread; equal rings that still wait are one, forced if any of them is."""
        with self._lock:
            waits = what in self._pending
            self._pending[what] = force or self._pending.get(what, False)
        if not waits:
            self._waiting.put(what)

    def _run(self) -> None:
        alarm_at = float("-inf")
        later_at: float | None = None
        while True:
            now = time.monotonic()
            if later_at is not None and now >= later_at:
                later_at = None
                self._ring(Lane.OUTGOING)
            try:
                what = self._waiting.get(timeout=None if later_at is None else later_at - now)
            except queue.Empty:
                continue
            if what is Lane.OUTGOING and not self._pending[what] and time.monotonic() < alarm_at + AFTER_ALARM_S:
                later_at = alarm_at + AFTER_ALARM_S
                continue
            self._ring(what)
            if isinstance(what, Row):
                alarm_at = time.monotonic()

    def _ring(self, what: Lane | Row) -> None:
        with self._lock:
            force = self._pending.pop(what)
        self._doorbell.ring(what, force=force)


def _key(lane: Lane) -> str:
    return f"bell:{lane.value}"
