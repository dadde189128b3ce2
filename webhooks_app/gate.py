"""In front of the door under Granian: a body is awaited here, for a bounded time and without a thread.

Granian's WSGI interface reads a body on a worker's thread and without a time-out: as many stalled senders as there are
threads, such as panels whose line dropped in mid-request, would shut the door for everybody.

Served by `granian --interface rsgi --factory webhooks_app.gate:create_gate`.
"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from webhooks_app import auth
from webhooks_app.database import DatabaseAway
from webhooks_app.errors import BAD_REQUEST, TOO_SLOW, Problem, away, problem_response
from webhooks_app.hooks_at_gate import Answered, HooksAtGate

if TYPE_CHECKING:
    from flask import Flask, Response

BODY_S = 10.0
# Whole files come here only, from whoever has a key for it; they may take longer, and few are in memory at a time.
FILES = "/v1/site-imports"
FILE_SCOPES = ("sites",)
FILE_S = 120.0
FILES_AT_ONCE = 2
THREADS = 16
OPEN_FILES = 65_536
# A thread that has its answer from Postgres asks the loop for the interpreter this soon, and not after Python's 5 ms: a
# group of webhooks needs it three times, and all who wait for the group wait for that.
SWITCH_S = 0.0005


class Gate:
    """An RSGI application (Granian's own interface) that hands whole requests to a WSGI one, on threads."""

    def __init__(self, app: Flask, *, body_s: float = BODY_S, threads: int = THREADS) -> None:
        """`body_s` bounds the wait for a body in seconds."""
        self._app = app
        settings = app.extensions["tocsin"].settings
        self._limit, self._file_limit = int(settings.max_body_bytes), int(settings.max_import_bytes)
        self._body_s = body_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="door")
        self._files = asyncio.Semaphore(FILES_AT_ONCE)
        self._hooks = HooksAtGate(app.extensions["tocsin"], self._threads)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """One request."""
        if scope.path == FILES and self._wants_body(scope):
            protocol.response_bytes(*await self._file(scope, protocol))
        else:
            protocol.response_bytes(*await self._whole(scope, protocol, self._body_s))

    async def _file(self, scope: Any, protocol: Any) -> Answered:
        """A stranger's fifty megabytes are never read."""
        refused = await asyncio.get_running_loop().run_in_executor(self._threads, self._stranger, scope)
        if refused is not None:
            return refused
        async with self._files:
            return await self._whole(scope, protocol, FILE_S)

    async def _whole(self, scope: Any, protocol: Any, within_s: float) -> Answered:
        """Await the body, and answer."""
        body = b""
        if self._wants_body(scope):
            try:
                async with asyncio.timeout(within_s):
                    body = await protocol()
            except TimeoutError:
                return _refusal(Problem(TOO_SLOW, "The body did not arrive in time."))
            except Exception:  # noqa: BLE001 - Granian names no class for a sender that went away in mid-body
                return _refusal(Problem(BAD_REQUEST, "The body is shorter than its Content-Length."))
        answered = await self._hooks.answer(scope, body)
        if answered is None:
            loop = asyncio.get_running_loop()
            answered = await loop.run_in_executor(self._threads, self._answer, scope, body)
        return answered

    def _stranger(self, scope: Any) -> Answered | None:
        """Why the sender's file is not read; None: it is."""
        with self._app.request_context(_environ(scope, b"")):
            try:
                auth.require(FILE_SCOPES, reads=False)
            except Problem as problem:
                return _refusal(problem)
            except DatabaseAway:
                return _plain(away())
        return None

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

    # A thousand idle connections, what a system allows unless asked, must not shut the door.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    sys.setswitchinterval(SWITCH_S)
    return Gate(create_app(), threads=int(os.environ.get("WEB_THREADS", THREADS)))


def _refusal(problem: Problem) -> Answered:
    """A refusal before the body was read: what is left of it must not be taken for the next request."""
    answer = problem_response(problem)
    answer.headers["Connection"] = "close"
    return _plain(answer)


def _plain(answer: Response) -> Answered:
    return answer.status_code, [(name.lower(), value) for name, value in answer.headers.items()], answer.get_data()


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
        if "_" in name:
            continue  # it would be taken for another: `X_Forwarded_For` for what the proxy has added
        upper = name.upper().replace("-", "_")
        values = scope.headers.get_all(name)
        if upper in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            environ[upper] = values[0]
        else:
            environ[f"HTTP_{upper}"] = ",".join(values)
    return environ
