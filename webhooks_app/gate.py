"""In front of the door under Granian: a body is awaited here, for a bounded time and without a thread.

Granian's WSGI interface reads a body on a worker's thread and without a time-out: as many stalled senders as there are
threads, such as panels whose line dropped in mid-request, would shut the door for everybody.

Served by `granian --interface rsgi --factory webhooks_app.gate:create_gate`.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from webhooks_app.errors import BAD_REQUEST, TOO_SLOW, Kind, Problem, problem_response
from webhooks_app.hooks_at_gate import Answered, HooksAtGate

if TYPE_CHECKING:
    from flask import Flask

BODY_S = 10.0
# Whole files come here only, and may take longer.
FILES = "/v1/site-imports"
FILE_S = 120.0
THREADS = 16


class Gate:
    """An RSGI application (Granian's own interface) that hands whole requests to a WSGI one, on threads."""

    def __init__(self, app: Flask, *, body_s: float = BODY_S, threads: int = THREADS) -> None:
        """`body_s` bounds the wait for a body in seconds."""
        self._app = app
        settings = app.extensions["tocsin"].settings
        self._limit, self._file_limit = int(settings.max_body_bytes), int(settings.max_import_bytes)
        self._body_s = body_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="door")
        self._hooks = HooksAtGate(app.extensions["tocsin"])

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """One request."""
        body = b""
        if self._wants_body(scope):
            try:
                async with asyncio.timeout(FILE_S if scope.path == FILES else self._body_s):
                    body = await protocol()
            except TimeoutError:
                protocol.response_bytes(*_refusal(TOO_SLOW, "The body did not arrive in time."))
                return
            except Exception:  # noqa: BLE001 - Granian names no class for a sender that went away in mid-body
                protocol.response_bytes(*_refusal(BAD_REQUEST, "The body is shorter than its Content-Length."))
                return
        answered = await self._hooks.answer(scope, body)
        if answered is None:
            loop = asyncio.get_running_loop()
            answered = await loop.run_in_executor(self._threads, self._answer, scope, body)
        protocol.response_bytes(*answered)

    def _wants_body(self, scope: Any) -> bool:
        """Only a body with a length that may be read; the door refuses the others unread."""
        length = scope.headers.get("content-length") or ""
        limit = self._file_limit if scope.path == FILES else self._limit
        return length.isascii() and length.isdigit() and len(length) <= 12 and 0 < int(length) <= limit

    def _answer(self, scope: Any, body: bytes) -> Answered:
        started: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            started.update(status=int(status.partition(" ")[0]), headers=headers)
            return lambda data: None

        parts = self._app.wsgi_app(_environ(scope, body), start)
        try:
            content = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        headers = [(name.lower(), value) for name, value in started["headers"]]
        return started["status"], headers, content


def create_gate() -> Gate:
    """The door behind its gate; settings come from the environment, `WEB_THREADS` included (default 16)."""
    from webhooks_app import create_app  # made when it is asked for, and not when this module is imported

    return Gate(create_app(), threads=int(os.environ.get("WEB_THREADS", THREADS)))


def _refusal(kind: Kind, detail: str) -> Answered:
    answer = problem_response(Problem(kind, detail, headers={"Connection": "close"}))
    return kind.status, [(name.lower(), value) for name, value in answer.headers.items()], answer.get_data()


def _environ(scope: Any, body: bytes) -> dict[str, Any]:
    """The request as WSGI has it (PEP 3333). Granian has decoded the path exactly once."""
    server, _, port = str(scope.server).rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": str(scope.client).rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name in scope.headers.keys():  # noqa: SIM118 - Granian's mapping does not iterate by itself
        upper = name.upper().replace("-", "_")
        values = scope.headers.get_all(name)
        if upper in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            environ[upper] = values[0]
        else:
            environ[f"HTTP_{upper}"] = ",".join(values)
    return environ
