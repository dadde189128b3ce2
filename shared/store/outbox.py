"""Leases on outbox rows: one conditional UPDATE on the database's clock, with a fencing token (law 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import CursorResult, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane
from shared.store.models import Outbox

# In `outgoing`, at most this many calls are in flight per destination, over all processes (law 7).
CALLS_PER_DESTINATION = 2
# A row whose lease was lost this often is worked alone; if that dies too it is dead.
LOST_LEASES_BEFORE_ALONE = 3
# Candidates read per lease, so that one busy destination cannot hide the others.
_WINDOW = 64

_DUE = """
    o.state = 'pending' AND o.lane = :lane AND o.next_attempt_at <= now()
    AND (o.lease_until IS NULL OR o.lease_until < now())
"""
_IN_ORDER = """
    (o.seq IS NULL OR o.urgent OR o.created_at < now() - interval '60 seconds' OR NOT EXISTS (
        SELECT 1 FROM outbox p WHERE p.incident_id = o.incident_id AND p.state = 'pending' AND p.seq < o.seq))
"""
_LOST = "o.lost_leases + (o.lease_until IS NOT NULL)::int AS lost"
_TAKE = """
    UPDATE outbox SET lease_until = now() + make_interval(secs => :lease_s), token = token + 1,
        lost_leases = lost_leases + (lease_until IS NOT NULL)::int
    FROM (SELECT id AS picked_id, lease_until IS NOT NULL AS lost_now FROM outbox WHERE id = ANY(:ids)) AS picked
    WHERE id = picked_id
    RETURNING id, kind, destination, token, attempts, lost_leases, lost_now
"""
# One statement, so that it may be a transaction of its own.
_TAKE_ONE = f"""
    UPDATE outbox SET lease_until = now() + make_interval(secs => :lease_s), token = token + 1, lost_leases = lost
    FROM (
        SELECT o.id AS picked_id, o.lease_until IS NOT NULL AS lost_now, {_LOST} FROM outbox o
        WHERE o.id = :id AND {_DUE} AND o.destination <> ALL(:full) AND (:any_try OR o.attempts = 0)
        FOR UPDATE SKIP LOCKED
    ) AS picked
    WHERE id = picked_id AND (:idle OR lost <> {LOST_LEASES_BEFORE_ALONE})
    RETURNING id, kind, destination, token, attempts, lost_leases, lost_now
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Lease:
    """A row that is ours until `boot_until` (boot-time clock, seconds). `lost_now`: the former owner vanished."""

    id: int
    kind: str
    destination: str
    token: int
    attempts: int
    lost_leases: int
    lost_now: bool
    boot_from: float
    boot_until: float


def lease_row(
    session: Session,
    row_id: int,
    *,
    lease_s: float,
    boot_now: float,
    full: Sequence[str] = (),
    any_try: bool = True,
    idle: bool = True,
) -> Lease | None:
    """Lease one row of the dispatch lane if it is due and nobody's, in one statement.

    `boot_now` was read before; a row of a destination in `full` stays, without `any_try` one that was tried before
    too; `idle`: see lease_due.
    """
    found = session.execute(
        text(_TAKE_ONE),
        {
            "id": row_id,
            "lane": Lane.DISPATCH.value,
            "lease_s": lease_s,
            "full": list(full),
            "any_try": any_try,
            "idle": idle,
        },
    ).first()
    return None if found is None else _lease(found, lease_s, boot_now)


def lease_due(
    session: Session,
    lane: Lane,
    want: int,
    *,
    lease_s: float,
    boot_now: float,
    retries: int = _WINDOW,
    share: int = _WINDOW,
    in_flight: Mapping[str, int] = MappingProxyType({}),
    idle: bool = True,
    overdue_s: float = 0.0,
) -> list[Lease]:
    """Lease up to `want` due rows, most urgent first: `retries` at most that were tried before, and of no destination
    more than its `share`, the caller's calls `in_flight` included.

    `overdue_s` takes only rows that could have been leased for that long (the watchman's patience). A row that was
    lost three times comes by itself, and only to a process that is `idle`: should it kill once more, it kills alone.
    """
    calls = Counter(in_flight)
    if lane is Lane.OUTGOING:
        # Leasing in this lane is one at a time, so that the count of calls in flight (ours are among them) is exact.
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext('lease:' || :lane))"), {"lane": lane.value})
        calls, share = Counter(_in_flight(session, lane)), CALLS_PER_DESTINATION
    rows = session.execute(
        text(
            f"""SELECT o.id, o.destination, o.attempts, {_LOST} FROM outbox o
            WHERE {_DUE} AND {_IN_ORDER} AND o.destination <> ALL(:full)
              AND (:any_try OR o.attempts = 0)
              AND greatest(o.next_attempt_at, o.lease_until) <= now() - make_interval(secs => :overdue_s)
            ORDER BY o.priority, o.next_attempt_at LIMIT {_WINDOW} FOR UPDATE OF o SKIP LOCKED"""  # noqa: S608
        ),
        {
            "lane": lane.value,
            "full": [name for name, count in calls.items() if count >= share],
            "any_try": retries > 0,
            "overdue_s": overdue_s,
        },
    ).all()
    picked: list[int] = []
    for row in rows:
        alone = row.lost == LOST_LEASES_BEFORE_ALONE
        again = row.attempts > 0
        if (alone and (picked or not idle)) or (again and retries == 0) or calls[row.destination] >= share:
            continue
        calls[row.destination] += 1
        retries -= again
        picked.append(row.id)
        if alone or len(picked) == want:
            break
    return _take(session, picked, lease_s, boot_now) if picked else []


