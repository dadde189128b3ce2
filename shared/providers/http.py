"""The HTTP client, once, for everyone: `requests` with a hard deadline, a cap, and an honest word on what arrived."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

__all__ = [
    "AddressRefused",
    "Answer",
    "AnswerLost",
    "Guard",
    "NotSent",
    "Stream",
    "exchange",
    "json_bytes",
    "multipart",
    "stream",
]

DEFAULT_CAP = 1_000_000
CONNECT_SECONDS = 5.0
_CHUNK = 16_384
_STREAM_CHUNK = 65_536


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
            failure = _failure(line, error, status)
        finally:
            adapter.close()
    # Outside of the handler, so that no chained exception carries a host or a path into a traceback.
    raise failure


class Stream:
    """An answer that is read while it arrives: status and headers stand, the body comes in pieces."""

    def __init__(self, line: Line, response: Response, cap: int) -> None:
        """Read from an open response; made by `stream` only."""
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.date = _date(response.headers.get("Date"))
        self._line = line
        self._cap = cap
        self._pieces = response.iter_content(_STREAM_CHUNK)
        self._size = 0

    def pieces(self) -> Iterator[bytes]:
        """The body, decoded. Raises AnswerLost unless its very end was seen."""
        while True:
            piece, failure = self._next()
            if failure is not None:
                raise failure
            if not piece:
                return
            yield piece

    def _next(self) -> tuple[bytes, AnswerLost | None]:
        try:
            piece = next(self._pieces, b"")
        except Exception as error:  # noqa: BLE001 - as in exchange
            return b"", AnswerLost(_lost_words(self._line, error), self.status)
        self._size += len(piece)
        if self._size > self._cap:
            return b"", AnswerLost("the answer is too long", self.status)
        # The watcher's cut looks like the regular end of a body without a length.
        if not piece and (self._line.expired or boot_time() >= self._line.deadline):
            return b"", AnswerLost("no answer in time", self.status)
        return piece, None


@contextmanager
def stream(
    method: str,
    url: str,
    *,
    deadline: float,
    idle_s: float,
    cap: int,
    headers: Mapping[str, str] | None = None,
    connect_timeout: float = CONNECT_SECONDS,
    guard: Guard | None = None,
    ca_file: str | None = None,
) -> Iterator[Stream]:
    """One request without a body, whose answer is read in pieces: for listings, which fit into no memory.

    As `exchange`, except that the wait for each byte is bounded too: after `idle_s` seconds without one the answer is
    lost. Time that the reader spends between two pieces counts against `deadline` only. Raises NotSent, AnswerLost.
    """
    if boot_time() >= deadline:
        raise NotSent("the deadline passed before the request was sent")
    request = _request(method, url, headers or {}, None)
    line = Line(deadline, connect_timeout, None, guard, ca_file)
    with line:
        adapter = OneShot(line)
        try:
            response, failure = _open(adapter, request, line, idle_s)
            if failure is not None:
                raise failure
            assert response is not None
            with response:
                yield Stream(line, response, cap)
        finally:
            adapter.close()


def _open(adapter: OneShot, request: Any, line: Line, idle_s: float) -> tuple[Response | None, BaseException | None]:
    left = max(0.001, line.deadline - boot_time())
    try:
        return adapter.send(request, stream=True, timeout=(left, min(left, idle_s))), None
    except NotSent as error:
        return None, error
    except SendForbidden as error:
        return None, error.cause
    except Exception as error:  # noqa: BLE001 - as in exchange
        return None, _failure(line, error, 0)


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8, as every body of ours is sent. Raises ValueError for NaN and lone surrogates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def multipart(fields: Mapping[str, str], file: tuple[str, str, str], content: bytes) -> tuple[str, bytes]:
    """Content type and body of a form (RFC 7578) with one file: `file` is the part's name, file name and type."""
    boundary = secrets.token_hex(16)
    name, file_name, file_type = file
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"\r\n\r\n{value}\r\n'.encode()
        for field_name, value in fields.items()
    ]
    disposition = f'form-data; name="{name}"; filename="{file_name}"'
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {file_type}\r\n\r\n"
    return (
        f"multipart/form-data; boundary={boundary}",
        b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]),
    )


def _failure(line: Line, error: Exception, status: int) -> NotSent | AnswerLost:
    return AnswerLost(_lost_words(line, error), status) if line.sending else NotSent("not sent")


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Any:
    fixed = {"User-Agent": "tocsin", "Accept": "application/json", "Connection": "close"}
    try:
        for name, value in headers.items():
            value.encode("latin-1")  # what http.client would find out only after the connection stands
            if "\x00" in name + value:  # what it would not find out at all
                raise NotSent("the address or a header is malformed")
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
