"""The inbox, worked in batches: one transaction for many rows, and row by row when one of them is poison."""

from __future__ import annotations

import math
from typing import Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from shared.store.inbox import TRIES_IN_A_BATCH, Taken, finish_rows, hold_rows, lease_batch
from shared.store.models import Inbox
from workers.deps import Deps
from workers.services import (
    cancelling,
    describing,
    following,
    introducing,
    legs,
    locating,
    operating,
    receiving,
)
from workers.services.ledger import Ledger

log = structlog.get_logger(__name__)

AGAIN_IN_S = 1.0
# A batch of so few that failed is not parted again.
ROW_BY_ROW = 25
# Deadlocks and busy locks pass; with the database away for longer the lease runs out.
WORK_PATIENCE_S = 2.0
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
# Locks are held for milliseconds; whoever holds one for longer must not hold up the rest of a batch.
LOCK_MS = 1_000
# No lock was to be had in time, a deadlock, a statement that took too long.
BUSY = ("55P03", "40P01", "57014")
ACTIONS = operating.ACTIONS | {
    "locations": locating.pushed,
    "people": introducing.added,
    "person": describing.told,
}


def work_batch(deps: Deps, size: int | None = None) -> int:
    """Lease and work one batch of `size` rows (default: the setting); how many were leased (0: nothing was due)."""
    with deps.sessions.begin() as session:
        taken = lease_batch(session, size or deps.settings.intake_batch)
    together = [one for one in taken if one.attempts <= TRIES_IN_A_BATCH]
    if together:
        _work_together(deps, together)
    for one in taken:
        if one.attempts > TRIES_IN_A_BATCH:
            _work_alone(deps, one)
    return len(taken)


def _work_together(deps: Deps, taken: list[Taken]) -> None:
    """In one transaction; when it fails in parts, and a part that fails row by row, since one bad row stops no other.

    With 200 rows that is thirty transactions for a bad one, where each row by itself would hold up a panic for seconds.
    """
    try:
        work_rows(deps, taken)
        return
    except Exception as error:
        if isinstance(error, DATABASE_AWAY) and not _is_busy(error):
            raise
        log.warning("intake.batch_failed", rows=len(taken), error=type(error).__name__)
    if len(taken) <= ROW_BY_ROW:
        for one in taken:
            _work_alone(deps, one)
        return
    size = math.isqrt(len(taken))
    for first in range(0, len(taken), size):
        _work_together(deps, taken[first : first + size])


def work_rows(deps: Deps, taken: list[Taken]) -> None:
    """Work leased rows in one transaction, those of them that are still ours."""

    def work(session: Session) -> Ledger:
        book = Ledger(session, deps, lock_ms=LOCK_MS)
        _lock_all(book, taken)
        rows = hold_rows(session, taken)
        for row in rows:
            _work_row(book, row)
        book.close()
        finish_rows(session, [row.id for row in rows])
        return book

    book = deps.record(work, patience_s=WORK_PATIENCE_S)
    book.ring_out()


def _lock_all(book: Ledger, taken: list[Taken]) -> None:
    """Lock every incident that the batch will touch in the order of their ids, then the legs that it hears of."""
    touched = {one.incident_id for one in taken if one.incident_id is not None}
    subjects = {(one.account_id, one.subject) for one in taken if one.account_id and one.subject}
    links = legs.spoken_of(book.session, subjects) if subjects else []
    book.lock(touched.union(link.incident_id for link in links))
    book.learn_effects({link.incident_id for link in links})
    legs.lock_legs(book, {link.leg_id for link in links})


def _work_row(book: Ledger, row: Inbox) -> None:
    if row.source == "webhook":
        following.webhook(book, row)
        return
    body: dict[str, Any] = book.box.open(row.body) or {}
    if row.source == "alarm":
        receiving.alarm(book, row, body)
    elif row.source == "cancel":
        cancelling.asked(book, row, body)
    elif row.source == "event":
        receiving.further(book, row, body)
    else:
        ACTIONS[row.source](book, row, body)


def _work_alone(deps: Deps, one: Taken) -> None:
    try:
        work_rows(deps, [one])
    except Exception as error:
        if isinstance(error, DATABASE_AWAY):
            if _is_busy(error):
                log.warning("intake.row_busy", row=one.id)
                return  # its lease runs out, and then it is tried again
            raise
        log.exception("intake.row_failed", row=one.id)
        name = type(error).__name__
        deps.record(lambda session: _put_off(session, deps, one, name))


def _is_busy(error: Exception) -> bool:
    """What a row touches is held by somebody's transaction: the database is there, and the other rows can go."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) in BUSY


def _put_off(session: Session, deps: Deps, one: Taken, error: str) -> None:
    """Try again soon; after the last try the row is set aside, and a person is told."""
    for row in hold_rows(session, [one]):
        book = Ledger(session, deps)
        row.lease_until = None
        row.last_error = error
        if one.attempts <= TRIES_IN_A_BATCH:
            row.next_attempt_at = book.in_seconds(AGAIN_IN_S)
            continue
        row.state = "set_aside"
        row.worked_at = book.now
        if row.platform_id is not None:
            words = f"A {row.source} could not be worked and was set aside (row {row.id}, {error})"
            book.notice(row.platform_id, f"inbox:{row.id}", "set_aside", words, incident_id=row.incident_id, once=True)
