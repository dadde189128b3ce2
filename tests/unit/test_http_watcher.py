"""The watcher of exchanges: one thread, and each is cut at its own moment."""

from __future__ import annotations

import threading

from shared.clock import boot_time
from shared.providers.watcher import Watcher


class Call:
    """Notes when it was cut (boot clock, seconds)."""

    def __init__(self, in_s: float) -> None:
        """Over in so many seconds."""
        self.ends = boot_time() + in_s
        self.cut_at = 0.0
        self.over = threading.Event()

    def cut(self) -> None:
        """As a line: not before its time."""
        if boot_time() >= self.ends:
            self.cut_at, self.ends = boot_time(), float("inf")
            self.over.set()


def test_short_call_is_cut_in_time_when_a_long_one_was_there_before() -> None:
    """The watcher sleeps until the first deadline that it knows, and is woken for an earlier one."""
    watcher = Watcher()
    long, short = Call(60.0), Call(0.2)
    due = short.ends
    watcher.watch(long)
    watcher.watch(short)
    assert short.over.wait(10)
    assert short.cut_at >= due
    assert not long.over.is_set()


def test_each_call_is_cut_when_many_end_at_once() -> None:
    """None is forgotten, by one thread for all."""
    watcher = Watcher()
    calls = [Call(0.1 + number / 1_000) for number in range(100)]
    before = threading.active_count()
    for call in calls:
        watcher.watch(call)
    assert threading.active_count() <= before + 1
    assert all(call.over.wait(10) for call in calls)


def test_call_is_left_alone_when_it_was_given_more_time() -> None:
    """A connection that stands has the whole deadline."""
    watcher = Watcher()
    call, next_one = Call(0.05), Call(0.15)
    watcher.watch(call)
    call.ends += 60.0
    watcher.watch(next_one)
    assert next_one.over.wait(10)
    assert not call.over.is_set()


def test_call_is_not_cut_when_it_was_over() -> None:
    """Nobody touches what may have been closed."""
    watcher = Watcher()
    call, next_one = Call(0.05), Call(0.15)
    for one in (call, next_one):
        watcher.watch(one)
    watcher.forget(call)
    assert next_one.over.wait(10)
    assert not call.over.is_set()
