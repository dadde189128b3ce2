"""Webhooks at a real server, where many share a commit: none lost, none answered for another, none left waiting."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from deploy.embedded import Embedded
from shared.store import migrate
from tests.conftest import fresh_database, running_servers
from tests.integration.door_stage import HOME, Stage, close_stage, granian, open_stage

SENDERS = 16


@pytest.fixture(scope="module")
def own_embedded() -> Iterator[Embedded]:
    """Servers of this module, which it may kill and freeze."""
    with running_servers() as stack:
        yield stack


@pytest.fixture(scope="module")
def stage(own_embedded: Embedded) -> Iterator[Stage]:
    """A door with a platform of its own."""
    url = fresh_database(own_embedded, "groups")
    migrate.upgrade(url)
    made = open_stage(url, own_embedded.urls.redis_url)
    yield made
    close_stage(made)


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    """A running server."""
    with granian(stage) as found:
        yield found


class Sender:
    """A provider with one connection, which keeps what was not acknowledged."""

    def __init__(self, address: str, account: str) -> None:
        """Delivers to Noonlight's hook of the account."""
        self._url = f"{address}/webhooks/noonlight/{account}"
        self._session = requests.Session()

    def deliver(self, *event_ids: str, alarm: str = "al-1") -> requests.Response:
        """One delivery of these events."""
        events = [{"event_id": one, "event_type": "alarm.closed", "meta": {"alarm_id": alarm}} for one in event_ids]
        return self.send(json.dumps(events).encode())

    def send(self, raw: bytes, **headers: str) -> requests.Response:
        """One signed delivery of these bytes."""
        signature = base64.b64encode(hmac.digest(b"hook-secret", raw, hashlib.sha256)).decode()
        return self._session.post(
            self._url, data=raw, headers={"X-Noonlight-Signature": signature} | headers, timeout=20
        )


def stored(stage: Stage, account: str) -> list[str]:
    """The event ids on disk, in the order of their rows."""
    rows = stage.rows("SELECT event_id FROM inbox WHERE account_id = :a ORDER BY id", a=account)
    return [row.event_id for row in rows]


def at_once(count: int, work: Any) -> list[Any]:
    """The results of `work(number)` from so many threads."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_each_event_is_stored_once_when_many_deliver_at_once(stage: Stage, address: str) -> None:
    """Three times each, from many connections; every answer counts its own events."""
    account = stage.account("noonlight")
    sender = Sender(address, account)
    sender.deliver("warm")

    def story(number: int) -> list[tuple[int, Any]]:
        own = Sender(address, account)
        names = [f"{number % 8}-{at}" for at in range(20)]
        answers = [own.deliver(*names[at : at + 1 + at % 3]) for at in range(20)]
        return [(answer.status_code, answer.json()) for answer in answers]

    for answers in at_once(24, story):
        assert answers == [(200, {"accepted": min(1 + at % 3, 20 - at)}) for at in range(20)]
    assert sorted(stored(stage, account)) == sorted(["warm", *(f"{n}-{at}" for n in range(8) for at in range(20))])


def test_events_of_a_sender_keep_their_order(stage: Stage, address: str) -> None:
    """Who waits for an answer before the next delivery finds them in that order, whatever the others do."""
    account = stage.account("noonlight")

    def story(number: int) -> None:
        own = Sender(address, account)
        for at in range(30):
            assert own.deliver(f"{number}-{at}-a", f"{number}-{at}-b", alarm=f"al-{number}").status_code == 200

    at_once(SENDERS, story)
    names = stored(stage, account)
    for number in range(SENDERS):
        own = [name for name in names if name.startswith(f"{number}-")]
        assert own == [f"{number}-{at}-{part}" for at in range(30) for part in "ab"]


def test_neighbours_are_taken_when_an_account_is_no_longer_there(stage: Stage, address: str) -> None:
    """The gate remembers it for seconds, so its rows break the groups that they are in, and nobody else's answer."""
    lost, living = stage.account("noonlight"), stage.account("noonlight")
    for account in (lost, living):
        stage.deliver(f"/webhooks/noonlight/{account}", b"[]")
        assert Sender(address, account).send(b"[]").status_code == 200
    stage.change("DELETE FROM provider_account WHERE id = :id", id=lost)

    def story(number: int) -> Counter[tuple[str, int]]:
        account = (lost, living)[number % 2]
        own = Sender(address, account)
        return Counter((account, own.deliver(f"{number}-{at}").status_code) for at in range(20))

    told: Counter[tuple[str, int]] = sum(at_once(SENDERS, story), Counter())
    assert told[(living, 200)] == 20 * SENDERS // 2
    assert told[(lost, 500)] + told[(lost, 404)] == 20 * SENDERS // 2
    assert told[(lost, 500)] > 0
    assert len(stored(stage, living)) == 20 * SENDERS // 2


