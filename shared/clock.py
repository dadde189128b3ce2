"""The two clocks of a process: boot time for its own patience, UTC for what people read."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def boot_time() -> float:
    """Seconds since boot, counting suspend and SIGSTOP; for judging whether a lease can still be ours."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def utc_now() -> datetime:
    """The wall clock, for text only; every lease and due time is judged by the database's clock."""
    return datetime.now(UTC)
