"""One request to Noonlight Dispatch, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify, lost, object_of, quoted
from shared.providers.base import Account, Call
from shared.providers.http import Answer, AnswerLost, NotSent, exchange, json_bytes
from shared.providers.noonlight.hosts import host_problems

_CONNECT_SECONDS = 3.0


def send(call: Call, account: Account, method: str, path: str, body: object, *, root: str = "dispatch/v1") -> Answer:
    """A request that changes something. Raises NotSent or AnswerLost."""
    return request(call, account, method, path, json_bytes(body), changes=True, root=root)


def request(
    call: Call,
    account: Account,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    changes: bool = False,
    root: str = "dispatch/v1",
) -> Answer:
    """One exchange below `/dispatch/v1`, or below another `root`. Raises NotSent or AnswerLost.

    A token never goes to the other environment's host, however the row came to name it.
    """
    for problem in host_problems(account):
        raise NotSent(problem)
    base = account.base_url.rstrip("/").removesuffix("/dispatch/v1")
    return exchange(
        method,
        f"{base}/{root}/{path}",
        deadline=call.deadline,
        headers={
            "Authorization": f"Bearer {account.credentials.get('token', '')}",
            "Content-Type": "application/json",
        },
        body=body,
        connect_timeout=_CONNECT_SECONDS,
        before_send=call.before_send if changes else None,
    )


def add(call: Call, account: Account, method: str, path: str, body: object) -> Outcome:
    """An addition to an alarm that exists: events, people, a position, a person."""
    try:
        answer = send(call, account, method, path, body)
    except NotSent as error:
        return Temporary(error.reason)
    except AnswerLost as error:
        return lost(error.reason, error.status)
    return Accepted(http_status=answer.status) if 200 <= answer.status < 300 else refused(answer, body)


def refused(answer: Answer, body: object) -> Outcome:
    """A failed change. A 5xx with the documented error body is the provider's own and may be repeated (Errors).

    A bare 5xx is a gateway's: behind it the alarm may have been created.
    """
    common = classify(answer)
    if common is not None:
        return common
    error = object_of(answer)
    if answer.status >= 500:
        if _documented(error, answer.status):
            return Temporary(f"server error: {_words(error, body)}", None, True, answer.status)
        return lost(f"server error (HTTP {answer.status})", answer.status)
    return Permanent(f"refused (HTTP {answer.status}): {_words(error, body)}", http_status=answer.status)


def part(text: str) -> str:
    """An id as one part of a path."""
    return quote(text, safe="")


def _documented(error: Mapping[str, Any], status: int) -> bool:
    code = error.get("code")
    return (
        isinstance(code, int)
        and not isinstance(code, bool)
        and code == status
        and isinstance(error.get("message"), str)
    )


def _words(error: Mapping[str, Any], body: object) -> str:
    parts = [str(error[name]) for name in ("key", "message") if isinstance(error.get(name), str)]
    return quoted(", ".join(parts), body) or "no reason given"
