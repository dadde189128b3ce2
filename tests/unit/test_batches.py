"""When whoever works the inbox goes on, ends, keeps the bell and calls others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from workers.batches import Batches
from workers.turn import Turn

WHOLE = 10


def drain(found: Sequence[int]) -> tuple[int, int, list[str]]:
    """With so many rows found by each lease, and none after that: rows worked, leases, what the bell was told."""
    left = list(found)
    sizes: list[int] = []
    said: list[str] = []

    def work(most: int) -> int:
        sizes.append(most)
        return left.pop(0) if left else 0

    turn = Turn(renew=lambda: said.append("renew"), call=lambda: said.append("call"))
    return Batches(work, WHOLE, lambda worked: None).drain(turn), len(sizes), said


@pytest.mark.parametrize(
    ("found", "leases", "said"),
    [
        pytest.param([], 1, [], id="nothing"),
        pytest.param([1], 1, ["renew"], id="one alarm is worked without a second look"),
        pytest.param([10, 10, 4], 4, ["call", "call", "renew"], id="a backlog"),
        pytest.param([10, 1, 10, 2], 5, ["call", "renew", "call", "renew"], id="a panic in the midst of a backlog"),
        pytest.param([10, 1, 1, 10], 3, ["call", "renew", "renew"], id="two small batches are its end"),
    ],
)
def test_drain_goes_on_while_there_is_a_backlog(found: list[int], leases: int, said: list[str]) -> None:
    """And calls others only then."""
    worked, took, told = drain(found)
    assert (worked, took, told) == (sum(found[:leases]), leases, said)


def test_nothing_is_leased_when_the_turn_is_over() -> None:
    """Somebody else goes on."""
    batches = Batches(lambda most: pytest.fail("leased"), WHOLE, lambda worked: None)
    assert batches.drain(Turn(ends=0.0)) == 0
