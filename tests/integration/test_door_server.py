"""The door as a real server process: bodies on the wire, raw paths, and a Postgres that is away or frozen."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from deploy.embedded import Embedded
from shared.store import migrate
from tests.conftest import fresh_database, running_servers
from tests.integration.door_stage import HOME, Stage, close_stage, granian, open_stage

ALARM: dict[str, Any] = {"incident_ref": "A-1", "kind": "burglary", **HOME}


@pytest.fixture(scope="module")
def own_embedded() -> Iterator[Embedded]:
    """Servers of this module, which it may freeze."""
    with running_servers() as stack:
        yield stack


@pytest.fixture(scope="module")
def stage(own_embedded: Embedded) -> Iterator[Stage]:
    """A door with a platform of its own."""
    url = fresh_database(own_embedded, "server")
    migrate.upgrade(url)
    made = open_stage(url, own_embedded.urls.redis_url)
    made.account("noonlight")
    yield made
    close_stage(made)


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    """A running server."""
    with granian(stage) as found:
        yield found


def raw_exchange(address: str, request: bytes) -> bytes:
    """Send bytes, and read until the other side has answered or closed."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        return answer


def test_alarm_is_one_incident_when_fifty_post_it_at_once(stage: Stage, address: str) -> None:
    """Over fifty connections."""
    alarm = ALARM | {"incident_ref": "fifty"}

    def post(_: int) -> requests.Response:
        return requests.post(f"{address}/v1/alarms", json=alarm, headers=stage.headers(), timeout=20)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["incident_id"] for answer in answers}) == 1
    assert len(stage.rows("SELECT 1 FROM incident WHERE incident_ref = 'fifty'")) == 1


def test_chunked_body_is_refused_before_it_is_read(stage: Stage, address: str) -> None:
    """Also past every cap, and also at a hook: never a false "bad signature"."""

    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    for path in ("/v1/alarms", "/webhooks/noonlight"):
        try:
            answer = requests.post(f"{address}{path}", data=chunks(), headers=_json_headers(stage), timeout=20)
        except requests.ConnectionError:
            continue  # refused and closed while we were still sending
        assert answer.status_code in (404, 411)


