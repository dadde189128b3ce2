"""Webhooks answered at the gate, without a thread each: verified on its loop, committed together (ADR 9).

Only what is taken is answered here, and what the database cannot take now. Everything else goes the long way, through
Flask, which finds the same fault by the same functions and has the words for it.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from shared.store.reception import Delivery
from webhooks_app import callbacks
from webhooks_app.database import DatabaseAway
from webhooks_app.door import Door
from webhooks_app.errors import away
from webhooks_app.gathering import Gathering, Told, tell
from webhooks_app.headers import answer_headers, request_id

PREFIX = "/webhooks/"
# What is longer keeps the loop from its other work for too long; it goes to a thread. In bytes.
SMALL_BODY = 16_384
# What a waiting event costs beside its body.
EVENT_BYTES = 600
_TAKEN = [("Content-Type", callbacks.TAKEN_TYPE)]
RULES = ("/webhooks/<plain:provider_name>", "/webhooks/<plain:provider_name>/<plain:account_id>")

Answered = tuple[int, list[tuple[str, str]], bytes]


class HooksAtGate:
    """The hooks of one door, on the event loop of its gate."""

    def __init__(self, here: Door, threads: Executor) -> None:
        """`threads` look up accounts before they are forgotten. Nothing is begun before the first delivery."""
        self._here = here
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathering = Gathering(functools.partial(callbacks.store_together, here), tell=self._tell)

    async def answer(self, scope: Any, body: bytes) -> Answered | None:
        """The answer to a delivery that was taken, or that cannot be kept now; None: Flask has to answer."""
        if not _is_small_delivery(scope, body):
            return None
        began = time.monotonic()
        provider, slash, account = scope.path[len(PREFIX) :].partition("/")
        key = callbacks.hook_key(provider, account or None)
        hooked = self._here.hooks.get(key)
        if hooked is None or (slash and not account):
            return None
        if self._here.hooks.fades(key):
            self._threads.submit(callbacks.look_up, self._here, provider, account or None)
        try:
            rows = callbacks.authentic(self._here, hooked, scope.headers.items(), body)
            if rows:
                await self._stored(rows)
            status, headers, content = 200, _TAKEN, callbacks.taken(self._here, provider, rows)
        except DatabaseAway:
            refused = away()
            status, content = refused.status_code, refused.get_data()
            headers = list(refused.headers.items())
        except Exception:  # noqa: BLE001 - a refusal, or a fault that these very rows meet again, alone, in Flask
            return None
        self._here.figures.answered(RULES[bool(slash)], status, time.monotonic() - began)
        headers = [*headers, *answer_headers(request_id(scope.headers.get("x-request-id")))]
        return status, [(name.lower(), value) for name, value in headers], content

    async def _stored(self, rows: Sequence[Delivery]) -> None:
        self._loop = asyncio.get_running_loop()
        promise: asyncio.Future[None] = self._loop.create_future()
        size = sum(len(row.body) + EVENT_BYTES for row in rows)
        self._gathering.put(rows, size, self._here.settings.hold_without_database_s, promise)
        await promise

    def _tell(self, told: Told[None]) -> None:
        """Once per group, and not for each of it."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(tell, told)


def _is_small_delivery(scope: Any, body: bytes) -> bool:
    return (
        0 < len(body) <= SMALL_BODY
        and scope.method == "POST"
        and scope.path.startswith(PREFIX)
        and scope.headers.get("content-length") == str(len(body))
        and scope.headers.get("transfer-encoding") is None
    )
