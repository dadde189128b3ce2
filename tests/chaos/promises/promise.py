"""A promise is a pure function from a history to what broke it; the registry holds them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.history import History

Check = Callable[[History], Iterator["Violation"]]
PROMISES: dict[str, Check] = {}
BOTH_WAYS = ("platform", "escalation")


@dataclass(frozen=True)
class Violation:
    """One broken promise; `promise` is filled in by the registry."""

    words: str
    incident_id: str | None = None
    ref: str | None = None
    promise: str = ""


def promise(name: str) -> Callable[[Check], Check]:
    """Put a check into the registry."""

    def put(check: Check) -> Check:
        PROMISES[name] = check
        return check

    return put


def audit(history: History) -> list[Violation]:
    """Every violation of every promise."""
    return [
        Violation(found.words, found.incident_id, found.ref, name)
        for name, check in PROMISES.items()
        for found in check(history)
    ]
