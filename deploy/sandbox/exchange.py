"""A request as it came over the wire, and an answer as it goes out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Request:
    """`path` is raw, as sent; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The parsed body; ValueError for anything that is not UTF-8 JSON, NaN and bottomless nesting included."""
        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class Answer:
    """Status, headers and a body: a string goes out as it is, everything else as JSON, None as nothing."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def raw(self, now: float, missing: int = 0) -> bytes:
        """The bytes of the whole answer; `missing` bytes are promised in Content-Length and left out."""
        body = self._body_bytes()
        headers = {"Date": formatdate(now, usegmt=True), "Content-Type": self._content_type()}
        if self.status not in {204, 304}:
            headers["Content-Length"] = str(len(body) + missing)
        headers.update(self.headers)
        head = f"HTTP/1.1 {self.status} {_reason(self.status)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return head.encode("latin-1") + b"\r\n" + body

    def _body_bytes(self) -> bytes:
        if self.body is None or self.status in {204, 304}:
            return b""
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False).encode()

    def _content_type(self) -> str:
        is_page = isinstance(self.body, str) and not self.body.lstrip().startswith(("{", "["))
        return "text/html; charset=utf-8" if is_page else "application/json; charset=utf-8"


def frozen(document: Any) -> Any:
    """A copy that no later event changes while it is on its way out."""
    return json.loads(json.dumps(document))


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unassigned"


class RefusedError(Exception):
    """The request is refused with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with {answer.status}")
        self.answer = answer
