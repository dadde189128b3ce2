"""Routing by the raw path, so that an encoded slash inside a segment stays inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from deploy.sandbox.exchange import Answer

Handler = Callable[..., Answer]


class Route(NamedTuple):
    """A method and a path; `{}` stands for one raw segment, handed over percent-decoded."""

    method: str
    path: str
    handler: Handler

    def match(self, method: str, path: str) -> list[str] | None:
        ours, theirs = self.path.split("/"), path.split("/")
        if method != self.method or len(ours) != len(theirs):
            return None
        if any(a not in {"{}", b} for a, b in zip(ours, theirs, strict=True)):
            return None
        try:
            return [unquote(b, errors="strict") for a, b in zip(ours, theirs, strict=True) if a == "{}"]
        except UnicodeDecodeError:
            return None
