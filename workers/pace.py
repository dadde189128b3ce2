"""How many rows a batch may have, so that nobody who is more urgent waits long behind it."""

from __future__ import annotations

# A batch aims at this long. It is several times what its two commits cost on a slow disk, else it would shrink in vain.
AIM_S = 0.25
LEAST_ROWS = 50


class Pace:
    """Learns from the last batch; a machine that is busy gets smaller ones."""

    def __init__(self, most: int) -> None:
        """`most` rows at the best of times."""
        self._most = most
        self.rows = most

    def took(self, rows: int, seconds: float) -> None:
        """Note how long a batch of `rows` took. One of few rows says little: it was as long as its commits."""
        if rows * 2 < self.rows:
            return
        fitting = int(rows * AIM_S / max(seconds, 0.001))
        self.rows = min(self._most, max(min(LEAST_ROWS, self._most), fitting))
