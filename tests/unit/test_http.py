"""The HTTP client against real sockets: what was sent, what was not, and when it gives up."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path
from queue import Queue

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.clock import boot_time
from shared.providers.guard import base_url_problems
from shared.providers.http import AddressRefused, Answer, AnswerLost, Guard, NotSent, exchange, json_bytes, stream
from tests.raw_server import Handler, RawServer, answering, dripping, read_request, resetting, silent

OK = b"HTTP/1.1 201 Created\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}"


def post(url: str, seconds: float = 2.0, **options: object) -> Answer:
    """One POST with a personal-looking path and body."""
    return exchange("POST", url, deadline=boot_time() + seconds, body=b'{"name": "Ann"}', **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="session")
def server_tls(authority: Path) -> ssl.SSLContext:
    """The server's side of the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context


def test_answer_is_whole_when_the_server_answers() -> None:
    """Status, headers by any case, body and the server's clock."""
    with RawServer(answering(OK)) as server:
        answer = post(server.url)
    assert (answer.status, answer.body, answer.headers["date"][:3]) == (201, b"{}", "Sun")
    assert answer.date == datetime.datetime(2026, 11, 22, 10, tzinfo=datetime.UTC)


def test_redirect_is_an_answer_when_the_server_redirects() -> None:
    """It is not followed."""
    with RawServer(answering(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")) as server:
        assert post(server.url).status == 302
        assert server.connections == 1


def test_proxy_is_ignored_when_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable must not send an alarm elsewhere."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with RawServer(answering(OK)) as server:
        assert post(server.url).status == 201


def test_nothing_is_sent_when_the_connection_is_refused() -> None:
    """The plainest NotSent."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NotSent, match=r"^connection refused$"):
        post(f"http://127.0.0.1:{port}/")


def test_nothing_is_sent_when_the_name_does_not_resolve() -> None:
    """`.invalid` never resolves (RFC 2606)."""
    with pytest.raises(NotSent, match=r"^the name (does not resolve|was not resolved in time)$"):
        post("http://nobody.invalid/")


def test_connect_gives_up_when_nobody_accepts() -> None:
    """A full accept queue drops the SYN; the wait ends after `connect_timeout`."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        with pytest.raises(NotSent, match=r"^no connection in time$"):
            post(f"http://127.0.0.1:{port}/", 10, connect_timeout=0.4)
        assert time.monotonic() - began < 1.5
        for filler in fillers:
            filler.close()


def test_nothing_is_sent_when_the_deadline_has_passed() -> None:
    """A process that slept past its deadline does not even connect."""
    with RawServer(answering(OK)) as server:
        with pytest.raises(NotSent):
            post(server.url, -1)
        assert server.connections == 0


@pytest.mark.parametrize("url", ["http://[::1/", "nothing", "ftp://localhost/", "http://localhost:99999/"])
def test_nothing_is_sent_when_the_url_is_malformed(url: str) -> None:
    """A setting that is wrong is no doubt about an alarm."""
    with pytest.raises(NotSent):
        post(url)


@pytest.mark.parametrize("value", ["smart “quote”", "two\nlines"])
def test_nothing_is_sent_when_a_header_is_malformed(value: str) -> None:
    """A token that was pasted badly is no doubt either; nobody is even called."""
    with RawServer(answering(OK)) as server:
        with pytest.raises(NotSent, match="malformed"):
            post(server.url, headers={"Authorization": value})
        assert server.connections == 0


CUT = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"
CUT_CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
LONG = b"HTTP/1.1 201 Created\r\nContent-Length: 2000001\r\n\r\n" + b"a" * 1_100_000


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(answering(b""), "closed without an answer", id="closed"),
        pytest.param(resetting, "connection reset", id="reset"),
        pytest.param(silent, "no answer in time", id="silent"),
        pytest.param(answering(CUT), "the answer was cut", id="cut"),
        pytest.param(answering(CUT_CHUNKED), "the answer was cut", id="cut-chunked"),
        pytest.param(answering(LONG), "the answer is too long", id="long"),
        pytest.param(answering(b"\x16\x03junk\r\n\r\n"), "the answer is unreadable", id="junk"),
        pytest.param(dripping(OK, 0.1), "no answer in time", id="drip-head"),
        pytest.param(
            dripping(OK.replace(b"Content-Length: 2\r\n", b"") + b"x" * 99, 0.02), "no answer in time", id="drip"
        ),
    ],
)
def test_answer_is_lost_when_it_is_not_whole(handler: Handler, reason: str) -> None:
    """The request was sent each time, so that each is a doubt, within the deadline."""
    with RawServer(handler) as server:
        began = time.monotonic()
        with pytest.raises(AnswerLost, match=reason):
            post(server.url, 0.7)
        assert time.monotonic() - began < 1.2


