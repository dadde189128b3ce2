"""Who is asking: API keys by their hash, and what each may do."""

from __future__ import annotations

from collections.abc import Collection

from flask import g, request
from sqlalchemy.orm import Session

from shared.crypto import hash_api_key
from shared.store.engine import each_alone
from shared.store.keys import find_key
from webhooks_app import door as doors
from webhooks_app.door import Door
from webhooks_app.errors import FORBIDDEN, UNAUTHENTICATED, Problem
from webhooks_app.limits import address, too_many
from webhooks_app.principal import Principal

MAX_KEY_CHARS = 200


def require(scopes: Collection[str], *, reads: bool) -> None:
    """Authenticate the request and let it pass with any of `scopes`. Raises a problem with 401, 403 or 429.

    Only what `reads` is refused for its number.
    """
    here = doors.door()
    principal = _authenticate(here, reads=reads)
    if principal.scopes.isdisjoint(scopes):
        raise Problem(FORBIDDEN, f"This needs a key with scope {' or '.join(sorted(scopes))}.")
    if reads:
        _count(here, "key_reads", here.limits.key_reads.take(str(principal.key_id)))
        count_open_read()
    g.principal = principal


def count_open_read() -> None:
    """Count a read of this address. Raises a problem with 429."""
    here = doors.door()
    _count(here, "address_reads", here.limits.address_reads.take(address()))


def failed(refusal: Problem) -> Problem:
    """Count a request whose credentials are wrong; what it is told: `refusal`, or 429 when its address fails too often.

    Called after the credentials were looked at, so that who shares an address with a stranger is still heard.
    """
    here = doors.door()
    wait_s = here.limits.address_failures.take(address())
    return _too_many_failures(here, wait_s) if wait_s else refusal


def _too_many_failures(here: Door, wait_s: float) -> Problem:
    here.figures.limited.labels("address_failures").inc()
    return too_many(wait_s, "requests without valid credentials")


def principal() -> Principal:
    """Who asks; known after `require`."""
    found = g.principal
    assert isinstance(found, Principal)
    return found


def _count(here: Door, what: str, wait_s: float) -> None:
    if wait_s:
        here.figures.limited.labels(what).inc()
        raise too_many(wait_s, "reads")


def _authenticate(here: Door, *, reads: bool) -> Principal:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text or len(text) > MAX_KEY_CHARS:
        raise failed(_unauthenticated())
    hashed = hash_api_key(text)
    known = None if here.keys.fades(hashed) else here.keys.get(hashed)
    return known or _look_up(here, text, hashed, reads=reads)


def _look_up(here: Door, text: str, hashed: str, *, reads: bool) -> Principal:
    """A read of a key that never worked waits while its address fails too often; everything else is looked up."""
    if reads and here.proven.get(hashed) is None:
        wait_s = here.limits.address_failures.wait(address())
        if wait_s:
            raise _too_many_failures(here, wait_s)
    if here.wrong.get(hashed):
        raise failed(_unauthenticated())
    known = here.database.run(lambda session: _find(each_alone(session), text))
    if known is None:
        here.keys.forget(hashed)  # revoked meanwhile, and renewed by nobody
        here.wrong.put(hashed, True)
        raise failed(_unauthenticated())
    here.keys.put(hashed, known)
    here.proven.put(hashed, True)
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
