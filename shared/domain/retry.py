"""When to try again, as pure values: the row keeps the count, these functions the schedule (law 6)."""

from __future__ import annotations

CREATE_SCHEDULE_S = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
RETRY_AFTER_CAP_S = 10.0
WRITEBACK_SCHEDULE_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
WRITEBACK_MAX_ATTEMPTS = 60
ESCALATION_SCHEDULE_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
NOTE_MAX_ATTEMPTS = 12
NOTICE_EVERY_S = 30.0
NOTICE_OFTEN_FOR_S = 300.0
NOTICE_LATER_EVERY_S = 300.0


def create_delay(failed: int, retry_after: float | None, jitter: float) -> float:
    """Seconds until the next send after `failed` sends (1 = the first); `jitter` in 0..1 shortens by up to a tenth.

    A `Retry-After` is honoured up to 10 s: an alarm waits no longer for a provider that asks for more.
    """
    if retry_after is not None:
        return min(max(retry_after, 0.0), RETRY_AFTER_CAP_S)
    return _at(CREATE_SCHEDULE_S, failed) * (1.0 - 0.1 * jitter)


def writeback_delay(failed: int, retry_after: float | None, jitter: float) -> float | None:
    """Seconds until the next delivery to a platform, None when it is given up (after about two days)."""
    if failed >= WRITEBACK_MAX_ATTEMPTS:
        return None
    base = _at(WRITEBACK_SCHEDULE_S, failed - 1) * (1.0 - 0.2 * jitter)
    return max(base, min(retry_after or 0.0, WRITEBACK_SCHEDULE_S[-1]))


def escalation_delay(failed: int, jitter: float) -> float:
    """Seconds until the escalation address is tried again; it is never given up."""
    return _at(ESCALATION_SCHEDULE_S, failed - 1) * (1.0 - 0.1 * jitter)


def note_delay(failed: int, retry_after: float | None, jitter: float) -> float | None:
    """Seconds until a note, event, read or site is tried again; None when it is given up."""
    if failed >= NOTE_MAX_ATTEMPTS:
        return None
    base = _at((1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0), failed - 1) * (1.0 - 0.2 * jitter)
    return max(base, min(retry_after or 0.0, 60.0))


def notice_delay(age_s: float) -> float:
    """Seconds until an open notice is repeated: every 30 s for five minutes, then every five minutes (law 13)."""
    return NOTICE_EVERY_S if age_s < NOTICE_OFTEN_FOR_S else NOTICE_LATER_EVERY_S


def _at(schedule: tuple[float, ...], index: int) -> float:
    return schedule[min(max(index, 0), len(schedule) - 1)]
