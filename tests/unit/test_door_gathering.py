"""Deliveries that share a commit: in order, each with the answer to its own rows, and none left waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.store.reception import Delivery
from webhooks_app.database import LEAST_S, DatabaseAway
from webhooks_app.gathering import Gathering

WITHIN_S = 5.0


class RowRefused(Exception):
    """What the fake database says of a poisonous row."""


def row(name: str, body: bytes = b"sealed") -> Delivery:
    """An event of some delivery."""
    return Delivery("p", "a", name, name, name, None, body)


class Disk:
    """Stores rows all or none, refuses those named poison, and can be made to wait."""

    def __init__(self) -> None:
        """Open, and never away."""
        self.groups: list[list[str]] = []
        self.holds: list[float] = []
        self.opened = threading.Event()
        self.opened.set()
        self.begun = threading.Semaphore(0)
        self.fault: Callable[[Sequence[Delivery]], Exception | None] = lambda rows: None

    def commit(self, rows: Sequence[Delivery], hold_s: float) -> None:
        """As `callbacks.store`."""
        self.holds.append(hold_s)
        self.begun.release()
        assert self.opened.wait(WITHIN_S)
        fault = self.fault(rows)
        if fault is not None:
            raise fault
        if any("poison" in str(one.event_id) for one in rows):
            raise RowRefused
        self.groups.append([str(one.event_id) for one in rows])

    @property
    def stored(self) -> list[str]:
        """What is on disk, in order."""
        return [name for group in self.groups for name in group]


def run(story: Callable[[Gathering, Disk], Coroutine[Any, Any, None]], **limits: int) -> None:
    """Play a story on a loop of its own."""
    disk = Disk()

    async def play() -> None:
        await asyncio.wait_for(story(Gathering(disk.commit, hold_s=3.0, **limits), disk), WITHIN_S)

    asyncio.run(play())


async def in_flight(gathered: Gathering, disk: Disk) -> asyncio.Task[None]:
    """A first delivery whose commit has begun and cannot end."""
    disk.opened.clear()
    first = asyncio.create_task(gathered.store([row("first")]))
    await asyncio.to_thread(disk.begun.acquire)
    return first


async def waiting(gathered: Gathering, *deliveries: Sequence[Delivery]) -> list[asyncio.Task[None]]:
    """Deliveries that found a commit in flight."""
    tasks = [asyncio.create_task(gathered.store(rows)) for rows in deliveries]
    await asyncio.sleep(0)
    return tasks


def test_deliveries_share_the_next_commit_when_one_is_in_flight() -> None:
    """In order of arrival; the first one waited for nobody."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        others = await waiting(gathered, [row("a"), row("b")], [row("c")])
        assert not first.done()
        disk.opened.set()
        await asyncio.gather(first, *others)
        assert disk.groups == [["first"], ["a", "b", "c"]]

    run(story)


def test_nobody_is_answered_before_the_commit() -> None:
    """Law 1."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        (other,) = await waiting(gathered, [row("a")])
        done, _ = await asyncio.wait([first, other], timeout=0.05)
        assert not done
        disk.opened.set()
        await asyncio.gather(first, other)

    run(story)


def test_neighbours_are_stored_when_one_delivery_is_refused() -> None:
    """Its own sender hears of it, and nobody else."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        others = await waiting(gathered, [row("a")], [row("b"), row("poison")], [row("c")])
        disk.opened.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert [type(answer) for answer in answers] == [type(None), type(None), RowRefused, type(None)]
        assert disk.stored == ["first", "a", "c"]

    run(story)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_each_sender_hears_of_its_own_rows(poisonous: list[bool]) -> None:
    """Whichever of them are refused; the others keep their order."""
    names = [f"{'poison' if bad else 'good'}-{number}" for number, bad in enumerate(poisonous)]

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        others = await waiting(gathered, *([row(name)] for name in names))
        disk.opened.set()
        await first
        answers = await asyncio.gather(*others, return_exceptions=True)
        assert [isinstance(answer, RowRefused) for answer in answers] == poisonous
        assert disk.stored[1:] == [name for name in names if name.startswith("good")]

    run(story)


def test_everybody_is_told_when_the_database_is_away() -> None:
    """Those of the group and those behind it, without a try for each; later ones are served again."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        disk.fault = lambda rows: DatabaseAway()
        first = await in_flight(gathered, disk)
        others = await waiting(gathered, *([row(f"r{number}")] for number in range(50)))
        disk.opened.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert all(isinstance(answer, DatabaseAway) for answer in answers)
        assert len(disk.holds) == 2
        disk.fault = lambda rows: None
        await gathered.store([row("back")])
        assert disk.stored == ["back"]

    run(story)


def test_hold_of_a_group_counts_from_its_oldest_delivery() -> None:
    """Who waited behind another commit is not held for the whole time once more."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        (other,) = await waiting(gathered, [row("a")])
        await asyncio.sleep(0.2)
        disk.opened.set()
        await asyncio.gather(first, other)
        assert LEAST_S < disk.holds[1] < disk.holds[0] - 0.15

    run(story)


def test_others_are_answered_when_a_sender_went_away() -> None:
    """Its rows are stored all the same, as they would be for a sender whose line drops after the commit."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        gone, stays = await waiting(gathered, [row("gone")], [row("stays")])
        gone.cancel()
        disk.opened.set()
        await asyncio.gather(first, stays)
        assert disk.stored == ["first", "gone", "stays"]

    run(story)


def test_delivery_is_refused_at_once_when_too_much_waits() -> None:
    """Memory is bounded, and there is room again when the commits go on."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        big = [row("big", b"x" * 8_000)]
        (taken,) = await waiting(gathered, big)
        with pytest.raises(DatabaseAway):
            await gathered.store(big)
        disk.opened.set()
        await asyncio.gather(first, taken)
        await gathered.store(big)
        assert disk.stored == ["first", "big", "big"]

    run(story, waiting_bytes=10_000)


def test_group_ends_at_the_size_of_a_statement() -> None:
    """A delivery is never cut, and one that is larger than a group goes alone."""

    async def story(gathered: Gathering, disk: Disk) -> None:
        first = await in_flight(gathered, disk)
        many = [row(f"m{number}") for number in range(5)]
        others = await waiting(gathered, [row("a"), row("b")], [row("c"), row("d")], many, [row("e")])
        disk.opened.set()
        await asyncio.gather(first, *others)
        assert [len(group) for group in disk.groups] == [1, 2, 2, 5, 1]

    run(story, group_events=3)
