"""The row of episodes."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from tests.chaos.faults.all import FAULTS
from tests.chaos.running import families
from tests.chaos.schedule import episodes


def test_schedule_is_the_same_for_the_same_seed() -> None:
    """And another one for another seed."""
    first, again, other = (list(islice(episodes(seed, families()), 50)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_each_fault_has_its_turn_before_any_comes_again() -> None:
    """However many overlap."""
    dealt = [name for episode in islice(episodes(3, families()), 200) for name in episode.faults]
    assert set(Counter(dealt[: len(FAULTS)]).values()) == {1}
    assert set(dealt) == set(FAULTS)


def test_only_faults_of_different_families_overlap() -> None:
    """What one heals another would still hold."""
    together = [episode.faults for episode in islice(episodes(5, families()), 300) if len(episode.faults) > 1]
    assert together
    assert all(len({FAULTS[name].family for name in names}) == len(names) for names in together)
