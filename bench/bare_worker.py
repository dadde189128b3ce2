"""A bare Celery worker on the same broker: what an empty task costs from its publication to its first line."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import redis
from celery import Celery

BROKER = "BENCH_BROKER"
LANE = "bench_bare"
STARTED = "bench_bare_started"
READY_S = 30.0
OPTIONS = ["-P", "threads", "-c", "1", "--without-gossip", "--without-mingle", "--without-heartbeat"]

app = Celery("bench-bare", broker=os.environ.get(BROKER))
app.conf.update(task_ignore_result=True, task_default_queue=LANE, worker_prefetch_multiplier=1)


@app.task(name="bench.note_start")  # type: ignore[untyped-decorator]
def note_start() -> None:
    """Say when it started (epoch seconds)."""
    began = time.time()
    redis.Redis.from_url(app.conf.broker_url).lpush(STARTED, repr(began))


class BareWorker:
    """The worker in a process of its own, and a publisher with everything already connected."""

    def __init__(self, redis_url: str) -> None:
        """Start it and wait for its first task."""
        self._redis = redis.Redis.from_url(redis_url)
        app.conf.broker_url = redis_url
        self._process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "bench.bare_worker", "worker", *OPTIONS],
            env=os.environ | {BROKER: redis_url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.task_s(within_s=READY_S)

    def task_s(self, *, within_s: float = 10.0) -> float:
        """Publish a task; the seconds until it started."""
        began = time.time()
        note_start.apply_async()
        found = self._redis.brpop([STARTED], int(within_s))
        if found is None:
            raise TimeoutError(f"the bare worker did not start a task within {within_s} s")
        return float(found[1]) - began

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(10)
