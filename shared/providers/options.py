"""An account's options, checked when it is saved: a wrong one would else be found when an alarm fires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shared.domain.cadence import Cadence

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


def seconds_from(least: float) -> Rule:
    """A number of seconds from `least` on."""
    return (
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and least <= v <= 10_000_000,
        f"seconds from {least:g} on",
    )


def is_report_template(value: Any) -> bool:
    """Whether an option is a web address with the place of the provider's alarm id."""
    return isinstance(value, str) and value.startswith(("https://", "http://")) and "{id}" in value


# Of every provider: how open alarms are followed, and where a report is found.
FOLLOWING: dict[str, Rule] = {
    "poll_s": seconds_from(5),
    "poll_hooked_s": seconds_from(5),
    "poll_later_s": seconds_from(5),
    "poll_later_after_s": seconds_from(0),
    "poll_told_after_s": seconds_from(60),
    "report_url_template": (is_report_template, "a web address that holds {id}"),
}
TEXT: Rule = (lambda v: isinstance(v, str) and v != "", "a text")
SWITCH: Rule = (lambda v: isinstance(v, bool), "true or false")
TEXTS: Rule = (lambda v: isinstance(v, list) and all(isinstance(text, str) for text in v), "a list of texts")


def tuned(advised: Cadence, options: Mapping[str, Any]) -> Cadence:
    """A provider's cadence with what an account's options (`FOLLOWING`) say otherwise."""
    return replace(
        advised,
        every_s=options.get("poll_s", advised.every_s),
        hooked_s=options.get("poll_hooked_s", advised.hooked_s),
        later_s=options.get("poll_later_s", advised.later_s),
        later_after_s=options.get("poll_later_after_s", advised.later_after_s),
        told_after_s=options.get("poll_told_after_s", advised.told_after_s),
    )
