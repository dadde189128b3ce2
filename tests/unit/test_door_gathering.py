"""Items that share a commit: in order, each with its own answer, and none left waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhooks_app.database import LEAST_S, DatabaseAway
from webhooks_app.gathering import Gathering

WITHIN_S = 5.0


class Disk:
    """Stores names in groups and answers each in capitals; can be made to wait, and to fail."""

    def __init__(self) -> None:
        """Open, and never away."""
        self.groups: list[list[str]] = []
        self.holds: list[float] = []
        self.opened = threading.Event()
        self.opened.set()
        self.begun = threading.Semaphore(0)
        self.fault: Callable[[str], Exception | None] = lambda name: None

    def store(self, names: Sequence[str], hold_s: float) -> list[str | Exception]:
        """What `Gathering` calls."""
        self.holds.append(hold_s)
        self.begun.release()
        assert self.opened.wait(WITHIN_S)
        faults = [self.fault(name) for name in names]
        away = [fault for fault in faults if isinstance(fault, DatabaseAway)]
        if away:
            raise away[0]
        self.groups.append([name for name, fault in zip(names, faults, strict=True) if fault is None])
        return [fault or name.upper() for name, fault in zip(names, faults, strict=True)]


def put(gathering: Gathering[str, str], name: str, size: int = 1) -> Future[str]:
    """Have a name stored."""
    promise: Future[str] = Future()
    gathering.put(name, size, 3.0, promise)
    return promise


def in_flight(gathering: Gathering[str, str], disk: Disk) -> Future[str]:
    """A first name whose commit has begun and cannot end."""
    disk.opened.clear()
    first = put(gathering, "first")
    assert disk.begun.acquire(timeout=WITHIN_S)
    return first


def test_items_share_the_next_commit_when_one_is_in_flight() -> None:
    """In order of arrival; the first one waited for nobody, and nobody is answered before his commit."""
    disk = Disk()
    gathering = Gathering(disk.store)
    first = in_flight(gathering, disk)
    others = [put(gathering, name) for name in "abc"]

    assert not any(promise.done() for promise in [first, *others])
    disk.opened.set()
    assert [promise.result(WITHIN_S) for promise in [first, *others]] == ["FIRST", "A", "B", "C"]
    assert disk.groups == [["first"], ["a", "b", "c"]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_each_hears_of_his_own_item(poisonous: list[bool]) -> None:
    """Whichever of them are refused; the others keep their order."""
    disk = Disk()
    gathering = Gathering(disk.store)
    first = in_flight(gathering, disk)
    names = [f"{'poison' if bad else 'good'}-{number}" for number, bad in enumerate(poisonous)]
    disk.fault = lambda name: ValueError(name) if "poison" in name else None
    promises = [put(gathering, name) for name in names]
    disk.opened.set()

    first.result(WITHIN_S)
    for name, promise in zip(names, promises, strict=True):
        fault = promise.exception(WITHIN_S)
        assert str(fault) == name if "poison" in name else promise.result() == name.upper()
    assert disk.groups[1] == [name for name in names if "good" in name]


def test_everybody_is_told_when_the_database_is_away() -> None:
    """The group at once, each with an error of his own; later ones are served again."""
    disk = Disk()
    gathering = Gathering(disk.store)
    first = in_flight(gathering, disk)
    disk.fault = lambda name: DatabaseAway()
    others = [put(gathering, str(number)) for number in range(50)]
    disk.opened.set()

    faults = [promise.exception(WITHIN_S) for promise in [first, *others]]
    assert all(isinstance(fault, DatabaseAway) for fault in faults)
    assert len(set(map(id, faults[1:]))) == 50
    assert len(disk.holds) == 2
    disk.fault = lambda name: None
    assert put(gathering, "back").result(WITHIN_S) == "BACK"


def test_everybody_is_told_when_the_answers_are_too_few() -> None:
    """A fault of ours leaves nobody waiting, and the thread goes on."""
    gathering: Gathering[str, str] = Gathering(lambda names, hold_s: [])

    assert isinstance(put(gathering, "a").exception(WITHIN_S), ValueError)
    assert isinstance(put(gathering, "b").exception(WITHIN_S), ValueError)


def test_hold_of_a_group_counts_from_its_oldest_item() -> None:
    """Who waited behind another commit is not held for the whole time once more."""
    disk = Disk()
    gathering = Gathering(disk.store)
    first = in_flight(gathering, disk)
    other = put(gathering, "a")
    assert not threading.Event().wait(0.2)
    disk.opened.set()

    assert (first.result(WITHIN_S), other.result(WITHIN_S)) == ("FIRST", "A")
    assert LEAST_S < disk.holds[1] < disk.holds[0] - 0.15


def test_others_are_answered_when_a_sender_went_away() -> None:
    """His item is stored all the same, as for a sender whose line drops after the commit."""
    disk = Disk()
    gathering = Gathering(disk.store)
    first = in_flight(gathering, disk)
    gone, stays = put(gathering, "gone"), put(gathering, "stays")
    gone.cancel()
    disk.opened.set()

    assert (first.result(WITHIN_S), stays.result(WITHIN_S)) == ("FIRST", "STAYS")
    assert disk.groups == [["first"], ["gone", "stays"]]


def test_item_is_refused_at_once_when_too_much_waits() -> None:
    """Memory is bounded, and there is room again when the commits go on."""
    disk = Disk()
    gathering = Gathering(disk.store, waiting_bytes=10)
    first = in_flight(gathering, disk)
    taken = put(gathering, "taken", size=8)
    with pytest.raises(DatabaseAway):
        put(gathering, "refused", size=8)
    disk.opened.set()

    assert (first.result(WITHIN_S), taken.result(WITHIN_S)) == ("FIRST", "TAKEN")
    assert put(gathering, "again", size=8).result(WITHIN_S) == "AGAIN"


def test_group_is_closed_when_it_is_full() -> None:
    """A long queue becomes several statements; what is larger than a group goes alone."""
    disk = Disk()
    gathering = Gathering(disk.store, group_bytes=3)
    first = in_flight(gathering, disk)
    promises = [put(gathering, name, size) for name, size in [("a", 2), ("b", 2), ("c", 9), ("d", 1), ("e", 1)]]
    disk.opened.set()

    assert [promise.result(WITHIN_S) for promise in [first, *promises]] == ["FIRST", "A", "B", "C", "D", "E"]
    assert disk.groups == [["first"], ["a", "b"], ["c"], ["d", "e"]]
