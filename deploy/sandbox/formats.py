"""Checks of JSON shapes: each takes a value and its path and yields what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any, str], Iterator[str]]


def text(pattern: str | None = None, says: str = "should be a non-empty string") -> Check:
    """A string that is not blank, and matches the pattern as a whole."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str) or not value.strip():
            yield f"{path} should be a non-empty string"
        elif pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
            yield f"{path} {says}"

    return check


def one_of(*allowed: str) -> Check:
    """One of a closed set of strings."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str) or value not in allowed:
            yield f"{path} should be one of {', '.join(allowed)}"

    return check


def number(low: float, high: float) -> Check:
    """A JSON number (never a boolean) in a range."""

    def check(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path} should be number"
        elif not low <= value <= high:
            yield f"{path} should be between {low} and {high}"

    return check


def decimal_text(low: float, high: float) -> Check:
    """A number written as a string, as AURA wants its coordinates."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,3}(\.\d+)?", value, re.ASCII):
            yield f"{path} must be a string that holds a decimal number"
        elif not low <= float(value) <= high:
            yield f"{path} must be between {low} and {high}"

    return check


def integer(value: Any, path: str) -> Iterator[str]:
    """A JSON integer of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        yield f"{path} should be integer"


def boolean(value: Any, path: str) -> Iterator[str]:
    """True or false, and not a word for it."""
    if not isinstance(value, bool):
        yield f"{path} should be boolean"


def array(item: Check) -> Check:
    """A list of one or more."""

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, list) or not value:
            yield f"{path} should be a non-empty array"
            return
        for index, element in enumerate(value):
            yield from item(element, f"{path}[{index}]")

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these keys and no other."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path} should be object"
            return
        for name in required:
            if name not in value:
                yield f"{path} should have required property '{name}'"
        for name, element in value.items():
            if name in known:
                yield from known[name](element, f"{path}.{name}")
            else:
                yield f"{path} should not have additional properties ('{name}')"

    return check


def first_problem(check: Check, value: Any) -> str | None:
    """The first thing that is wrong, or None."""
    return next(check(value, "data"), None)
