"""A server of plain sockets, for answers that no HTTP server would give."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType

Handler = Callable[[socket.socket], None]


class RawServer:
    """Runs `handler` on each connection, over TLS when a context is given; `requests` holds what arrived."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.tls = tls
        self.halt = threading.Event()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}/a/path"
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> RawServer:
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.tls is None:
                self.handler(connection)
            else:
                with self.tls.wrap_socket(connection, server_side=True) as secure:
                    self.handler(secure)


def read_request(connection: socket.socket) -> bytes:
    """A request's head and its body of the length that it names; b"" when none came."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def answering(raw: bytes) -> Handler:
    """Reads the request, sends these bytes, closes."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(raw)

    return handle


def dripping(raw: bytes, every: float) -> Handler:
    """Reads the request and sends a byte at a time until the peer has gone."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        pause = threading.Event()
        for index in range(len(raw)):
            connection.sendall(raw[index : index + 1])
            pause.wait(every)

    return handle


def silent(connection: socket.socket) -> None:
    """Reads until the peer goes, and says nothing."""
    while connection.recv(65_536):
        pass


def resetting(connection: socket.socket) -> None:
    """Reads the request and resets the connection."""
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
