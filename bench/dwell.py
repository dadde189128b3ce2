"""The dwell of an idle Tocsin: from the door to the provider's request, beside the sum of its unavoidable parts.

200 alarms, one after another, on the whole stack of `tocsin up`. The parts are what no design with these promises can
leave out, each timed alone in the same run, between the alarms, on the same servers, with nothing but a bare client:

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
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import redis
import requests
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bench.bare_worker import BareWorker
from deploy.cli.stack import Stack
from shared.providers.http import json_bytes

ALARMS = 200
WARM_UP = 20
WITHIN_S = 10.0
# Long enough for all that follows an alarm (its answer, its write-backs) to be over: nobody asks how it stands
# meanwhile, since the question would take the processor from the alarm.
REST_S = 0.25
COMMITS = 3
RINGS = 2
CREATE = "/dispatch/v1/alarms"
BELL = "bench_bell"
ENDS = "bench_ends"
HOME = {
    "provider": "noonlight",
    "person": {"name": "Jane Example", "phone": "+12025550142", "pin": "4711"},
    "location": {"address": {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}},
}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        Path(folder).chmod(0o711)
        stack = Stack(Path(folder) / "data", lambda line: print(line, file=sys.stderr))
        try:
            stack.start()
            measure(stack)
        finally:
            stack.erase()


def measure(stack: Stack) -> None:
    """Raise the alarms, measure the parts between them, and print the table."""
    sent: dict[str, float] = {}
    with requests.Session() as client, Parts(stack) as parts:
        for number in range(WARM_UP + ALARMS):
            ref = f"dwell-{uuid4().hex[:12]}"
            began = raise_alarm(stack, client, ref)
            time.sleep(REST_S)
            parts.measure()
            if number >= WARM_UP:
                sent[ref] = began
    arrived = arrivals(stack, list(sent))
    with stack.session() as session:
        rows = session.execute(
            text("SELECT incident_ref, extract(epoch FROM received_at) FROM incident WHERE incident_ref = ANY(:refs)"),
            {"refs": list(sent)},
        ).all()
        acted = session.execute(text("SELECT detail->>'acted' FROM heartbeat WHERE name = 'watchman'")).scalar()
    received = {row[0]: float(row[1]) for row in rows}
    whole = [arrived[ref] - began for ref, began in sent.items()]
    dwell = [arrived[ref] - received[ref] for ref in sent]
    table(parts, parts.seconds(stack), dwell, whole, int(acted or 0))


def raise_alarm(stack: Stack, client: requests.Session, ref: str) -> float:
    """Post one alarm; the moment (epoch seconds) at which it was posted."""
    bearer = {"Authorization": f"Bearer {stack.described['api_key']}"}
    body = {"incident_ref": ref, "kind": "burglary", **HOME}
    began = time.time()
    answer = client.post(f"{stack.described['web']}/v1/alarms", json=body, headers=bearer, timeout=WITHIN_S)
    answer.raise_for_status()
    return began


def arrivals(stack: Stack, marks: list[str]) -> dict[str, float]:
    """When (epoch seconds) the provider's server had the request that carries each mark. Each must have come once."""
    url = stack.described["sandbox"]["noonlight"]["url"]
    log: list[dict[str, Any]] = requests.get(f"{url}/_log", timeout=30).json()
    creates = [entry for entry in log if entry["method"] == "POST" and entry["path"] == CREATE]
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
        self.commits: list[float] = []
        self.rings: list[float] = []
        self.tasks: list[float] = []

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
        self.commits.append(sum(_timed(lambda: self._database.execute(insert)) for _ in range(COMMITS)))
        self.rings.append(sum(self._ring() for _ in range(RINGS)))
        self.tasks.append(sum(self._worker.task_s() for _ in range(RINGS)))
        self._post()

    def seconds(self, stack: Stack) -> dict[str, list[float]]:
        """What was measured, by name."""
        arrived = arrivals(stack, list(self._posts))
        return {
            f"{COMMITS} commits": self.commits,
            f"{RINGS} rings that wake a process": self.rings,
            "connect and POST, until it is there": [arrived[mark] - began for mark, began in self._posts.items()],
        }

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


def table(parts: Parts, seconds: dict[str, list[float]], dwell: list[float], whole: list[float], acted: int) -> None:
    """Print milliseconds."""
    sums = [sum(at) for at in zip(*seconds.values(), strict=True)]
    print(f"\n{len(dwell)} alarms, one after another, idle system   {'p50 ms':>8} {'p99 ms':>8}")
    times = {
        **seconds,
        "sum of the parts": sums,
        f"(beside it: {RINGS} tasks of a bare Celery worker)": parts.tasks,
        "dwell: door -> provider request": dwell,
        "client posts -> provider request": whole,
    }
    for name, values in times.items():
        print(f"  {name:<44} {_at(values, 50):8.2f} {_at(values, 99):8.2f}")
    ratios = [_at(dwell, percent) / _at(sums, percent) for percent in (50, 99)]
    print(f"  {'ratio of the dwell to the sum':<44} {ratios[0]:8.2f} {ratios[1]:8.2f}")
    print(f"  {'rows worked by the watchman':<44} {acted:8d}\n")


def _at(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1] * 1000


if __name__ == "__main__":
    main()
