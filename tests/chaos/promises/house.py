"""The house is in order afterwards: nothing is stuck, nothing leaks, and nothing personal lies about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import median

from tests.chaos.history import History
from tests.chaos.promises.promise import Violation, promise
from tests.chaos.vitals import Sample
from tests.e2e.test_privacy import leaks

# A process is judged when it lived so long after its warm-up, in seconds.
WARM_UP_S = 60.0
LIVED_S = 240.0
GROWTH_BYTES = 30_000_000
GROWTH_FILES = 40
SHOWN = 3


@promise("nothing is stuck")
def nothing_stuck(history: History) -> Iterator[Violation]:
    """Every living incident has a next step, and no row waits that is due."""
    for words in history.stuck:
        found = re.search(r"inc_[0-9a-f]+", words)
        yield Violation(words, found.group() if found else None)


@promise("nothing personal or secret in Redis or in a log")
def nothing_personal(history: History) -> Iterator[Violation]:
    """Not one of the words that the alarms carried, nor a credential."""
    for place, text in history.texts.items():
        for excerpt in leaks(text, list(history.words))[:SHOWN]:
            yield Violation(f"{place} holds a personal word or a secret: ...{excerpt!r}")


@promise("no connection leaks")
def no_connection_leaks(history: History) -> Iterator[Violation]:
    """No kind of process has more connections than its pools may have, and no transaction was forgotten."""
    for name, count in history.connections.items():
        allowed = history.connections_allowed.get(name, 0)
        if count > allowed:
            yield Violation(f"{name} has {count} connections, and {allowed} are enough")
    if history.idle_in_transaction:
        yield Violation(f"{history.idle_in_transaction} connections are idle in a transaction")


@promise("no memory and no files leak")
def no_growth(history: History) -> Iterator[Violation]:
    """A process that lived for minutes after its warm-up is not larger at the end than in the middle of its life."""
    lives: dict[tuple[str, int], list[Sample]] = {}
    for sample in history.samples:
        lives.setdefault((sample.name, sample.pid), []).append(sample)
    for (name, _), samples in lives.items():
        settled = [one for one in samples if one.at >= samples[0].at + WARM_UP_S]
        if not settled or settled[-1].at - settled[0].at < LIVED_S:
            continue
        third = len(settled) // 3
        early, late = settled[:third], settled[-third:]
        grown = median(one.rss for one in late) - median(one.rss for one in early)
        opened = median(one.files for one in late) - median(one.files for one in early)
        minutes = (settled[-1].at - settled[0].at) / 60
        if grown > GROWTH_BYTES:
            yield Violation(f"{name} grew by {grown / 1e6:.0f} MB in {minutes:.0f} minutes")
        if opened > GROWTH_FILES:
            yield Violation(f"{name} has {opened:.0f} more files open after {minutes:.0f} minutes")
