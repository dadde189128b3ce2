"""An account's options, checked when it is saved: a wrong one would else be found when an alarm fires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Rule = tuple[Callable[[Any], bool], str]


def at_least(least: int) -> Rule:
    """A whole number from `least` on."""
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least, f"a number from {least} on"


def one_of(*words: str) -> Rule:
    """One of these words."""
    return lambda v: v in words, f"one of {', '.join(words)}"


def option_problems(options: Mapping[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    """What is wrong with the options that have a rule; those without one belong to others."""
    return [
        f"option {name} must be {wanted}"
        for name, (fits, wanted) in rules.items()
        if name in options and not fits(options[name])
    ]


TEXT: Rule = (lambda v: isinstance(v, str) and v != "", "a text")
SWITCH: Rule = (lambda v: isinstance(v, bool), "true or false")
TEXTS: Rule = (lambda v: isinstance(v, list) and all(isinstance(text, str) for text in v), "a list of texts")
