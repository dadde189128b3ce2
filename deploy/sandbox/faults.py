"""Misbehaviour on command: what `POST /_control` sets, and which rule takes hold of which request.

A rule's `path` is compared with the raw path (still percent-encoded, without the query): equal as a whole,
or, where it holds a `*`, as an fnmatch pattern whose `*` also crosses slashes. `method` narrows it; without
`times` it holds for ever. A hang does the work after the wait, also when the peer has gone by then; `"work":
"before"` does it first, and `"never"` ends in a closed connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from deploy.sandbox.formats import Check, first_problem, integer, number, one_of, record, text

Kind = Literal["fail", "hang", "drop_answer", "drip", "truncate"]


def _anything(value: Any, path: str) -> Iterator[str]:
    yield from ()


_SECONDS = number(0, 86_400)
_COMMON: dict[str, Check] = {"method": one_of("GET", "POST", "PUT", "DELETE"), "times": integer}
_RULES: dict[Kind, Check] = {
    "fail": record({"path": text(), "status": number(200, 599)}, {**_COMMON, "headers": _anything, "body": _anything}),
    "hang": record({"path": text(), "seconds": _SECONDS}, {**_COMMON, "work": one_of("before", "after", "never")}),
    "drop_answer": record({"path": text()}, _COMMON),
    "drip": record({"path": text(), "seconds": _SECONDS}, _COMMON),
    "truncate": record({"path": text()}, _COMMON),
}


@dataclass
class Rule:
    """One misbehaviour; `times` counts down, None is for ever."""

    path: str
    method: str | None = None
    times: int | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""
    seconds: float = 0.0
    work: str = "after"

    def takes(self, method: str, path: str) -> bool:
        if self.times == 0 or self.method not in {None, method}:
            return False
        return self.path == path or ("*" in self.path and fnmatchcase(path, self.path))


class Faults:
    """The rules in force at one service, safe for its many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self._rules: dict[Kind, list[Rule]] = {kind: [] for kind in _RULES}
        self.latency_ms = 0.0

    def set(self, name: str, value: Any) -> bool:
        """Replace one setting. False when the name is not a fault's; ValueError when the value is wrong."""
        if name == "latency_ms":
            if problem := first_problem(number(0, 3_600_000), value):
                raise ValueError(f"latency_ms: {problem}")
            self.latency_ms = value
            return True
        for kind, check in _RULES.items():
            if kind == name:
                self._replace(kind, check, value)
                return True
        return False

    def _replace(self, kind: Kind, check: Check, value: Any) -> None:
        if not isinstance(value, list):
            raise ValueError(f"{kind} should be a list of rules")
        for rule in value:
            if problem := first_problem(check, rule):
                raise ValueError(f"{kind}: {problem}")
        with self._lock:
            self._rules[kind] = [Rule(**rule) for rule in value]

    def take(self, kind: Kind, method: str, path: str) -> Rule | None:
        """The first rule of that kind for this request; one of its `times` is used up."""
        with self._lock:
            for rule in self._rules[kind]:
                if rule.takes(method, path):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return None

    def as_json(self) -> dict[str, Any]:
        with self._lock:
            rules: dict[str, Any] = {k: [asdict(rule) for rule in rules] for k, rules in self._rules.items()}
        return {"latency_ms": self.latency_ms, **rules}
