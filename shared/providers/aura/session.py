"""One authorised exchange with AURA: the token, the call, and once more with a new token after a 401."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.providers.aura.paths import url
from shared.providers.aura.token import bearer
from shared.providers.base import Account, Call
from shared.providers.http import DEFAULT_CAP, Answer, Stream, exchange, json_bytes, stream


def send(
    call: Call,
    account: Account,
    method: str,
    path: str,
    body: object = None,
    *,
    cap: int = DEFAULT_CAP,
    query: str = "",
    raw: tuple[str, bytes] | None = None,
    **parts: str,
) -> Answer:
    """The answer of one call, `path` being a name of `paths.DEFAULTS`. Raises TokenFailed, NotSent, AnswerLost.

    A 401 means that the call was not worked: the token is dropped and the call repeated, once. `before_send` runs
    before each send of a call that changes something. `raw` is a content type and a body other than JSON.
    """
    kind, content = raw or ("application/json", None if method in ("GET", "DELETE") else json_bytes(body))
    answer = None
    for _ in range(2):
        token = bearer(call, account)
        answer = exchange(
            method,
            url(account, path, **parts) + query,
            deadline=call.deadline,
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
            body=content,
            cap=cap,
            before_send=None if method == "GET" else call.before_send,
        )
        if answer.status != 401:
            break
        call.tokens.drop(account.id, token)
    assert answer is not None
    return answer


@contextmanager
def receive(call: Call, account: Account, path: str, *, cap: int, query: str = "") -> Iterator[Stream]:
    """The answer of a GET as a stream; after a 401 once more with a new token. Raises as `send`, and while it is read.

    The second answer is given as it is: a 401 again is the reader's to judge.
    """
    token = bearer(call, account)
    for again in (True, False):
        headers = {"Authorization": f"Bearer {token}"}
        where = url(account, path) + query
        with stream("GET", where, deadline=call.deadline, idle_s=call.idle_s, cap=cap, headers=headers) as answer:
            if answer.status != 401 or not again:
                yield answer
                return
        call.tokens.drop(account.id, token)
        token = bearer(call, account)