def _in_flight(session: Session, lane: Lane) -> dict[str, int]:
    counted = session.execute(
        select(Outbox.destination, func.count())
        .where(Outbox.lane == lane.value, Outbox.state == "pending", Outbox.lease_until >= func.now())
        .group_by(Outbox.destination)
    )
    return {row[0]: row[1] for row in counted}


def _take(session: Session, ids: list[int], lease_s: float, boot_now: float) -> list[Lease]:
    rows = session.execute(text(_TAKE), {"ids": ids, "lease_s": lease_s}).all()
    by_id = {row.id: _lease(row, lease_s, boot_now) for row in rows}
    return [by_id[row_id] for row_id in ids]


def _lease(row: Row[Any], lease_s: float, boot_now: float) -> Lease:
    return Lease(
        id=row.id,
        kind=row.kind,
        destination=row.destination,
        token=row.token,
        attempts=row.attempts,
        lost_leases=row.lost_leases,
        lost_now=row.lost_now,
        boot_from=boot_now,
        boot_until=boot_now + lease_s,
    )


def still_ours(session: Session, lease: Lease) -> Outbox | None:
    """The row, locked, if the lease still holds by token and by the database's clock."""
    return session.scalar(
        select(Outbox)
        .where(
            Outbox.id == lease.id,
            Outbox.token == lease.token,
            Outbox.state == "pending",
            Outbox.lease_until >= func.now(),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def fenced(session: Session, lease: Lease) -> Outbox | None:
    """The row, locked, if nobody has leased it since (a lease that ran out unseen may still record its answer)."""
    return session.scalar(
        select(Outbox)
        .where(Outbox.id == lease.id, Outbox.token == lease.token, Outbox.state == "pending")
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def release(row: Outbox, now: datetime, next_attempt_at: datetime | None = None) -> None:
    """Give the lease back; due again at `next_attempt_at` (default: now)."""
    row.lease_until = None
    row.lost_leases = 0
    row.errors = 0
    row.next_attempt_at = next_attempt_at or now


def finish(row: Outbox, now: datetime, state: str, why: str = "") -> None:
    """End a row: done, dead or void."""
    row.state = state
    row.lease_until = None
    row.done_at = now
    row.last_error = why


def add_single(session: Session, *, again: bool = False, **values: Any) -> int | None:
    """Insert a row whose `single` key may be pending already; None when it is (the pending one will do).

    With `again` the pending one is due no later than the new one, and once more when it is being worked right now:
    what its call has seen may be older than this wish.
    """
    wish = insert(Outbox).values(**values)
    where: dict[str, Any] = {
        "index_elements": ["single"],
        "index_where": text("state = 'pending' AND single IS NOT NULL"),
    }
    if again:
        due = func.least(Outbox.next_attempt_at, wish.excluded.next_attempt_at)
        wish = wish.on_conflict_do_update(**where, set_={"body": text("""'{"again": true}'"""), "next_attempt_at": due})
    else:
        wish = wish.on_conflict_do_nothing(**where)
    return session.execute(wish.returning(Outbox.id)).scalar()


def void_pending(session: Session, *, leg_id: int, kind: str, why: str) -> bool:
    """End a leg's row that nobody is working on at this moment; True when there was one."""
    done: CursorResult[Any] = session.execute(  # type: ignore[assignment]
        update(Outbox)
        .where(Outbox.leg_id == leg_id, Outbox.kind == kind, Outbox.state == "pending")
        .values(state="void", done_at=func.now(), last_error=why, lease_until=None)
    )
    return done.rowcount > 0
