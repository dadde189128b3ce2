"""A dispatcher that plays by script: each new alarm that matches is moved through timed steps."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from deploy.sandbox.formats import first_problem, number

Step = dict[str, Any]
Play = Callable[[str, Step], None]


@dataclass(frozen=True)
class Script:
    """Steps for alarms whose fields match; `after_s` counts from the step before (first: from the creation)."""

    match: dict[str, Any]
    steps: list[Step]

    def fits(self, facts: dict[str, Any]) -> bool:
        """Each key is a dotted path into the facts; a string with `*` is an fnmatch pattern."""
        return all(_equal(_dig(facts, path), wanted) for path, wanted in self.match.items())


def read_scripts(document: Any) -> list[Script]:
    """One `{"match"?, "steps"}`, or `{"scripts": [...]}` of which the first that fits is played."""
    if not isinstance(document, dict):
        raise ValueError("a script is an object")
    return [_read(part) for part in document.get("scripts", [document])]


def _read(part: Any) -> Script:
    if not isinstance(part, dict) or not set(part) <= {"match", "steps"}:
        raise ValueError("a script holds steps, and may hold match")
    if not isinstance(part.get("steps"), list):
        raise ValueError("steps is a list")
    for step in part["steps"]:
        if not isinstance(step, dict) or not isinstance(step.get("event"), str):
            raise ValueError("a step names its event")
        if problem := first_problem(number(0, 86_400), step.get("after_s", 0)):
            raise ValueError(f"after_s: {problem}")
    match = part.get("match", {})
    if not isinstance(match, dict):
        raise ValueError("match is an object of dotted paths")
    return Script(match, part["steps"])


def _dig(facts: Any, path: str) -> Any:
    for name in path.split("."):
        facts = facts.get(name) if isinstance(facts, dict) else None
    return facts


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and isinstance(wanted, str) and "*" in wanted:
        return fnmatchcase(value, wanted)
    return bool(value == wanted)


class Player:
    """One thread with an agenda; it calls `play(id, step)` when a step falls due."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._stopped = False
        self._scripts: list[Script] = []
        self._agenda: list[tuple[float, int, str, Step]] = []

    def load(self, scripts: list[Script]) -> None:
        self._scripts = scripts

    def reset(self) -> None:
        with self._wake:
            self._scripts = []
            self._agenda = []

    def script_for(self, facts: dict[str, Any]) -> list[Step]:
        return next((script.steps for script in self._scripts if script.fits(facts)), [])

    def begin(self, alarm: str, steps: list[Step]) -> None:
        """Put every step of a new alarm on the agenda."""
        due = time.monotonic()
        with self._wake:
            for step in steps:
                due += step.get("after_s", 0)
                heapq.heappush(self._agenda, (due, next(self._order), alarm, step))
            self._wake.notify()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            self._play(*entry)

    def _next(self) -> tuple[str, Step] | None:
        with self._wake:
            while not self._stopped:
                wait = self._agenda[0][0] - time.monotonic() if self._agenda else None
                if wait is not None and wait <= 0:
                    _, _, alarm, step = heapq.heappop(self._agenda)
                    return alarm, step
                self._wake.wait(wait)
            return None
