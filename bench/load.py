"""The load generator, the same for all: kept connections, in a process of its own.

A closed loop, or with a moment at which each request is due: then a latency counts from that moment, whether a
connection was free or not. It sends ready-made bytes over plain sockets, since it shares its two cores with whom it
measures.
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
NOTHING = -1


@dataclass(frozen=True)
class Fired:
    """What came of it. `sent` is how many of the requests, in order, were accepted; times are seconds."""

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


@dataclass(eq=False)
class _Line:
    """One connection and the request that is on it."""

    socket: socket.socket
    number: int = NOTHING
    began: float = 0.0
    heard: bytes = b""


@dataclass(frozen=True)
class _Order:
    """What to fire, and how an answer is told."""

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    due: Sequence[float] | None
    whole: Whole
    greeting: bytes


class _Loop:
    def __init__(self, order: _Order) -> None:
        self._order = order
        self._requests = order.requests
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        # When to go again, which request, and when it began.
        self._again: list[tuple[float, int, float]] = []
        self._next = 0
        self._latencies: list[float] = []
        self._repeats = 0
        self._reconnects = 0
        self._idle = [self._connect() for _ in range(order.connections)]

    def run(self) -> Fired:
        """Send until the time is over or nothing is left; what is on its way is waited for."""
        began, self._began = time.time(), time.monotonic()
        while True:
            self._send_what_is_due()
            if not self._lines and not self._again:
                return Fired(self._next, began, time.time(), self._latencies, self._repeats, self._reconnects)
            pause = self._pause()
            ready = self._poll.poll(pause)
            if not ready and pause >= SILENT_S:
                raise TimeoutError(f"no answer within {SILENT_S:.0f} s")
            for number, _ in ready:
                self._hear(self._lines[number])

    def _send_what_is_due(self) -> None:
        now = time.monotonic()
        while self._again and self._again[0][0] <= now:
            _, number, began = heapq.heappop(self._again)
            self._send(self._connect(), number, began)
        while self._idle and self._next_due() <= now:
            self._take_next(self._idle.pop())

    def _next_due(self) -> float:
        """When the next request may go; at once where there is none, so that the connection is closed."""
        due = self._order.due
        return self._began + due[self._next] if due is not None and self._next < len(due) else 0.0

    def _pause(self) -> float:
        """Until something falls due, if nobody answers before."""
        moments = [self._again[0][0]] if self._again else []
        if self._idle:
            moments.append(self._next_due())
        return max(0.0, min(moments) - time.monotonic()) if moments else SILENT_S

    def _connect(self) -> _Line:
        made = socket.create_connection(("127.0.0.1", self._order.port), timeout=SILENT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._order.greeting:
            made.sendall(self._order.greeting)
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
        now = time.monotonic()
        if self._next >= len(self._requests) or now > self._began + self._order.seconds:
            self._drop(line)
            return
        self._send(line, self._next, self._next_due() or now)
        self._next += 1

    def _send(self, line: _Line, number: int, began: float) -> None:
        line.number, line.began, line.heard = number, began, b""
        line.socket.sendall(self._requests[number])

    def _hear(self, line: _Line) -> None:
        try:
            data = line.socket.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self._reconnect(line)
            return
        line.heard += data
        status = self._order.whole(line.heard)
        if status is None:
            return
        if 200 <= status < 300:
            self._latencies.append(time.monotonic() - line.began)
            line.number = NOTHING
            self._idle.append(line)
        elif status == 503:
            self._repeats += 1
            heapq.heappush(self._again, (time.monotonic() + AGAIN_AFTER_S, line.number, line.began))
            self._drop(line)
        else:
            raise RuntimeError(f"refused with {status}: {line.heard[:400]!r}")

    def _reconnect(self, line: _Line) -> None:
        """The other side closed a kept connection: the delivery goes again, as a provider's would."""
        self._reconnects += 1
        self._drop(line)
        if line.number == NOTHING:
            self._idle.remove(line)
            self._idle.append(self._connect())
        else:
            self._send(self._connect(), line.number, line.began)


def http_status(heard: bytes) -> int | None:
    """The status of an answer that has arrived whole, else None."""
    head, gap, body = heard.partition(b"\r\n\r\n")
    if not gap:
        return None
    status = int(heard[9:12])
    _, named, after = head.lower().partition(b"content-length:")
    length = int(after.partition(b"\r\n")[0]) if named else 0
    return status if len(body) >= length else None


def _fire(order: _Order) -> Fired:
    return _Loop(order).run()


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
        due: Sequence[float] | None = None,
        whole: Whole = http_status,
        greeting: bytes = b"",
    ) -> Fired:
        """Send requests in order, for so many seconds at most; `greeting` goes first on each connection.

        `due`: when each request goes, in seconds from the beginning; else each connection sends as soon as it can.
        Raises what a refusal or a silence raises.
        """
        return self._pool.submit(_fire, _Order(port, requests, connections, seconds, due, whole, greeting)).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()
