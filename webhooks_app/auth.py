"""Who is asking: API keys by their hash, and what each may do."""

from __future__ import annotations

from collections.abc import Collection

from flask import g, request
from sqlalchemy.orm import Session

from shared.crypto import hash_api_key
from shared.store.keys import find_key
from webhooks_app import door as doors
from webhooks_app.errors import FORBIDDEN, UNAUTHENTICATED, Problem
from webhooks_app.principal import Principal

MAX_KEY_CHARS = 200


def require(scopes: Collection[str]) -> None:
    """Authenticate the request and let it pass with any of `scopes`. Raises a problem with 401 or 403."""
    principal = _authenticate()
    if principal.scopes.isdisjoint(scopes):
        raise Problem(FORBIDDEN, f"This needs a key with scope {' or '.join(sorted(scopes))}.")
    g.principal = principal


def principal() -> Principal:
    """Who asks; known after `require`."""
    found = g.principal
    assert isinstance(found, Principal)
    return found


def _authenticate() -> Principal:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text or len(text) > MAX_KEY_CHARS:
        raise _unauthenticated()
    here = doors.door()
    hashed = hash_api_key(text)
    known = here.keys.get(hashed)
    if known is None:
        known = here.database.run(lambda session: _find(session, text))
        if known is None:
            raise _unauthenticated()
        here.keys.put(hashed, known)
    return known


def _find(session: Session, text: str) -> Principal | None:
    row = find_key(session, text)
    if row is None:
        return None
    return Principal(row.platform_id, row.id, frozenset(row.scopes), row.site_ref)


def _unauthenticated() -> Problem:
    return Problem(
        UNAUTHENTICATED,
        "Send Authorization: Bearer with a valid API key.",
        headers={"WWW-Authenticate": 'Bearer realm="tocsin"'},
    )
