"""AURA's access tokens: a JWT each, with a fixed lifetime, refused once it is over."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Tokens:
    """Every token that was issued and has not been expired on command; times are epoch seconds."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def issue(self, now: float, lifetime_s: float) -> str:
        claims = {"iat": int(now), "exp": int(now + lifetime_s), "jti": secrets.token_hex(8)}
        head = _part(b'{"alg":"HS256","typ":"JWT"}') + "." + _part(json.dumps(claims).encode())
        token = f"{head}.{_part(hmac.new(self._key, head.encode(), hashlib.sha256).digest())}"
        with self._lock:
            self._ends[token] = now + lifetime_s
        return token

    def accepts(self, authorization: str, now: float) -> bool:
        with self._lock:
            return self._ends.get(authorization.removeprefix("Bearer "), 0.0) > now and (
                authorization.startswith("Bearer ")
            )

    def expire_all(self) -> None:
        with self._lock:
            self._ends.clear()
