"""AURA's bearer token: fetched once, kept in the store, renewed early, one refresh at a time in a process."""

from __future__ import annotations

import base64
import json
import math
import re
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.clock import boot_time, utc_now
from shared.domain.outcome import Temporary
from shared.providers.answers import classify, object_of
from shared.providers.aura.paths import url
from shared.providers.base import Account, Call, Token
from shared.providers.http import Answer, AnswerLost, NotSent, exchange, json_bytes

_DEFAULT_LIFETIME_S = 300.0
_LONGEST_LIFETIME_S = 7 * 86_400.0
_ABSOLUTE_FROM = 1e9

_locks: dict[str, threading.Lock] = {}


class TokenFailed(Exception):
    """No token was to be had; the call that needed it was not sent."""

    def __init__(self, outcome: Temporary) -> None:
        """Keep the outcome: always worth another try, since the alarm itself is not at fault."""
        super().__init__(outcome.reason)
        self.outcome = outcome


def bearer(call: Call, account: Account) -> str:
    """The kept token, else a new one; waits for a refresh under way, within the deadline. Raises TokenFailed."""
    kept = call.tokens.get(account.id)
    if kept is not None:
        return kept.value
    lock = _locks.setdefault(account.id, threading.Lock())
    if not lock.acquire(timeout=max(0.0, call.deadline - boot_time())):
        raise TokenFailed(Temporary("no token in time"))
    try:
        kept = call.tokens.get(account.id)
        if kept is not None:
            return kept.value
        token = fetch(call, account)
        call.tokens.put(account.id, token)
        return token.value
    finally:
        lock.release()


def fetch(call: Call, account: Account) -> Token:
    """A new token by POST oauth/token with JSON and no grant_type (Create OAuth token). Raises TokenFailed.

    `before_send` is not called.
    """
    names = {"clientId": "client_id", "clientSecret": "client_secret"}
    body = {name: account.credentials.get(key, "") for name, key in names.items()}
    try:
        answer = exchange(
            "POST",
            url(account, "token"),
            deadline=call.deadline,
            headers={"Content-Type": "application/json"},
            body=json_bytes(body),
        )
    except (NotSent, AnswerLost) as error:
        raise TokenFailed(Temporary(f"token: {error.reason}")) from None
    if not 200 <= answer.status < 300:
        common = classify(answer)
        wait = common.retry_after if isinstance(common, Temporary) else None
        refused = answer.status in (400, 401, 403)
        reason = "credentials refused" if refused else f"token: HTTP {answer.status}"
        raise TokenFailed(Temporary(reason, wait, http_status=answer.status))
    return _token(answer)


def _token(answer: Answer) -> Token:
    fields = object_of(answer)
    value = fields.get("accessToken") or fields.get("access_token")
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise TokenFailed(Temporary("token: the answer is unreadable", http_status=answer.status))
    life = lifetime(fields, value, answer)
    # Renewed 60 s early, or a tenth of a short life.
    return Token(value, utc_now() + timedelta(seconds=life - min(60.0, life / 10)))


def lifetime(fields: Mapping[str, Any], value: str, answer: Answer) -> float:
    """Seconds to live: `expiresIn` (above 10^9 an absolute epoch, as in a 2020 guide), else JWT `exp`, else 300."""
    number = _number(fields.get("expiresIn", fields.get("expires_in")))
    if number is None:
        number = _number(_claims(value).get("exp"))
    if number is None:
        return _DEFAULT_LIFETIME_S
    if number > _ABSOLUTE_FROM:
        # An absolute time is on the provider's clock, and so is the answer's Date.
        number -= (answer.date or utc_now()).timestamp()
    return min(max(number, 0.0), _LONGEST_LIFETIME_S)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of a JWT, unverified: we only ask when it ends."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
