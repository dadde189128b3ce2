"""The arithmetic of the tables: percentiles, medians of rounds, ratios, and goals that are met or missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all values do not exceed (nearest rank); NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def middle(values: Sequence[float]) -> float:
    """The median of the rounds that have a figure; NaN when none has."""
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan


def ratio(value: float, to: float) -> float:
    """`value` as a multiple of `to`; NaN where that says nothing."""
    return value / to if to and not math.isnan(to) else math.nan


@dataclass(frozen=True)
class Goal:
    """A figure of ours as a multiple of another's; `at_least` or, with `below`, less than `bound`."""

    words: str
    reached: float
    bound: float
    below: bool = False

    @property
    def met(self) -> bool | None:
        """None when there is nothing to compare with."""
        if math.isnan(self.reached):
            return None
        return self.reached < self.bound if self.below else self.reached >= self.bound

    def line(self) -> str:
        """Met or missed, and by how much."""
        if self.met is None:
            return f"not measured  {self.words}"
        sign = "<" if self.below else ">="
        by = abs(self.reached / self.bound - 1) * 100
        verdict = f"met     (by {by:.0f} %)" if self.met else f"MISSED  (by {by:.0f} %)"
        return f"{verdict:<18} {self.words}: {self.reached:.2f} (goal {sign} {self.bound:g})"
