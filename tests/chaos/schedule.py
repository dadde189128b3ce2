"""What is broken when: a seeded row of episodes, in which every fault has its turn and some overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

OVERLAPPING = 0.3


@dataclass(frozen=True)
class Episode:
    """Faults that are held together; each has a seed of its own for what it chooses. `overlap_s` lies between them."""

    number: int
    faults: tuple[str, ...]
    seeds: tuple[int, ...]
    overlap_s: float
    rest_s: float


def episodes(seed: int, families: Mapping[str, str], *, overlapping: float = OVERLAPPING) -> Iterator[Episode]:
    """Endless, and the same for the same seed and faults (with the family of each).

    Like cards: no fault comes again before all have come. Only faults of different families overlap, so that none heals
    what another still holds.
    """
    dice = Random(seed)
    deck: list[str] = []
    number = 0
    while True:
        if not deck:
            deck = list(families)
            dice.shuffle(deck)
        faults = [deck.pop()]
        if dice.random() < overlapping:
            others = [name for name in deck if families[name] != families[faults[0]]]
            for name in others[-1:]:
                deck.remove(name)
                faults.append(name)
        seeds = tuple(dice.randrange(2**32) for _ in faults)
        yield Episode(number, tuple(faults), seeds, dice.random() * 3.0, 0.5 + dice.random() * 2.0)
        number += 1