@pytest.mark.parametrize("round_", range(3))
def test_nothing_acknowledged_is_lost_when_postgres_is_killed(
    stage: Stage, address: str, own_embedded: Embedded, round_: int
) -> None:
    """Killed under senders that race; what they keep sending is there once in the end."""
    account = stage.account("noonlight")
    stop = threading.Event()
    taken: list[list[str]] = [[] for _ in range(SENDERS)]
    statuses: Counter[int] = Counter()

    def story(number: int) -> None:
        own = Sender(address, account)
        at = 0
        while not stop.is_set():
            names = [f"{number}-{at}-{part}" for part in "abc"]
            status = own.deliver(*names, alarm=f"al-{number}").status_code
            statuses[status] += 1
            if status == 200:
                taken[number] += names
                at += 1

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(story, number) for number in range(SENDERS)]
        _until(lambda: sum(map(len, taken)) > 300)
        own_embedded.postgres.kill()
        before = sum(map(len, taken))
        own_embedded.postgres.start()
        _until(lambda: sum(map(len, taken)) > before + 300)
        stop.set()
        for sender in senders:
            sender.result()
    stage.engine.dispose()
    names = stored(stage, account)
    assert set(statuses) <= {200, 503}
    assert len(names) == len(set(names))
    acknowledged = {name for own in taken for name in own}
    assert acknowledged <= set(names)
    # All events of a delivery or none; what nobody acknowledged is at most the last try of each sender.
    assert Counter(name.rpartition("-")[0] for name in names).most_common()[-1][1] == 3
    assert len(names) - len(acknowledged) <= 3 * SENDERS
    for number in range(SENDERS):
        own = [name for name in names if name.startswith(f"{number}-")]
        assert own[: len(taken[number])] == taken[number]


def test_no_alarm_acknowledged_is_lost_when_postgres_is_killed(
    stage: Stage, address: str, own_embedded: Embedded
) -> None:
    """Each 202 names an incident that is there, with its row in the inbox; each refused one can be sent again."""
    taken: dict[str, str] = {}
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def story(number: int) -> None:
        session, at = requests.Session(), 0
        while not stop.is_set():
            alarm = {"incident_ref": f"killed-{number}-{at}", "kind": "burglary", **HOME}
            answer = session.post(f"{address}/v1/alarms", json=alarm, headers=stage.headers(), timeout=20)
            statuses[answer.status_code] += 1
            if answer.status_code == 202:
                taken[alarm["incident_ref"]] = answer.json()["incident_id"]
                at += 1

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(story, number) for number in range(SENDERS)]
        _until(lambda: len(taken) > 100)
        own_embedded.postgres.kill()
        before = len(taken)
        own_embedded.postgres.start()
        _until(lambda: len(taken) > before + 100)
        stop.set()
        for sender in senders:
            sender.result()
    stage.engine.dispose()
    rows = stage.rows("""SELECT i.incident_ref, i.id, count(b.id) AS kept FROM incident i
                         LEFT JOIN inbox b ON b.incident_id = i.id AND b.source = 'alarm'
                         WHERE i.incident_ref LIKE 'killed-%' GROUP BY i.id""")
    assert set(statuses) <= {202, 503}
    assert {row.kept for row in rows} == {1}
    assert len({row.incident_ref for row in rows}) == len(rows)
    assert taken.items() <= {row.incident_ref: row.id for row in rows}.items()


def test_everybody_is_told_in_time_when_postgres_is_frozen(stage: Stage, address: str, own_embedded: Embedded) -> None:
    """Those whose commit hangs and those behind it; no thread is kept from others, and all is taken afterwards."""
    account = stage.account("noonlight")
    assert Sender(address, account).send(b"[]").status_code == 200
    own_embedded.postgres.freeze()
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(100) as pool:
            told = [pool.submit(Sender(address, account).deliver, f"frozen-{number}") for number in range(100)]
            assert requests.get(f"{address}/healthz", timeout=1).status_code == 200
            answers = [one.result() for one in told]
        took = time.monotonic() - began
    finally:
        own_embedded.postgres.thaw()
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["Retry-After"] for answer in answers} == {"2"}
    assert answers[0].headers["Content-Type"] == "application/problem+json"
    assert took < 4
    _until(lambda: Sender(address, account).deliver("after").status_code == 200)
    assert {Sender(address, account).deliver(f"frozen-{number}").status_code for number in range(100)} == {200}
    assert sorted(stored(stage, account)) == sorted(["after", *(f"frozen-{number}" for number in range(100))])


