"""What breaks, and what an alarm notices of it: the real processes, with Redis, Postgres and workers taken away."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import pytest
import requests

from shared.domain.lanes import Lane
from tests.e2e.stack import Stack, open_stack
from tests.town import ADDRESS, PERSON

log = logging.getLogger(__name__)

# The watchman's patience, one look, and the work itself: what "about 5 s after it fell due" leaves.
SOON_S = 5.0
PATIENCE_S = 3.0
JUNK: list[str | bytes] = [
    "junk{",
    "[1, 2]",
    "5",
    "null",
    "{}",
    b"\xff\xfe\x00",
    json.dumps({"body": "!", "properties": {"body_encoding": "base64", "delivery_tag": "1"}, "headers": {}}),
    json.dumps({"body": 7, "properties": {"body_encoding": "base64", "delivery_tag": "2"}, "headers": {}}),
    json.dumps({"body": "e30=", "properties": "none", "headers": []}),
    json.dumps(
        {
            "body": "e30=",
            "properties": {"body_encoding": "base64", "delivery_tag": "3", "delivery_info": {}},
            "headers": {"task": "no.such", "id": "x"},
            "content-type": "application/json",
            "content-encoding": "utf-8",
        }
    ),
]
Outage = Callable[[Stack], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack for all; every test leaves it whole."""
    with open_stack() as running:
        yield running


@contextmanager
def redis_stopped(stack: Stack) -> Iterator[None]:
    """Nobody listens on Redis's port."""
    stack.embedded.redis.stop()
    try:
        yield
    finally:
        stack.embedded.redis.start()


@contextmanager
def redis_frozen(stack: Stack) -> Iterator[None]:
    """Redis keeps its connections and answers nothing."""
    stack.embedded.redis.freeze()
    try:
        yield
    finally:
        stack.embedded.redis.thaw()


@contextmanager
def redis_full(stack: Stack) -> Iterator[None]:
    """Redis answers PING and refuses every write."""
    with stack.redis() as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextmanager
def workers_killed(stack: Stack) -> Iterator[None]:
    """`kill -9` of every worker at once."""
    stack.kill(*stack.workers())
    try:
        yield
    finally:
        for name in stack.workers():
            stack.launch(name)


@contextmanager
def postgres_stopped(stack: Stack) -> Iterator[None]:
    """Nobody listens on Postgres's port."""
    stack.embedded.postgres.stop()
    try:
        yield
    finally:
        stack.embedded.postgres.start()


@contextmanager
def postgres_frozen(stack: Stack) -> Iterator[None]:
    """Postgres keeps its connections and answers nothing."""
    stack.embedded.postgres.freeze()
    try:
        yield
    finally:
        stack.embedded.postgres.thaw()


def fresh() -> str:
    """A reference that nobody has used."""
    return f"out-{uuid4().hex[:10]}"


def post(stack: Stack, ref: str) -> requests.Response:
    """Raise an alarm without expecting anything."""
    location = {"address": ADDRESS}
    body = {"incident_ref": ref, "kind": "burglary", "provider": "noonlight", "person": PERSON, "location": location}
    return stack.post("/v1/alarms", body)


@pytest.mark.parametrize("outage", [redis_stopped, redis_frozen, redis_full, workers_killed])
def test_alarm_is_dispatched_by_the_watchman_when_the_workers_get_no_bell(stack: Stack, outage: Outage) -> None:
    """It reaches the provider and its status the platform; when all is back the watchman rests again."""
    before = stack.acted()
    with outage(stack):
        created, written = stack.story(fresh())
    assert created < SOON_S
    assert written < created + SOON_S
    assert stack.acted() > before
    back = stack.await_workers()
    log.info("%s: provider %.2f s, platform %.2f s; back %.2f s", outage.__name__, created, written, back)
    time.sleep(2.5)  # the watchman works without patience for 2 s after it has worked the inbox
    rested = stack.acted()
    created, written = stack.story(fresh())
    assert written < PATIENCE_S  # a bell was answered
    assert stack.acted() == rested


