"""The HTTP client, once, for everyone: `requests` with a hard deadline, a cap, and an honest word on what arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

from requests import Request, RequestException, Response
from urllib3.exceptions import HTTPError, InvalidChunkLength, ReadTimeoutError
from urllib3.exceptions import IncompleteRead as BodyIncomplete

from shared.clock import boot_time
from shared.providers.guard import Guard
from shared.providers.wire import AddressRefused, Line, NotSent, OneShot, SendForbidden

__all__ = ["AddressRefused", "Answer", "AnswerLost", "Guard", "NotSent", "exchange", "json_bytes"]

DEFAULT_CAP = 1_000_000
CONNECT_SECONDS = 5.0
_CHUNK = 16_384


class AnswerLost(Exception):
    """The request may have arrived and a whole answer did not come back.

    The text names a reason in fixed words: no URL, header or body. `status` is the HTTP status where one was read,
    else 0.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        """Keep reason and status."""
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are case-insensitive; `date` is the sender's own clock (HTTP `Date`), aware UTC."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    date: datetime | None


def exchange(
    method: str,
    url: str,
    *,
    deadline: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    connect_timeout: float = CONNECT_SECONDS,
    cap: int = DEFAULT_CAP,
    before_send: Callable[[], None] | None = None,
    guard: Guard | None = None,
    ca_file: str | None = None,
) -> Answer:
    """One request and its whole answer on a connection of its own.

    `deadline` (boot clock, seconds) ends everything; `connect_timeout` (seconds) ends DNS, TCP and TLS; `cap` limits
    the decoded answer in bytes. Redirects are answers like any other, and proxies of the environment are not read.

    `before_send` runs once connected and before the first byte; what it raises travels out unchanged, and nothing was
    sent. Raises NotSent when nothing left (AddressRefused when the guard forbade it), AnswerLost when the request may
    have arrived.
    """
    if boot_time() >= deadline:
        raise NotSent("the deadline passed before the request was sent")
    request = _request(method, url, headers or {}, body)
    line = Line(deadline, connect_timeout, before_send, guard, ca_file)
    failure: BaseException
    status = 0
    with line:
        adapter = OneShot(line)
        try:
            left = max(0.001, deadline - boot_time())
            with adapter.send(request, stream=True, timeout=(left, left)) as response:
                status = response.status_code
                return _read(line, response, cap)
        except (NotSent, AnswerLost) as error:
            failure = error
        except SendForbidden as error:
            failure = error.cause
        except Exception as error:  # noqa: BLE001 - an answer that cannot even be read is a lost one
            failure = AnswerLost(_lost_words(line, error), status) if line.sending else NotSent("not sent")
        finally:
            adapter.close()
    # Outside of the handler, so that no chained exception carries a host or a path into a traceback.
    raise failure


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8, as every body of ours is sent. Raises ValueError for NaN and lone surrogates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Any:
    fixed = {"User-Agent": "tocsin", "Accept": "application/json", "Connection": "close"}
    try:
        for value in headers.values():
            value.encode("latin-1")  # what http.client would find out only after the connection stands
        return Request(method, url, headers={**fixed, **headers}, data=body).prepare()
    except (RequestException, ValueError):
        pass
    raise NotSent("the address or a header is malformed")


def _read(line: Line, response: Response, cap: int) -> Answer:
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(_CHUNK):
        size += len(chunk)
        if size > cap:
            raise AnswerLost("the answer is too long", response.status_code)
        chunks.append(chunk)
    # The watcher's cut looks like the regular end of a body without a length.
    if line.expired or boot_time() >= line.deadline:
        raise AnswerLost("no answer in time", response.status_code)
    return Answer(response.status_code, response.headers, b"".join(chunks), _date(response.headers.get("Date")))


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _lost_words(line: Line, error: Exception) -> str:
    """Read the inner exception: requests' outer ones say "connection error" to everything."""
    chain = list(_chain(error))
    if line.expired or any(isinstance(e, (TimeoutError, ReadTimeoutError)) for e in chain):
        return "no answer in time"
    if any(isinstance(e, RemoteDisconnected) for e in chain):
        return "closed without an answer"
    if any(isinstance(e, (IncompleteRead, BodyIncomplete, InvalidChunkLength)) for e in chain):
        return "the answer was cut"
    if any(isinstance(e, (ConnectionError, OSError)) and not isinstance(e, RequestException) for e in chain):
        return "connection reset"
    if any(isinstance(e, (HTTPError, RequestException)) for e in chain):
        return "the answer is unreadable"
    return f"the answer is unreadable ({type(error).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and everything that it wraps: `args` (requests), `reason` (urllib3), cause and context."""
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            todo += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
