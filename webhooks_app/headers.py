"""What every answer carries, and the id by which a request is found in the log."""

from __future__ import annotations

import re
import secrets

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_ALWAYS = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]


def request_id(asked: str | None) -> str:
    """The sender's own id if it is one, else a new one."""
    return asked if asked and _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)


def answer_headers(own_request_id: str) -> list[tuple[str, str]]:
    """Where a view has set one of them itself, its own word stands."""
    return [("X-Request-Id", own_request_id), *_ALWAYS]