def test_small_chunked_body_gets_411(stage: Stage, address: str) -> None:
    """With a problem document."""
    answer = requests.post(f"{address}/v1/alarms", data=iter([b"{}"]), headers=_json_headers(stage), timeout=20)

    assert answer.status_code == 411
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_too_long_body_is_refused_by_its_length(stage: Stage, address: str) -> None:
    """Before a byte of it is needed."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.putrequest("POST", "/v1/alarms")
    for name, value in (_json_headers(stage) | {"Content-Length": "999999999"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"{")

    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("length", ["-1", "x", "1 2", "+5"])
def test_broken_length_is_refused(stage: Stage, address: str, length: str) -> None:
    """By the server or by the door, never with a 500."""
    head = f"POST /v1/alarms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stage.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{}}"
    answer = raw_exchange(address, head.encode())

    assert answer == b"" or answer.split()[1] in (b"400", b"411")


def test_body_shorter_than_its_length_stores_nothing(stage: Stage, address: str) -> None:
    """The sender went away in the middle."""
    before = len(stage.inbox())
    head = f"POST /v1/alarms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stage.key}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{}"
    answer = raw_exchange(address, head.encode())

    assert answer == b"" or answer.split()[1] == b"400"
    assert len(stage.inbox()) == before


def test_alarm_passes_when_many_bodies_stall(stage: Stage, address: str) -> None:
    """Panels whose line dropped in mid-request hold no thread; each is told after ten seconds."""
    parts = urlsplit(address)
    head = b"POST /webhooks/noonlight HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
    with contextlib.ExitStack() as stack:
        stalled = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=20)) for _ in range(100)
        ]
        for connection in stalled:
            connection.sendall(head)
        answer = _post(address, stage, "between")
        late = stalled[0].recv(4096)

    assert answer.status_code == 202
    assert late.split()[1] == b"408"


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("a%2Fb", "a/b"),
        ("%2Fa%2F%2Fb%2F", "/a//b/"),
        ("50%25", "50%"),
        ("a%23b%3Fc", "a#b?c"),
        ("a%20b+c", "a b+c"),
        ("%C3%BC", "ü"),
        ("..%2F..%2Fx", "../../x"),
        ("%2525", "%25"),
    ],
)
def test_site_reference_is_taken_from_the_raw_path(stage: Stage, address: str, path: str, reference: str) -> None:
    """Decoded exactly once, dots and slashes kept."""
    house = {"name": "Home", **HOME["location"]}
    status, answer = _put(address, f"/v1/sites/{path}", house, stage)

    assert status in (200, 201), answer
    sql = "SELECT 1 FROM site WHERE platform_id = :own AND reference = :ref"
    assert len(stage.rows(sql, own=stage.platform_id, ref=reference)) == 1


def test_alarm_is_refused_within_seconds_when_postgres_is_frozen(
    stage: Stage, address: str, own_embedded: Embedded
) -> None:
    """A stopped server keeps no time-out of its own. What was answered 503 is not lost: the sender sends it again."""
    frozen = _postgres_processes(own_embedded)
    for process in frozen:
        os.kill(process, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with ThreadPoolExecutor(64) as pool:  # four times the threads of the server: the queue must not add up
            answers = list(pool.map(lambda number: _post(address, stage, f"frozen-{number % 8}"), range(64)))
        took = time.monotonic() - started
    finally:
        for process in frozen:
            os.kill(process, signal.SIGCONT)

    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["Retry-After"] == "2" for answer in answers)
    assert took < 4
    _await_ready(address)
    again = [_post(address, stage, f"frozen-{number}") for number in range(8)]
    assert {answer.status_code for answer in again} == {202}
    assert len(stage.rows("SELECT 1 FROM incident WHERE incident_ref LIKE 'frozen-%'")) == 8


def test_alarm_is_held_and_then_taken_when_postgres_returns_in_time(
    stage: Stage, address: str, own_embedded: Embedded
) -> None:
    """A short absence is not seen by the sender; a long one is a 503 that stored nothing."""
    own_embedded.postgres.stop()  # its pooled connections are closed, so the door must notice by itself
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(_post, address, stage, "held")
        own_embedded.postgres.start()
        taken = held.result()
    own_embedded.postgres.stop()
    started = time.monotonic()
    refused = _post(address, stage, "refused")
    took = time.monotonic() - started
    own_embedded.postgres.start()

    assert taken.status_code == 202
    assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
    assert 2 < took < 4.5
    stage.engine.dispose()
    assert len(stage.rows("SELECT 1 FROM incident WHERE incident_ref = 'held'")) == 1
    assert stage.rows("SELECT 1 FROM incident WHERE incident_ref = 'refused'") == []


def _await_ready(address: str) -> None:
    deadline = time.monotonic() + 10
    while requests.get(f"{address}/readyz", timeout=10).status_code != 200:
        assert time.monotonic() < deadline, "the door does not notice that Postgres is back"


def _json_headers(stage: Stage) -> dict[str, str]:
    return stage.headers() | {"Content-Type": "application/json"}


def _post(address: str, stage: Stage, reference: str) -> requests.Response:
    alarm = ALARM | {"incident_ref": reference}
    return requests.post(f"{address}/v1/alarms", json=alarm, headers=stage.headers(), timeout=20)


def _put(address: str, path: str, body: Any, stage: Stage) -> tuple[int, str]:
    """Without a client library that tidies the path."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.request("PUT", path, json.dumps(body), _json_headers(stage))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def _postgres_processes(embedded: Embedded) -> list[int]:
    """The server and its children."""
    server = int((embedded.postgres.home / "data" / "postmaster.pid").read_text().split()[0])
    found = [server]
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"PPid:\t{server}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found
