"""The parts of a dwell that no design with these promises can leave out, each timed alone on the same servers.

- three commits, each one INSERT of a row: the alarm at the door (law 1), the decision, and `sending` (law 3);
- two rings, each an LPUSH that wakes another process out of its BRPOP: the door's and the decision's;
- a TCP connection and a POST over it, until the provider's server has it.

Not in the sum is what a design may hope to do without: leases, reads, the framework at the door, and all that Celery
adds to a list in Redis. `A task of a bare Celery worker` is shown beside it: what publishing and starting an empty task
takes here, twice on an alarm's way.
"""

from __future__ import annotations

import http.client
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import redis
import requests
from sqlalchemy.engine import make_url

from bench.bare_worker import BareWorker
from deploy.cli.stack import Stack
from shared.providers.http import json_bytes

WITHIN_S = 10.0
COMMITS = 3
RINGS = 2
CREATE = "/dispatch/v1/alarms"
BELL = "bench_bell"
ENDS = "bench_ends"


def arrivals(stack: Stack, marks: list[str]) -> dict[str, float]:
    """When (epoch seconds) the provider's server had the request that carries each mark. Each must have come once."""
    url = stack.described["sandbox"]["noonlight"]["url"]
    told = requests.get(f"{url}/_log", params={"method": "POST", "path": CREATE}, timeout=60)
    creates: list[dict[str, Any]] = told.json()
    found = {mark: [entry["time"] for entry in creates if mark in entry["body"]] for mark in marks}
    if any(len(times) != 1 for times in found.values()):
        raise RuntimeError("a request was not sent exactly once")
    return {mark: times[0] for mark, times in found.items()}


class Parts:
    """What nobody can do without, each timed alone on the same servers. Seconds."""

    def __init__(self, stack: Stack) -> None:
        """Connect once; only the POST connects each time, as a create does."""
        urls = stack.embedded.urls
        plain = make_url(urls.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._database = psycopg.connect(plain, autocommit=True)
        self._database.execute("CREATE TABLE bench_part (id bigserial PRIMARY KEY, body text)")
        self._redis = redis.Redis.from_url(urls.redis_url)
        self._provider = urlsplit(stack.described["sandbox"]["noonlight"]["url"])
        self._mine, theirs = multiprocessing.Pipe()
        self._waiter = multiprocessing.get_context("spawn").Process(
            target=wait_for_rings, args=(urls.redis_url, theirs)
        )
        self._waiter.start()
        self._worker = BareWorker(urls.redis_url)
        self._posts: dict[str, float] = {}
        self._commits: list[float] = []
        self._rings: list[float] = []
        self._tasks: list[float] = []

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._redis.lpush(ENDS, "x")
        self._waiter.join(WITHIN_S)
        self._worker.stop()
        self._database.close()

    def measure(self) -> None:
        """What one alarm needs."""
        insert = "INSERT INTO bench_part (body) VALUES ('x')"
        self._commits.append(sum(_timed(lambda: self._database.execute(insert)) for _ in range(COMMITS)))
        self._rings.append(sum(self._ring() for _ in range(RINGS)))
        self._tasks.append(sum(self._worker.task_s() for _ in range(RINGS)))
        self._post()

    def take(self, stack: Stack) -> tuple[dict[str, list[float]], list[float]]:
        """What was measured since the last time: the unavoidable by name, and the bare tasks beside it."""
        arrived = arrivals(stack, list(self._posts))
        unavoidable = {
            f"{COMMITS} commits": self._commits,
            f"{RINGS} rings that wake a process": self._rings,
            "connect and POST, until it is there": [arrived[mark] - began for mark, began in self._posts.items()],
        }
        tasks = self._tasks
        self._commits, self._rings, self._tasks, self._posts = [], [], [], {}
        return unavoidable, tasks

    def _ring(self) -> float:
        began = time.monotonic()
        self._redis.lpush(BELL, "x")
        woke: float = self._mine.recv()
        return woke - began

    def _post(self) -> None:
        """The sandbox notes it and answers 401."""
        mark = f"part-{uuid4().hex}"
        assert self._provider.hostname is not None
        self._posts[mark] = time.time()
        line = http.client.HTTPConnection(self._provider.hostname, self._provider.port, timeout=WITHIN_S)
        line.request("POST", CREATE, body=json_bytes({"mark": mark}), headers={"Content-Type": "application/json"})
        line.getresponse().read()
        line.close()


def wait_for_rings(redis_url: str, told: Connection) -> None:
    """Runs in a process of its own: tell the moment (monotonic, which processes share) of each waking."""
    client = redis.Redis.from_url(redis_url)
    while True:
        rung = client.brpop([ENDS, BELL])
        if rung is None or rung[0] == ENDS.encode():
            return
        told.send(time.monotonic())


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
