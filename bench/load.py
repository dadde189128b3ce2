"""The load generator, the same for all: a closed loop over kept connections, in a process of its own.

It sends ready-made bytes over plain sockets, since it shares its two cores with whom it measures.
"""

from __future__ import annotations

import heapq
import multiprocessing
import select
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

# Of what has arrived: the status (as of HTTP) of a whole answer, else None.
Whole = Callable[[bytes], int | None]

CONNECTIONS = 64
AGAIN_AFTER_S = 0.05
SILENT_S = 30.0


@dataclass(frozen=True)
class Fired:
    """What came of it. `sent` is how many of the requests, in order, were accepted; latencies are seconds."""

    sent: int
    began: float
    ended: float
    latencies: list[float] = field(repr=False)
    repeats: int
    reconnects: int

    @property
    def rate(self) -> float:
        """Accepted per second."""
        return self.sent / (self.ended - self.began)


@dataclass
class _Line:
    """One connection and the request that is on it."""

    socket: socket.socket
    number: int = -1
    began: float = 0.0
    heard: bytes = b""


class _Loop:
    def __init__(
        self, port: int, requests: Sequence[bytes], connections: int, seconds: float, whole: Whole, greeting: bytes
    ) -> None:
        self._port = port
        self._whole = whole
        self._greeting = greeting
        self._requests = requests
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._again: list[tuple[float, int]] = []
        self._next = 0
        self._seconds = seconds
        self._latencies: list[float] = []
        self._repeats = 0
        self._reconnects = 0
        self._fresh = [self._connect() for _ in range(connections)]

    def run(self) -> Fired:
        """Send until the time is over or nothing is left; what is on its way is waited for."""
        began = time.time()
        self._until = time.monotonic() + self._seconds
        for line in self._fresh:
            self._take_next(line)
        while self._lines:
            pause = max(0.0, self._again[0][0] - time.monotonic()) if self._again else SILENT_S
            ready = self._poll.poll(pause)
            if not ready and not self._again:
                raise TimeoutError(f"no answer within {SILENT_S:.0f} s")
            for number, _ in ready:
                self._hear(self._lines[number])
            while self._again and self._again[0][0] <= time.monotonic():
                self._send(self._lines[heapq.heappop(self._again)[1]])
        return Fired(self._next, began, time.time(), self._latencies, self._repeats, self._reconnects)

    def _connect(self) -> _Line:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=SILENT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._greeting:
            made.sendall(self._greeting)
            made.recv(65_536)
        line = _Line(made)
        self._lines[made.fileno()] = line
        self._poll.register(made.fileno(), select.EPOLLIN)
        return line

    def _drop(self, line: _Line) -> None:
        self._poll.unregister(line.socket.fileno())
        del self._lines[line.socket.fileno()]
        line.socket.close()

    def _take_next(self, line: _Line) -> None:
        if self._next >= len(self._requests) or time.monotonic() > self._until:
            self._drop(line)
            return
        line.number = self._next
        self._next += 1
        line.began = time.perf_counter()
        self._send(line)

    def _send(self, line: _Line) -> None:
        line.heard = b""
        line.socket.sendall(self._requests[line.number])

    def _hear(self, line: _Line) -> None:
        try:
            data = line.socket.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self._reconnect(line)
            return
        line.heard += data
        status = self._whole(line.heard)
        if status is None:
            return
        if 200 <= status < 300:
            self._latencies.append(time.perf_counter() - line.began)
            self._take_next(line)
        elif status == 503:
            self._repeats += 1
            heapq.heappush(self._again, (time.monotonic() + AGAIN_AFTER_S, line.socket.fileno()))
        else:
            raise RuntimeError(f"refused with {status}: {line.heard[:400]!r}")

    def _reconnect(self, line: _Line) -> None:
        """The other side closed a kept connection: the delivery goes again, as a provider's would."""
        self._reconnects += 1
        self._drop(line)
        fresh = self._connect()
        fresh.number, fresh.began = line.number, line.began
        self._send(fresh)


def http_status(heard: bytes) -> int | None:
    """The status of an answer that has arrived whole, else None."""
    head, gap, body = heard.partition(b"\r\n\r\n")
    if not gap:
        return None
    status = int(heard[9:12])
    _, named, after = head.lower().partition(b"content-length:")
    length = int(after.partition(b"\r\n")[0]) if named else 0
    return status if len(body) >= length else None


def _fire(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, whole: Whole, greeting: bytes
) -> Fired:
    return _Loop(port, requests, connections, seconds, whole, greeting).run()


class Gun:
    """The process that fires; it is started once, so that nobody waits for it."""

    def __init__(self) -> None:
        """Start it."""
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self._pool.submit(time.time).result()

    def fire(
        self,
        port: int,
        requests: Sequence[bytes],
        *,
        seconds: float,
        connections: int = CONNECTIONS,
        whole: Whole = http_status,
        greeting: bytes = b"",
    ) -> Fired:
        """Send requests in order for so many seconds; `greeting` goes first on each connection.

        Raises what a refusal or a silence raises.
        """
        return self._pool.submit(_fire, port, requests, connections, seconds, whole, greeting).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()