def test_exception_carries_nothing_personal_when_an_answer_is_lost() -> None:
    """Neither it nor what it was raised from names host, path or body."""
    with RawServer(resetting) as server, pytest.raises(AnswerLost) as caught:
        post(server.url.replace("a/path", "Ann"))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert "Ann" not in repr(caught.value)
    assert "localhost" not in repr(caught.value)


def test_send_is_forbidden_when_before_send_raises() -> None:
    """Connected, not a byte sent, and the exception is the caller's own, also one that looks like network trouble."""
    arrived: Queue[bytes] = Queue()
    mine = ConnectionResetError("the lease is gone")

    def forbid() -> None:
        raise mine

    with RawServer(lambda connection: arrived.put(read_request(connection))) as server:
        with pytest.raises(ConnectionResetError) as caught:
            post(server.url, before_send=forbid)
        assert caught.value is mine
        assert arrived.get(timeout=10) == b""


def test_before_send_runs_once_when_the_request_is_sent() -> None:
    """After the connection stands, before the first byte."""
    told: list[int] = []
    with RawServer(answering(OK)) as server:
        post(server.url, before_send=lambda: told.append(1))
    assert told == [1]


def test_nothing_is_sent_when_before_send_outlasts_the_deadline() -> None:
    """A slow commit must not be followed by a late send."""
    arrived: Queue[bytes] = Queue()
    with RawServer(lambda connection: arrived.put(read_request(connection))) as server:
        with pytest.raises(NotSent):
            post(server.url, 0.3, before_send=lambda: time.sleep(0.5))
        assert arrived.get(timeout=10) == b""


def test_tls_answers_when_the_certificate_is_known(authority: Path, server_tls: ssl.SSLContext) -> None:
    """`ca_file` names an authority of one's own."""
    told: list[int] = []
    with RawServer(answering(OK), server_tls) as server:
        answer = post(server.url, ca_file=str(authority), before_send=lambda: told.append(1))
    assert (answer.status, told) == (201, [1])


def test_nothing_is_sent_when_the_certificate_is_unknown(server_tls: ssl.SSLContext) -> None:
    """A TLS failure comes before the first byte, and before `before_send`."""
    told: list[int] = []
    refused = pytest.raises(NotSent, match=r"^the certificate is not valid$")
    with RawServer(answering(OK), server_tls) as server, refused:
        post(server.url, before_send=lambda: told.append(1))
    assert told == []


def test_nothing_is_sent_when_the_handshake_drips() -> None:
    """A peer that feeds a TLS record byte by byte never lets a read time out; `connect_timeout` ends it."""
    pause = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"\x16\x03\x03\x40\x00")
        while not pause.wait(0.05):
            connection.sendall(b"\x02")

    with RawServer(drip) as server:
        began = time.monotonic()
        with pytest.raises(NotSent, match=r"^no connection in time$"):
            post(server.url.replace("http:", "https:"), 5, connect_timeout=0.4)
        assert time.monotonic() - began < 1.0
        pause.set()


def test_answer_is_lost_when_tls_is_silent(authority: Path, server_tls: ssl.SSLContext) -> None:
    """The deadline holds over TLS too."""
    with RawServer(silent, server_tls) as server:
        began = time.monotonic()
        with pytest.raises(AnswerLost, match="no answer in time"):
            post(server.url, 0.5, ca_file=str(authority))
        assert time.monotonic() - began < 1.2


NEVER = [
    "169.254.169.254",
    "100.100.100.200",
    "fd00:ec2::254",
    "fe80::1",
    "0.0.0.0",
    "224.0.0.1",
    "::",
    "255.255.255.255",
]
INSIDE = ["10.1.2.3", "192.168.0.1", "172.16.0.1", "fc00::1", "::ffff:10.0.0.1"]
LOOPBACK = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]


