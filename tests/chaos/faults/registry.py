"""All that may be broken, by name: each fault starts, is held for a while, and is healed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from tests.chaos.rig import Rig

BOTH_WAYS = ("platform", "escalation")
Story = Callable[[Rig, Random], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """One way to break things. Entering `begin` starts it, leaving heals it.

    `hold_s` is how long it lasts in a long run, `brief_s` in a short one. `silences` names the ways by which nobody
    can be told anything while it lasts: what comes late by them is not held against the system.
    """

    name: str
    family: str
    begin: Callable[[Rig, Random], AbstractContextManager[None]]
    hold_s: float
    brief_s: float
    silences: tuple[str, ...]


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, family: str, *, hold_s: float = 6.0, brief_s: float = 3.0, silences: tuple[str, ...] = ()
) -> Callable[[Story], Story]:
    """Put a generator that breaks, yields and heals into the registry."""

    def put(story: Story) -> Story:
        register(name, family, story, hold_s=hold_s, brief_s=brief_s, silences=silences)
        return story

    return put


def register(
    name: str, family: str, story: Story, *, hold_s: float, brief_s: float, silences: tuple[str, ...] = ()
) -> None:
    """The same for a fault whose name is made."""
    assert name not in FAULTS, name
    FAULTS[name] = Fault(name, family, contextmanager(story), hold_s, brief_s, silences)
