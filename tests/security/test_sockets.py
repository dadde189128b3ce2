"""The door's own port: what no HTTP client would send. One request is one request, and nobody shuts the door."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.integration.door_stage import HOME, Stage, close_stage, granian, open_stage

# A second request that must never be taken for one: it would be answered with 200.
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HEADERS_S = 2.0


@pytest.fixture(scope="module")
def door(database: str, redis_url: str) -> Iterator[Stage]:
    """A platform with an account."""
    made = open_stage(database, redis_url)
    made.account("noonlight")
    made.account("aura", site_mode="csv")
    yield made
    close_stage(made)


@pytest.fixture(scope="module")
def address(door: Stage) -> Iterator[str]:
    """The Procfile's server, started with as few open files as systems allow by default, which forgets headers soon."""
    unlimited = {"TOCSIN_ADDRESS_FAILURES_PER_MINUTE": "0", "TOCSIN_TRUSTED_PROXIES": "1"}
    limited = "ulimit -S -n 256;"
    with granian(door, before=limited, headers_ms=f"{HEADERS_S * 1000:.0f}", **unlimited) as found:
        yield found


def connected(address: str) -> socket.socket:
    """A connection to the door."""
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def say(address: str, raw: bytes, *, quiet_s: float = 0.5) -> bytes:
    """What comes back until the other side closes, or is quiet for so long after its first word."""
    said = b""
    with connected(address) as connection, contextlib.suppress(TimeoutError, ConnectionError):
        connection.sendall(raw)
        while more := connection.recv(65_536):
            said += more
            connection.settimeout(quiet_s)
    return said


def statuses(said: bytes) -> list[int]:
    """Of each answer."""
    return [int(part[3:7]) for part in said.split(b"HTTP/1")[1:]]


def alarm(door: Stage, ref: str = "raw") -> tuple[bytes, bytes]:
    """Headers, without those of length, and body."""
    body = json.dumps({"incident_ref": ref, "kind": "fire", "provider": "noonlight", **HOME}).encode()
    head = f"Host: x\r\nAuthorization: Bearer {door.key}\r\nContent-Type: application/json\r\n"
    return b"POST /v1/alarms HTTP/1.1\r\n" + head.encode(), body


def post(door: Stage, address: str, ref: str, timeout: float = 10) -> requests.Response:
    """An alarm, as a client sends it."""
    body = {"incident_ref": ref, "kind": "fire", "provider": "noonlight", **HOME}
    return requests.post(f"{address}/v1/alarms", json=body, headers=door.headers(), timeout=timeout)