@pytest.mark.parametrize("address", NEVER + INSIDE + LOOPBACK)
def test_guard_refuses_when_one_address_is_not_public(address: str) -> None:
    """One bad address among good ones is enough."""
    assert Guard(allow_loopback=False).refusal("https", ["93.184.216.34", address])


@pytest.mark.parametrize("address", NEVER)
def test_guard_refuses_metadata_when_private_is_allowed(address: str) -> None:
    """No setting opens the cloud's own addresses."""
    assert Guard(allow_private=True).refusal("https", [address])


def test_guard_wants_https_when_the_address_is_public() -> None:
    """Plain http is for loopback, and for private networks that were allowed."""
    assert Guard().refusal("http", ["93.184.216.34"]) == "https is required"
    assert Guard().refusal("https", ["93.184.216.34"]) is None
    assert Guard().refusal("http", ["127.0.0.1", "::1"]) is None
    assert Guard(allow_private=True).refusal("http", ["10.0.0.1"]) is None


def test_guard_stops_the_exchange_when_it_refuses() -> None:
    """Nothing connects."""
    with RawServer(answering(OK)) as server:
        with pytest.raises(AddressRefused):
            post(server.url, guard=Guard(allow_loopback=False))
        assert server.connections == 0
        assert post(server.url, guard=Guard()).status == 201


def test_json_bytes_are_compact() -> None:
    """UTF-8 and no spaces; NaN is no JSON."""
    assert json_bytes({"a": ["ü", 1]}) == '{"a":["ü",1]}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        json_bytes(float("nan"))


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://api.example.com", True),
        ("http://127.0.0.1:8080", True),
        ("http://api.example.com", False),
        ("https://user:pw@api.example.com", False),
        ("https://", False),
        ("https://h:x", False),
        ("api.example.com", False),
    ],
)
def test_base_url_is_judged(url: str, fine: bool) -> None:
    """https unless loopback, and nothing that would leak or be lost."""
    assert (base_url_problems(url) == []) is fine


def streamed(url: str, seconds: float = 2.0, idle_s: float = 1.0, cap: int = 1_000_000) -> tuple[int, bytes]:
    """Status and body of one streamed read."""
    with stream("GET", url, deadline=boot_time() + seconds, idle_s=idle_s, cap=cap) as answer:
        return answer.status, b"".join(answer.pieces())


def test_stream_gives_a_large_body_in_pieces() -> None:
    """None of them larger than a chunk."""
    body = b"x" * 300_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"
    with (
        RawServer(answering(head + body)) as server,
        stream("GET", server.url, deadline=boot_time() + 5, idle_s=1, cap=1_000_000) as answer,
    ):
        pieces = list(answer.pieces())
    assert b"".join(pieces) == body
    assert max(len(piece) for piece in pieces) <= 65_536


@pytest.mark.parametrize(
    ("raw", "cap", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1,2", 100, "the answer was cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[1,2\r\n", 100, "the answer is unreadable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1,2", 3, "the answer is too long"),
    ],
)
def test_stream_is_lost_when_its_end_is_not_seen(raw: bytes, cap: int, reason: str) -> None:
    """A cut listing must never read like a short one."""
    with RawServer(answering(raw)) as server, pytest.raises(AnswerLost, match=reason) as caught:
        streamed(server.url, cap=cap)
    assert caught.value.__context__ is None


def test_stream_is_lost_when_no_byte_comes_for_too_long() -> None:
    """Long before its deadline."""
    began = time.monotonic()
    with RawServer(silent) as server, pytest.raises(AnswerLost, match="no answer in time"):
        streamed(server.url, seconds=30, idle_s=0.3)
    assert time.monotonic() - began < 5


def test_stream_ends_at_its_deadline_when_bytes_keep_dripping() -> None:
    """No byte is late, the whole is."""
    began = time.monotonic()
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000
    with RawServer(dripping(raw, 0.05)) as server, pytest.raises(AnswerLost, match="no answer in time"):
        streamed(server.url, seconds=0.5, idle_s=5)
    assert time.monotonic() - began < 3


def test_stream_is_not_sent_when_nobody_listens() -> None:
    """As every call."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NotSent):
        streamed(f"http://127.0.0.1:{port}/")
