"""Fields at rest: what is personal or secret is sealed before it reaches a column."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_COMPACT = json.JSONEncoder(separators=(",", ":"))


class CannotOpen(Exception):
    """A sealed field does not open with any of the configured encryption keys."""


class Box:
    """Seals JSON values with the first key and opens with any of them, so that keys can be rotated."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        """`keys` are Fernet keys (32 bytes, urlsafe Base64), newest first. Raises ValueError for a bad key."""
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, value: Any) -> bytes:
        """Encrypt a JSON value."""
        return self._fernet.encrypt(_COMPACT.encode(value).encode())

    def seal_bytes(self, content: bytes) -> bytes:
        """Encrypt a file as it is."""
        return self._fernet.encrypt(content)

    def open_bytes(self, sealed: bytes) -> bytes:
        """Decrypt what `seal_bytes` made. Raises CannotOpen."""
        try:
            return self._fernet.decrypt(bytes(sealed))
        except InvalidToken:
            raise CannotOpen("no configured encryption key opens this file") from None

    def open(self, sealed: bytes | None) -> Any:
        """Decrypt what `seal` made; None stays None. Raises CannotOpen."""
        if sealed is None:
            return None
        try:
            return json.loads(self._fernet.decrypt(bytes(sealed)))
        except InvalidToken:
            raise CannotOpen("no configured encryption key opens this field") from None


def new_encryption_key() -> str:
    """A fresh key for TOCSIN_ENCRYPTION_KEYS."""
    return Fernet.generate_key().decode()


def new_api_key() -> str:
    """A fresh API key: 256 random bits, so that a plain SHA-256 of it can be stored."""
    return "tcs_" + secrets.token_urlsafe(32)


def hash_api_key(key: str) -> str:
    """What is stored of an API key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def digest(data: bytes) -> str:
    """SHA-256 in hex, for recognising equal bodies."""
    return hashlib.sha256(data).hexdigest()
