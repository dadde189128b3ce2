"""A threaded HTTP server on loopback that leaves the raw connection to the service, so it can misbehave."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from deploy.sandbox.exchange import Answer, Request

_MAX_BODY = 32 * 1024 * 1024


class Wire:
    """The connection of one request; after `close` the peer reads an end where it waited for more."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler

    def send(self, raw: bytes) -> bool:
        """False when the peer is gone."""
        try:
            self._handler.connection.sendall(raw)
        except OSError:
            self._handler.close_connection = True
            return False
        return True

    def close(self) -> None:
        self._handler.close_connection = True


Serve = Callable[[Request, Wire], None]


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self) -> None:
        wire = Wire(self)
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > _MAX_BODY:
            wire.send(Answer(411, {"message": "send a Content-Length"}, {"Connection": "close"}).raw(0))
            wire.close()
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            wire.close()
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        fields = dict(parse_qsl(query, keep_blank_values=True))
        self.server.serve(Request(self.command, path, fields, headers, body), wire)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = serve  # noqa: N815 - names of the standard library

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the service keeps a log of its own."""


class Server(socketserver.ThreadingTCPServer):
    """One thread per connection; bound in the constructor, so that the port is known before it serves."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, port: int, serve: Serve) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.serve = serve
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and end those that are open, kept-alive ones too."""
        self.shutdown()
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that went away is no news here; anything else is a fault of the sandbox and is printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