@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"[]", {"X-Noonlight-Signature": "AAAA"}, 401),
        (b"[]", {"X-Noonlight-Signature": "\u00fc"}, 401),
        (b"nope", {}, 400),
        (b"[" * 10_000, {}, 400),
        (b"x" * 300_000, {}, 413),
    ],
)
def test_refusals_are_those_of_the_long_way(
    stage: Stage, address: str, raw: bytes, headers: dict[str, str], status: int
) -> None:
    """With the words, and with nothing stored; also when the account is known at the gate."""
    account = stage.account("noonlight")
    sender = Sender(address, account)
    assert sender.send(b"[]").status_code == 200
    answer = sender.send(raw, **headers)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Content-Security-Policy"]
    assert stored(stage, account) == []


def test_answers_of_the_gate_are_those_of_the_application(stage: Stage, address: str) -> None:
    """The same words and headers, by whichever way: a body too long for the loop, an account that is not yet known."""
    account = stage.account("noonlight")
    sender = Sender(address, account)
    pad = " " * 20_000
    ways = [b"[]", b"[]", f"[]{pad}".encode()]
    answers = [sender.send(raw, **{"X-Request-Id": "abc-12345"}) for raw in ways]

    seen = [({name: one.headers[name] for name in one.headers if name != "date"}, one.text) for one in answers]
    assert seen[0] == seen[1] == seen[2]
    assert answers[0].headers["X-Request-Id"] == "abc-12345"
    assert answers[0].json() == {"accepted": 0}


def test_figures_count_what_the_gate_answered(stage: Stage, address: str) -> None:
    """Requests, events and times, by the rule of the route."""
    account = stage.account("noonlight")
    sender = Sender(address, account)
    before = _figures(address)
    for number in range(5):
        sender.deliver(f"{number}-a", f"{number}-b")
    after = _figures(address)

    rule = "/webhooks/<plain:provider_name>/<plain:account_id>"
    requests_ = f'tocsin_door_requests_total{{route="{rule}",status="200"}}'
    assert after[requests_] - before.get(requests_, 0) == 5
    assert after[f'tocsin_door_seconds_count{{route="{rule}"}}'] >= after[requests_]
    events = 'tocsin_door_webhook_events_total{provider="noonlight"}'
    assert after[events] - before.get(events, 0) == 10


@pytest.mark.parametrize("path", ["/webhooks/noonlight//", "/webhooks/noonlight/", "/webhooks/x/y/z", "/webhooks/"])
def test_odd_paths_are_no_hooks(stage: Stage, address: str, path: str) -> None:
    """404, as ever."""
    stage.account("noonlight")
    answer = requests.post(f"{address}{path}", data=b"[]", timeout=10)

    assert answer.status_code == 404


@pytest.mark.parametrize("header", [b"X-Odd: \xff\xfe", b"X-Request-Id: \xff", b"X-Noonlight-Signature: \xff"])
def test_odd_header_bytes_are_no_accident(stage: Stage, address: str, header: bytes) -> None:
    """Refused or ignored; the server goes on."""
    account = stage.account("noonlight")
    assert Sender(address, account).send(b"[]").status_code == 200
    parts = urlsplit(address)
    head = f"POST /webhooks/noonlight/{account} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head.encode() + header + b"\r\n\r\n[]")
        answer = connection.recv(65_536)

    assert answer.split()[1] in (b"400", b"401")


@pytest.mark.parametrize("order", [1, -1])
def test_two_signatures_are_none(stage: Stage, address: str, order: int) -> None:
    """Also when one of them is right: who reads the first and who reads the last would differ."""
    account = stage.account("noonlight")
    assert Sender(address, account).send(b"[]").status_code == 200
    signature = base64.b64encode(hmac.digest(b"hook-secret", b"[]", hashlib.sha256)).decode()
    lines = [f"X-Noonlight-Signature: {signature}", "X-Noonlight-Signature: AAAA"][::order]
    head = f"POST /webhooks/noonlight/{account} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head.encode() + "\r\n".join(lines).encode() + b"\r\n\r\n[]")
        answer = connection.recv(65_536)

    assert answer.split()[1] == b"401"


def _figures(address: str) -> dict[str, float]:
    lines = requests.get(f"{address}/metrics", timeout=10).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def _until(holds: Any, within_s: float = 20.0) -> None:
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.02)
