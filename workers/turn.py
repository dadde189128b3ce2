"""How long one answer to the bell may go on, and how it keeps the bell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

# A turn and the calls that it leaves in flight end well before the broker's visibility timeout (60 s): a task that
# outlives it is delivered a second time, and under steady load the copies would fill the worker.
TURN_S = 20.0


@dataclass(frozen=True)
class Turn:
    """`ends` is on the monotonic clock; `renew` keeps the bell, `call` asks others to help with a backlog."""

    ends: float = float("inf")
    renew: Callable[[], None] = lambda: None
    call: Callable[[], None] = lambda: None

    def over(self) -> bool:
        """True when no further lease may be taken in this turn."""
        return time.monotonic() >= self.ends


NO_TURN = Turn()
