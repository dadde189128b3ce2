"""The connection underneath an exchange: checked addresses, one deadline, and the moment before the first byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

from shared.clock import boot_time
from shared.providers.guard import Guard
from shared.providers.watcher import Watcher

_local = threading.local()
_watcher = Watcher()


class NotSent(Exception):
    """No byte of the request left. The text names a reason in fixed words: no URL, header or body."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason


class AddressRefused(NotSent):
    """The guard forbids the destination; another try would be refused too."""


class SendForbidden(Exception):
    """Carries what `before_send` raised past urllib3, which would take some classes for network trouble."""

    def __init__(self, cause: BaseException) -> None:
        """Keep the exception to be raised unchanged."""
        super().__init__()
        self.cause = cause


class Line:
    """One exchange's connection. A watcher cuts it at the deadline, whatever the exchange waits for by then.

    The watcher reads the boot clock (a suspended machine wakes up past its deadline) and shuts a duplicate of the
    socket: during a TLS handshake the original belongs to the ssl module, and shutting an SSLSocket could let later
    bytes out in clear.
    """

    def __init__(
        self,
        deadline: float,
        connect_timeout: float,
        before_send: Callable[[], None] | None,
        guard: Guard | None,
        ca_file: str | None,
    ) -> None:
        """Nothing is opened yet; `deadline` is on the boot clock, `connect_timeout` covers DNS, TCP and TLS."""
        self.deadline = deadline
        self.connect_by = min(deadline, boot_time() + connect_timeout)
        self.guard = guard
        self.ca_file = ca_file
        self.sending = False
        self.expired = False
        self._before_send = before_send
        self.ends = self.connect_by
        self._spare: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Line:
        """Have it watched. Raises NotSent when the system gives no thread."""
        with _thread_or_not_sent():
            _watcher.watch(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Have it watched no more, and let go of the socket."""
        _watcher.forget(self)
        with self._lock:
            if self._spare is not None:
                self._spare.close()
                self._spare = None

    def open(self, scheme: str, host: str, port: int) -> socket.socket:
        """A TCP connection to the first checked address that answers. Raises NotSent."""
        addresses = _resolve(host, port, self._left())
        if self.guard is not None:
            refusal = self.guard.refusal(scheme, [sockaddr[0] for _, sockaddr in addresses])
            if refusal:
                raise AddressRefused(refusal)
        failure: OSError = OSError()
        for tried, (family, sockaddr) in enumerate(addresses):
            # A share each, so that a dead IPv6 route leaves time for IPv4.
            patience = self._left() / (len(addresses) - tried)
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(patience)
                sock.connect(sockaddr)
                sock.settimeout(max(0.001, self.connect_by - boot_time()))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                failure = error
                sock.close()
            else:
                self._hold(sock)
                return sock
        raise NotSent(_connect_words(failure))

    def about_to_send(self, sock: socket.socket) -> None:
        """The last step before the first byte: what happens before it is NotSent, what happens after is not."""
        with self._lock:
            if self.is_late():
                raise NotSent("no connection in time")
            self.ends = self.deadline
        if self._before_send is not None:
            try:
                self._before_send()
            except BaseException as error:
                raise SendForbidden(error) from error
        left = self.deadline - boot_time()
        if left <= 0:
            raise NotSent("the deadline passed before the request was sent")
        sock.settimeout(left)
        self.sending = True

    def is_late(self) -> bool:
        """True when the connection did not stand in time; the watcher may be a moment behind the clock."""
        return self.expired or boot_time() >= self.connect_by

    def _left(self) -> float:
        left = self.connect_by - boot_time()
        if left <= 0:
            raise NotSent("no connection in time")
        return left

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            self._spare = sock.dup()

    def cut(self) -> None:
        """End it if it is late: called by the watcher."""
        with self._lock:
            if boot_time() < self.ends:
                return
            self.expired, self.ends = True, float("inf")
            if self._spare is not None:
                with contextlib.suppress(OSError):
                    self._spare.shutdown(socket.SHUT_RDWR)


class OneShot(HTTPAdapter):
    """A requests adapter for a single exchange on a fresh connection: no retry, no proxy, no redirect, no pool."""

    def __init__(self, line: Line) -> None:
        """Send over this line only."""
        self._line = line
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to set: our TLS context carries the authorities and requires a valid certificate."""

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        """The pool of this one connection, made of our connection class."""
        address = parse_url(request.url or "")
        secure = address.scheme == "https"
        tls = {"ssl_context": _tls_context(self._line.ca_file)} if secure else {}
        pool = self.poolmanager.connection_from_host(address.host, address.port, address.scheme, pool_kwargs=tls)
        assert isinstance(pool, HTTPConnectionPool)
        pool.ConnectionCls = cast(Any, partial(_TlsConnection if secure else _PlainConnection, self._line))
        return pool


class _PlainConnection(HTTPConnection):
    def __init__(self, line: Line, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.open("http", self.host, self.port)

    def connect(self) -> None:
        super().connect()
        self._line.about_to_send(self.sock)


class _TlsConnection(HTTPSConnection):
    def __init__(self, line: Line, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.open("https", self.host, self.port)

    def connect(self) -> None:
        reason = ""
        try:
            super().connect()
        except (OSError, ValueError) as error:
            certificate = isinstance(error, ssl.SSLCertVerificationError)
            reason = "the certificate is not valid" if certificate else "TLS failed"
        if reason:
            raise NotSent("no connection in time" if self._line.is_late() else reason)
        self._line.about_to_send(self.sock)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """One context per thread: loading the bundle costs milliseconds, and urllib3 writes to a context as it connects."""
    cache: dict[str | None, ssl.SSLContext] = _local.__dict__.setdefault("contexts", {})
    if ca_file not in cache:
        cache[ca_file] = ssl.create_default_context(cafile=ca_file or DEFAULT_CA_BUNDLE_PATH)
    return cache[ca_file]


def _resolve(host: str, port: int, patience: float) -> list[tuple[int, Any]]:
    """Addresses of a host, within `patience` seconds.

    getaddrinfo cannot be interrupted, so it runs in a daemon thread that is left behind when it takes too long; that
    thread ends by the resolver's own timeouts (resolv.conf) and touches nothing of the exchange.
    """
    plain = host.strip("[]")
    with contextlib.suppress(ValueError):
        family = socket.AF_INET6 if ip_address(plain.partition("%")[0]).version == 6 else socket.AF_INET
        return [(family, (plain, port))]
    found: list[tuple[int, Any]] = []
    done = threading.Event()

    def look() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(plain, port, type=socket.SOCK_STREAM)
            found.extend((family, sockaddr) for family, _, _, _, sockaddr in answers)
        done.set()

    with _thread_or_not_sent():
        threading.Thread(target=look, name="http-resolve", daemon=True).start()
    if not done.wait(patience):
        raise NotSent("the name was not resolved in time")
    if not found:
        raise NotSent("the name does not resolve")
    return found


@contextlib.contextmanager
def _thread_or_not_sent() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise NotSent("no thread to be had") from None


def _connect_words(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    return "no connection"
