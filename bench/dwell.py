"""The dwell of an idle Tocsin: from the door to the provider's request, beside the sum of its unavoidable parts.

200 alarms, one after another, on the whole stack of `tocsin up`. The parts are measured in the same run, between the
alarms: one INSERT with its commit, one Redis round trip each way, one HTTP POST on a fresh connection.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

import psycopg
import redis
import requests
from sqlalchemy import text
from sqlalchemy.engine import make_url

from deploy.cli.stack import Stack

ALARMS = 200
WARM_UP = 20
WITHIN_S = 10.0
# Long enough for the write-back of one alarm to be over before the next begins.
REST_S = 0.1
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
    parts = Parts(stack)
    sent: dict[str, float] = {}
    for number in range(WARM_UP + ALARMS):
        ref = f"dwell-{uuid4().hex[:12]}"
        began = raise_alarm(stack, ref)
        time.sleep(REST_S)
        parts.measure()
        if number >= WARM_UP:
            sent[ref] = began
    arrived = arrivals(stack, sent)
    with stack.session() as session:
        rows = session.execute(
            text("SELECT incident_ref, extract(epoch FROM received_at) FROM incident WHERE incident_ref = ANY(:refs)"),
            {"refs": list(sent)},
        ).all()
        acted = session.execute(text("SELECT detail->>'acted' FROM heartbeat WHERE name = 'watchman'")).scalar()
    received = {row[0]: float(row[1]) for row in rows}
    whole = [arrived[ref] - began for ref, began in sent.items()]
    dwell = [arrived[ref] - received[ref] for ref in sent]
    table(parts, dwell, whole, int(acted or 0))


def raise_alarm(stack: Stack, ref: str) -> float:
    """Post one alarm and wait until the provider has taken it; the moment (epoch seconds) at which it was posted."""
    web, bearer = stack.described["web"], {"Authorization": f"Bearer {stack.described['api_key']}"}
    body = {"incident_ref": ref, "kind": "burglary", **HOME}
    began = time.time()
    answer = requests.post(f"{web}/v1/alarms", json=body, headers=bearer, timeout=WITHIN_S)
    answer.raise_for_status()
    ends = time.monotonic() + WITHIN_S
    link = f"{web}/v1/incidents/{answer.json()['incident_id']}"
    while requests.get(link, headers=bearer, timeout=WITHIN_S).json()["status"] != "requested":
        if time.monotonic() > ends:
            raise TimeoutError(f"the alarm was not taken within {WITHIN_S} s")
        time.sleep(0.02)
    return began


def arrivals(stack: Stack, sent: dict[str, float]) -> dict[str, float]:
    """When (epoch seconds) the provider's server began to read each request."""
    url = stack.described["sandbox"]["noonlight"]["url"]
    log: list[dict[str, Any]] = requests.get(f"{url}/_log", timeout=30).json()
    creates = [entry for entry in log if entry["method"] == "POST" and entry["path"] == "/dispatch/v1/alarms"]
    found = {ref: [entry["time"] for entry in creates if ref in entry["body"]] for ref in sent}
    if any(len(times) != 1 for times in found.values()):
        raise RuntimeError("an alarm was not sent exactly once")
    return {ref: times[0] for ref, times in found.items()}


class Parts:
    """What nobody can do without, each timed alone on the same servers. Seconds."""

    def __init__(self, stack: Stack) -> None:
        """Connect once; only the POST connects each time, as a create does."""
        urls = stack.embedded.urls
        plain = make_url(urls.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._database = psycopg.connect(plain, autocommit=True)
        self._database.execute("CREATE TABLE bench_part (id bigserial PRIMARY KEY, body text)")
        self._redis = redis.Redis.from_url(urls.redis_url)
        self._sandbox = stack.described["sandbox"]["noonlight"]["url"]
        self.insert: list[float] = []
        self.ring: list[float] = []
        self.answer: list[float] = []
        self.post: list[float] = []

    def measure(self) -> None:
        """One of each."""
        self.insert.append(_timed(lambda: self._database.execute("INSERT INTO bench_part (body) VALUES ('x')")))
        self.ring.append(_timed(lambda: self._redis.lpush("bench", "x")))
        self.answer.append(_timed(lambda: self._redis.brpop(["bench"], 1)))
        self.post.append(_timed(lambda: requests.post(f"{self._sandbox}/_control", json={}, timeout=WITHIN_S)))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def table(parts: Parts, dwell: list[float], whole: list[float], acted: int) -> None:
    """Print milliseconds."""
    unavoidable = {
        "INSERT with commit": parts.insert,
        "Redis, there": parts.ring,
        "Redis, back": parts.answer,
        "HTTP POST": parts.post,
    }
    sums = [sum(at) for at in zip(*unavoidable.values(), strict=True)]
    print(f"\n{len(dwell)} alarms, one after another, idle system   {'p50 ms':>8} {'p99 ms':>8}")
    for name, values in {**unavoidable, "sum of the parts": sums}.items():
        print(f"  {name:<44} {_at(values, 50):8.2f} {_at(values, 99):8.2f}")
    print(f"  {'dwell: door -> provider request':<44} {_at(dwell, 50):8.2f} {_at(dwell, 99):8.2f}")
    print(f"  {'client posts -> provider request':<44} {_at(whole, 50):8.2f} {_at(whole, 99):8.2f}")
    ratios = [_at(dwell, percent) / _at(sums, percent) for percent in (50, 99)]
    print(f"  {'ratio of the dwell to the sum':<44} {ratios[0]:8.2f} {ratios[1]:8.2f}")
    print(f"  {'rows worked by the watchman':<44} {acted:8d}\n")


def _at(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1] * 1000


if __name__ == "__main__":
    main()