def test_nothing_is_lost_when_redis_is_flushed_in_mid_flow(stack: Stack) -> None:
    """Each alarm has one dispatch, and every write-back arrives."""
    stack.noonlight("_control", latency_ms=200)
    refs = [fresh() for _ in range(20)]
    with stack.redis() as client:
        for ref in refs:
            stack.alarm("burglary", ref=ref)
            client.flushall()
    stack.noonlight("_control", latency_ms=0)
    stack.until(lambda: all(stack.heard(ref, "requested") for ref in refs), within_s=30)
    bodies = [entry["body"] for entry in stack.creates()]
    assert all(sum(ref in body for body in bodies) == 1 for ref in refs)
    stack.until(lambda: stack.one("SELECT count(*) FROM outbox WHERE state = 'pending'") == 0, within_s=20)


def test_alarms_go_on_when_junk_is_pushed_into_the_lanes(stack: Stack) -> None:
    """No worker dies of it, and the next alarm does not need the watchman."""
    before, pids = stack.acted(), {name: process.pid for name, process in stack.processes.items()}
    with stack.redis() as client:
        for lane in Lane:
            client.lpush(lane.value, *JUNK)
        stack.until(lambda: not any(client.llen(lane.value) for lane in Lane))
    _, written = stack.story(fresh())
    assert written < PATIENCE_S  # a bell was answered
    assert stack.dead() == []
    assert {name: process.pid for name, process in stack.processes.items()} == pids
    assert stack.acted() == before


@pytest.mark.parametrize("outage", [postgres_stopped, postgres_frozen])
def test_door_answers_503_when_postgres_is_away(stack: Stack, outage: Outage) -> None:
    """In bounded time and with Retry-After; when Postgres is back the same alarm is taken and goes its way."""
    ref, hook = fresh(), f"{stack.url}/webhooks/noonlight"
    with outage(stack):
        began = time.monotonic()
        answer = post(stack, ref)
        took = time.monotonic() - began
        assert requests.post(hook, data=b"[]", timeout=20).status_code in (401, 503)
        ready = requests.get(f"{stack.url}/readyz", timeout=20)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert took < 4.5
    assert ready.status_code == 503
    back = stack.await_workers()
    log.info("%s: refused after %.2f s; back %.2f s", outage.__name__, took, back)
    assert stack.one("SELECT count(*) FROM incident WHERE incident_ref = :r", r=ref) == 0
    stack.until(lambda: post(stack, ref).status_code == 202)
    stack.until(lambda: stack.heard(ref, "requested"))
    time.sleep(2.5)  # what the watchman began, it ends
    rested = stack.acted()
    _, written = stack.story(fresh())
    assert written < PATIENCE_S  # a bell was answered
    assert stack.acted() == rested


def test_every_accepted_alarm_is_dispatched_once_when_postgres_restarts(stack: Stack) -> None:
    """Whoever got a 202 has an incident and one create; whoever got none may ask again."""
    answers: dict[str, int] = {}
    stop = threading.Event()

    def keep_posting() -> None:
        while not stop.wait(0.05):
            ref = fresh()
            answers[ref] = post(stack, ref).status_code

    senders = [threading.Thread(target=keep_posting) for _ in range(3)]
    for sender in senders:
        sender.start()
    time.sleep(0.5)
    stack.embedded.postgres.restart()
    stack.await_workers()
    stop.set()
    for sender in senders:
        sender.join()
    taken = [ref for ref, status in answers.items() if status == 202]
    assert set(answers.values()) <= {202, 503}
    assert taken
    unsent = "SELECT count(*) FROM incident WHERE incident_ref = ANY(:refs) AND status <> 'requested'"
    stack.until(lambda: stack.one(unsent, refs=taken) == 0, within_s=40)
    stack.until(lambda: stack.one("SELECT count(*) FROM outbox WHERE state = 'pending'") == 0, within_s=20)
    bodies = [entry["body"] for entry in stack.creates()]
    assert all(sum(ref in body for body in bodies) == 1 for ref in taken)
    assert all(stack.heard(ref, "requested") for ref in taken[-3:])


def test_duties_go_on_when_beat_is_dead(stack: Stack) -> None:
    """Nobody ticks, and yet what is late is looked at."""
    stack.kill("beat")
    killed = stack.one("SELECT clock_timestamp()")
    stack.until(lambda: stack.one("SELECT last_done_at > :at FROM job WHERE name = 'attend'", at=killed))
    stack.launch("beat")
    ticked = "SELECT at > :at FROM heartbeat WHERE name = 'beat'"
    stack.until(lambda: stack.one(ticked, at=killed), within_s=20)
