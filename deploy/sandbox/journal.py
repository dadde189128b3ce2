"""What `GET /_log` shows: every request that a peer made, with its answer, never with its credentials."""

from __future__ import annotations

import threading
import time
from typing import Any

from deploy.sandbox.exchange import Request
from deploy.sandbox.faults import Rule


class Journal:
    """Entries in order of arrival; one that hangs is there from its start, with no status yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []

    def clear(self) -> None:
        with self._lock:
            self._entries = []

    def open(self, request: Request) -> Entry:
        """`time` is epoch seconds; `duration` seconds; `status` None means not answered (yet)."""
        fields: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "status": None,
            "time": time.time(),
            "duration": None,
            "faults": [],
            "headers": {k: v for k, v in request.headers.items() if k != "authorization"},
            "query": request.query,
            "body": request.body.decode("utf-8", "replace"),
        }
        with self._lock:
            self._entries.append(fields)
        return Entry(fields)

    def as_json(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """All of them, or those that `path` (as in a fault rule) and `method` select."""
        wanted = Rule(query.get("path", "*"), method=query.get("method"))
        with self._lock:
            return [dict(entry) for entry in self._entries if wanted.takes(entry["method"], entry["path"])]


class Entry:
    """One request in the journal, while it is served."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._began = time.monotonic()

    def note(self, fault: str) -> None:
        self._fields["faults"].append(fault)

    def done(self, status: int | None) -> None:
        self._fields["status"] = status
        self._fields["duration"] = round(time.monotonic() - self._began, 6)
