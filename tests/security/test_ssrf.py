"""A platform chooses where it is written to, and where positions are read: never a way into our own network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from shared.clock import boot_time
from shared.domain.outcome import Accepted, Permanent, Temporary
from shared.platforms import endpoints, location_source
from shared.platforms.delivery import Endpoint, deliver
from shared.platforms.location_source import Source, SourceFailed
from shared.providers.guard import Guard
from shared.settings import Settings
from tests.integration.door_stage import Stage, close_stage, open_stage
from tests.raw_server import RawServer, answering

SECRET = "whsec_" + "A" * 32
CLOSED = Guard(allow_loopback=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
# This machine, as it has been spelled to get past filters.
THIS_MACHINE = [
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "127.000.000.001", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b:1::127.0.0.1]", "[2002:7f00:1::]", "[::1%25lo]", "localhost", "LOCALHOST",
    "localhost.", "127.0.0.1.", "127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1", "\u24db\u24de\u24d2alhost",
]  # fmt: skip
# Private networks, and what clouds answer to their machines.
INSIDE = [
    "10.0.0.1", "10.1", "172.16.0.1", "192.168.1.1", "3232235777", "0xc0a80101", "[::ffff:10.0.0.1]", "[fc00::1]",
    "[fd12:3456::1]", "[2002:0a00:1::]", "100.64.0.1", "198.18.0.1", "192.0.0.192", "[fec0::1]", "[::10.0.0.1]",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[fe80::1]",
    "[fe80::1%25eth0]", "[fd00:ec2::254]", "[fd20:ce::254]", "100.100.100.200", "168.63.129.16", "224.0.0.1",
    "[ff02::1]", "255.255.255.255", "0.0.0.0", "0.1.2.3", "192.0.0.192", "198.18.0.1", "203.0.113.5",
    "[64:ff9b::a9fe:a9fe]", "[::169.254.169.254]", "[fec0::1]", "[2001:db8::1]", "[100::1]", "240.0.0.1",
]  # fmt: skip


def write(url: str, guard: Guard) -> object:
    """Write to it as a write-back would be."""
    return deliver(Endpoint(url, SECRET, guard), "m-1", {"a": 1}, datetime.now(UTC), boot_time() + 2)


@pytest.fixture
def listening() -> Iterator[RawServer]:
    """Something on this machine that believes whoever can reach it."""
    with RawServer(answering(OK)) as server:
        yield server


@pytest.mark.parametrize("host", THIS_MACHINE)
def test_this_machine_is_not_reached_however_it_is_spelled(listening: RawServer, host: str) -> None:
    """Not one connection: as a write-back or a location source, by http or https."""
    for scheme in ("http", "https"):
        url = f"{scheme}://{host}:{listening.port}/x"
        assert not isinstance(write(url, CLOSED), Accepted)
        with pytest.raises(SourceFailed):
            location_source.fetch(Source(url, "", CLOSED, (host, f"{host}:{listening.port}")), {}, boot_time() + 2)
    assert listening.connections == 0


@pytest.mark.parametrize("host", [host for host in THIS_MACHINE if host.isascii() and "." not in host[-1]])
def test_address_of_this_machine_is_refused_when_it_is_saved(host: str) -> None:
    """Judged on its text already, so that whoever types it reads why."""
    assert endpoints.problems(f"https://{host}/", CLOSED)


@pytest.mark.parametrize("host", INSIDE)
def test_private_address_is_refused_however_it_is_spelled(host: str) -> None:
    """When it is saved, and without a packet when it is used."""
    assert endpoints.problems(f"https://{host}/", CLOSED)
    outcome = write(f"https://{host}/", CLOSED)
    assert isinstance(outcome, Permanent | Temporary)


@pytest.mark.parametrize("host", NEVER)
def test_no_setting_opens_what_is_neither_public_nor_private(host: str) -> None:
    """Metadata, link-local, multicast, reserved and translated addresses."""
    everything = Guard(allow_private=True, allow_loopback=True)

    assert endpoints.problems(f"https://{host}/", everything)
    assert endpoints.problems(f"http://{host}/", everything)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "ftp://example.com/", "dict://127.0.0.1/",
        "//example.com/", "https://ex\u0430mple.com/", "https://example.com\u3002evil.example/",
        "https:/example.com", "https:example.com", "javascript:alert(1)", "data:text/plain,x", "unix:///run/x.sock",
        "https://user:pw@example.com/", "https://example.com@127.0.0.1/", "https://127.0.0.1#@example.com/",
        "https://example.com\\@127.0.0.1/", "https://example.com%00.evil/", "https://exa mple.com/",
        "https://example.com/\r\nX: y", "https://example.com:0x50/", "https://[::1", "https://[v1.x]/",
        "http://e::1]:8a=[::1]:85/", "https://",
        "https:///x", "https://?x", "https://:443/",
    ],
)  # fmt: skip
def test_url_is_refused_when_it_is_no_plain_web_address(url: str) -> None:
    """Other schemes, credentials, tricks of parsers, broken hosts."""
    assert endpoints.problems(url, Guard(allow_private=True))
    assert location_source.problems(url, Guard(allow_private=True), ("example.com",))


_PIECES = st.sampled_from(
    ["https", "http", ":", "//", "/", "\\", "@", "#", "?", "[", "]", "::1", "127.0.0.1", "fleet.example.com", "443",
     "8443", "evil.example", "%2e", "%40", ".", "%00", "\t", "\u3002", "\uff0f", "\u2044", "{incident_ref}", "{", "}",
     ";", "&", "*"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join), st.booleans())
def test_parsers_agree_on_the_host_when_a_url_is_taken(tail: str, whole: bool) -> None:
    """What was judged is what is connected to: our parser's host and the HTTP client's are one."""
    url = tail if whole else f"https://fleet.example.com{tail}"
    hosts = ("fleet.example.com", "fleet.example.com:8443")
    if endpoints.problems(url, CLOSED) == []:
        assert (parse_url(url).host or "").lower() == urlsplit(url).hostname
    if location_source.problems(url, CLOSED, hosts) == []:
        asked = location_source.filled(url, {"incident_ref": "@evil.example/", "incident_id": "x"})
        assert parse_url(asked).host == "fleet.example.com"
        assert parse_url(asked).port in (None, 443, 8443)


def test_name_is_connected_to_where_it_was_checked(listening: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its mind between the check and the connection gains nothing: it is asked once."""
    asked = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "192.0.2.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    outcome = write(f"https://rebinding.example:{listening.port}/", CLOSED)

    assert isinstance(outcome, Permanent)
    assert asked == ["rebinding.example"]
    assert listening.connections == 0


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:127.0.0.1"]
)
def test_name_is_refused_when_it_resolves_to_the_inside(
    listening: RawServer, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    """One such address among public ones is enough."""
    family = socket.AF_INET6 if ":" in inside else socket.AF_INET

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))
        return [public, (family, socket.SOCK_STREAM, 6, "", (inside, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    assert write(f"https://inside.example:{listening.port}/", CLOSED) == Permanent("the address is not a public one")
    assert listening.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(listening: RawServer, status: int) -> None:
    """Wherever it points: it is an answer like any other, and tried again later."""
    head = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{listening.port}/inner\r\nContent-Length: 0\r\n\r\n"
    with RawServer(answering(head.encode())) as outer:
        assert isinstance(write(outer.url, Guard()), Temporary)
        with pytest.raises(SourceFailed, match=f"HTTP {status}"):
            location_source.fetch(Source(outer.url, ""), {}, boot_time() + 2)
    assert listening.connections == 0


def test_proxy_of_the_environment_is_not_used(listening: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names by itself, past the guard."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listening.port}")
    with RawServer(answering(OK)) as endpoint:
        assert isinstance(write(endpoint.url, Guard()), Accepted)
    assert listening.connections == 0


@pytest.mark.parametrize(
    ("public_url", "given", "allowed"),
    [
        ("http://127.0.0.1:8080", None, True),
        ("https://tocsin.example.com", None, False),
        ("https://tocsin.example.com", True, True),
        ("http://127.0.0.1:8080", False, False),
    ],
)
def test_loopback_is_for_a_desk_unless_it_is_opened(
    database: str, redis_url: str, public_url: str, given: bool | None, allowed: bool
) -> None:
    """A platform of an installation that has a public address cannot have us POST to our own machine."""
    values = {"public_url": public_url} | ({} if given is None else {"allow_loopback_endpoints": given})
    stage = open_stage(database, redis_url, **values)
    try:
        for name in ("writeback", "escalation"):
            body = {f"{name}_url": "http://127.0.0.1:6379/", f"{name}_secret": SECRET}
            assert stage.put("/v1/platform", body).status_code == (200 if allowed else 422)
        source = {"location_source_url": "http://localhost/{incident_ref}"}
        assert stage.put("/v1/platform", source).status_code == (200 if allowed else 422)
    finally:
        close_stage(stage)


def test_worker_judges_by_the_same_setting(stage: Stage) -> None:
    """An address that was saved before the setting changed is refused when it is used."""
    shut: Settings = stage.settings.model_copy(update={"public_url": "https://tocsin.example.com"})

    assert endpoints.guard_of(stage.settings) == Guard(allow_loopback=True)
    assert endpoints.guard_of(shut) == CLOSED
