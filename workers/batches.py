"""The inbox, worked in batches of a bounded time until nothing is due."""

from __future__ import annotations

import time
from collections.abc import Callable

from workers.pace import Pace
from workers.turn import Turn


class Batches:
    """The batches of one process. They share nothing with another's: each is leased, and locks what it touches."""

    def __init__(self, work: Callable[[int], int], most_rows: int, told: Callable[[bool], None]) -> None:
        """`work` leases and works up to so many rows (`most_rows` at the best of times) and says how many there were.

        `told` is called after each batch: whether there was anything to work.
        """
        self._work = work
        self._told = told
        self._pace = Pace(most_rows)

    def drain(self, turn: Turn) -> int:
        """Work until a batch brings little: then little more was due when it was leased. How many rows there were.

        In a backlog one small batch says nothing yet: it had what is urgent, or somebody else works the rest.
        """
        total = 0
        backlog = False
        while not turn.over():
            size = self._pace.rows
            began = time.monotonic()
            rows = self._work(size)
            self._pace.took(rows, time.monotonic() - began)
            total += rows
            large = rows * 2 >= size
            if large:
                turn.call()
            elif rows:
                turn.renew()
            self._told(rows > 0)
            if rows == 0 or not (large or backlog):
                break
            backlog = large
        return total