LENGTHS = [
    (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", 411),
    (b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n", 411),
    (b"Transfer-Encoding:\tchunked\r\nContent-Length: %d\r\n", 411),
    (b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n", 400),
    (b"Transfer-Encoding: identity\r\nContent-Length: %d\r\n", 400),
    (b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n", 400),
    (b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: %d\r\n", 400),
    (b"Transfer-Encoding: chunked, identity\r\nContent-Length: %d\r\n", 400),
    (b"Content-Length: %d\r\nContent-Length: 5\r\n", 400),
    (b"Content-Length: 5\r\nContent-Length: %d\r\n", 400),
    (b"Content-Length: %d, 5\r\n", 400),
    (b"Content-Length: 0x%x\r\n", 400),
    (b"Content-Length: %d;\r\n", 400),
]


@pytest.mark.parametrize(("length", "status"), LENGTHS, ids=[repr(length)[2:40] for length, _ in LENGTHS])
def test_body_of_two_lengths_is_refused(door: Stage, address: str, length: bytes, status: int) -> None:
    """Request smuggling: what a proxy takes for a body is never a request of its own, and no alarm comes of it."""
    before = len(door.inbox())
    head, body = alarm(door)
    said = say(address, head + length % len(body) + b"\r\n" + body + HIDDEN)

    assert statuses(said)[0] == status
    assert 200 not in statuses(said)
    assert len(door.inbox()) == before


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n", b"2;x=\n\r\n{}\r\n0\r\n\r\n", b"f" * 20 + b"\r\n"]
)
def test_broken_chunks_are_refused_unread(door: Stage, address: str, chunks: bytes) -> None:
    """411, at a hook too."""
    head, _ = alarm(door)
    assert statuses(say(address, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))[0] == 411


@pytest.mark.parametrize("length", [300_000, 10**11])
def test_refused_body_is_no_further_request(door: Stage, address: str, length: int) -> None:
    """413 comes before the body, and what follows is that body, whatever it looks like."""
    head, _ = alarm(door)
    said = say(address, head + b"Content-Length: %d\r\n\r\n" % length + HIDDEN * 3)

    assert statuses(said) == [413]


def test_strangers_file_is_refused_before_it_is_read(door: Stage, address: str) -> None:
    """Fifty megabytes each, from anybody, would fill the memory."""
    head = b"POST /v1/site-imports HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 50000000\r\n"
    scopeless = f"Authorization: Bearer {door.new_key(['alarms'])}\r\n".encode()

    assert statuses(say(address, head + b"\r\n" + HIDDEN)) == [401]
    assert statuses(say(address, head + b"Authorization: Bearer wrong\r\n\r\n" + HIDDEN)) == [401]
    assert statuses(say(address, head + scopeless + b"\r\n" + HIDDEN)) == [403]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"GET /healthz\r\n\r\n", [400]),
        (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", [400]),
        (b"GET /healthz HTTP/1.7\r\nHost: x\r\n\r\n", [400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
        (b"\x00" * 64, [400]),
        (b"GET /heal\x00thz HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", [400]),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
        (b"G\x01T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 500_000 + b"\r\n\r\n", [431]),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", [431]),
        (b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", [431]),
        (b"A" * 4_000 + b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n", [405]),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"TRACE /healthz HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n", [405]),
        (b"GET /HEALTHZ HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"GET //healthz HTTP/1.1\r\nHost: x\r\n\r\n", [200]),
        (b"GET /./healthz HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"GET /x/../healthz HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"GET /healthz%00 HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"GET /healthz%0d%0aX-Y:%20z HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n", [200]),
        (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
        (HIDDEN * 20, [200] * 20),
        (b"GET /v1/sites HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + HIDDEN, [401, 200]),
    ],
    ids=lambda value: repr(value[:40])[2:36] if isinstance(value, bytes) else "",
)  # fmt: skip
def test_malformed_request_gets_its_refusal(address: str, raw: bytes, expected: list[int]) -> None:
    """By the server or by the door; never a 500, never the bytes of it in the answer."""
    said = say(address, raw)

    assert statuses(said) == expected
    assert b"secret" not in said
    assert b"X-Y" not in said


def test_no_other_protocol_is_spoken(address: str) -> None:
    """Neither HTTP/2 without TLS nor WebSocket: whatever can be asked to upgrade is one more thing to attack."""
    for upgrade in (b"websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13",
                    b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"):  # fmt: skip
        raw = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\n"
        assert 101 not in statuses(say(address, raw))


def test_header_with_an_underscore_is_no_header_of_ours(door: Stage, address: str) -> None:
    """WSGI spells `X_Forwarded_For` like the header that the proxy adds, and `Content_Length` like the real one."""
    head, body = alarm(door, "underscore")
    sneaky = b"Content_Length: 3\r\nTransfer_Encoding: chunked\r\nAuthorization_: x\r\n"
    answer = say(address, head + sneaky + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    only = say(address, f"GET /v1/sites HTTP/1.1\r\nHost: x\r\nX_Authorization: Bearer {door.key}\r\n\r\n".encode())

    assert statuses(answer) == [202]
    assert statuses(only) == [401]


def test_alarm_passes_when_hundreds_of_connections_idle(door: Stage, address: str) -> None:
    """Silent, with half a header, with a header every moment, or kept alive: it is taken at once beside them."""
    halves = [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ",
        HIDDEN,
        b"POST /v1/alarms HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    ]
    with contextlib.ExitStack() as stack:
        for number in range(1_200):
            connection = stack.enter_context(connected(address))
            connection.sendall(halves[number % len(halves)])
        began = time.monotonic()
        answer = post(door, address, "beside-idlers")
        took = time.monotonic() - began

    assert answer.status_code == 202
    assert took < 5


def test_slow_headers_are_cut_off(address: str) -> None:
    """Slowloris: a byte now and then keeps no connection, nor does silence."""
    with connected(address) as silent, connected(address) as dripping:
        began = time.monotonic()
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ")
        dripping.settimeout(0.2)
        closed = False
        while not closed and time.monotonic() - began < 10 * HEADERS_S:
            with contextlib.suppress(TimeoutError):
                try:
                    dripping.sendall(b"a")
                    closed = dripping.recv(65_536) == b""
                except ConnectionError:
                    closed = True
        assert closed
        silent.settimeout(10 * HEADERS_S)
        with contextlib.suppress(ConnectionError):
            while silent.recv(65_536):
                pass


def test_flower_listens_on_loopback_and_asks_for_a_password() -> None:
    """The only other port; its line in the Procfile says so, and does not start without both."""
    from tests.integration.door_stage import ROOT

    (line,) = [line for line in (Path(ROOT) / "Procfile").read_text().splitlines() if line.startswith("flower:")]
    assert "--address=127.0.0.1" in line
    assert "--read_only" in line
    assert "${FLOWER_BASIC_AUTH:+" in line
