"""Leases on inbox rows, in batches: most urgent first, and the rows of one stream in order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from shared.store.among import among
from shared.store.models import Inbox

# Working a batch is a few milliseconds of database time; a killed drainer hides its rows no longer than this.
LEASE_S = 5.0
# A row that was leased this often without an end is worked alone, and then set aside.
TRIES_IN_A_BATCH = 3
# What may save a life, and what a person asked for (a cancel among it), has this priority or a lower one. It is a batch
# of its own: in one with a storm's troubles it would be committed with the last of them.
URGENT = 10

# Whoever waits for an earlier row of his stream is left out at once: an urgent one would otherwise choose a batch of
# urgent rows that is then empty. What somebody's transaction holds is skipped: leasing must wait for nobody.
_LEASE = text("""
    WITH due AS (
        SELECT id, stream, priority FROM inbox
        WHERE state = 'pending' AND next_attempt_at <= now() AND (lease_until IS NULL OR lease_until < now())
          AND NOT EXISTS (
            SELECT 1 FROM inbox b WHERE b.stream = inbox.stream AND b.state = 'pending' AND b.id < inbox.id
              AND (b.next_attempt_at > now() OR b.lease_until >= now()))
        ORDER BY priority, id LIMIT :size FOR UPDATE SKIP LOCKED
    ), picked AS (
        SELECT id, stream FROM due WHERE (priority <= :urgent) = (SELECT min(priority) <= :urgent FROM due)
    ), earlier AS (
        SELECT e.id, e.stream FROM picked p CROSS JOIN LATERAL (
            SELECT id, stream FROM inbox
            WHERE stream = p.stream AND id < p.id AND state = 'pending' AND next_attempt_at <= now()
              AND (lease_until IS NULL OR lease_until < now())
            FOR UPDATE SKIP LOCKED) e
    ), wanted AS (SELECT id, stream FROM picked UNION SELECT id, stream FROM earlier)
    UPDATE inbox i SET lease_until = now() + make_interval(secs => :lease_s), token = i.token + 1,
        attempts = i.attempts + 1
    FROM wanted w
    WHERE i.id = w.id AND NOT EXISTS (
        SELECT 1 FROM inbox b WHERE b.stream = w.stream AND b.state = 'pending' AND b.id < w.id
          AND NOT EXISTS (SELECT 1 FROM wanted o WHERE o.id = b.id))
    RETURNING i.id, i.token, i.attempts, i.incident_id, i.account_id, i.subject
""")

# A row overtakes none of its stream that failed in this batch, or that is somebody else's by now.
_OVERTAKES_NONE = text("""
    NOT EXISTS (SELECT 1 FROM inbox b
                WHERE b.stream = inbox.stream AND b.state = 'pending' AND b.id < inbox.id AND b.id <> ALL(:own))
""")
_HOLD = (
    select(Inbox)
    .where(among(Inbox.id, "ids"), Inbox.state == "pending", _OVERTAKES_NONE)
    .order_by(Inbox.id)
    .with_for_update()
    .execution_options(populate_existing=True)
)
# A row that was parked or set aside meanwhile keeps that state.
_FINISH = text("""
    UPDATE inbox SET state = CASE state WHEN 'pending' THEN 'done' ELSE state END, worked_at = now(), lease_until = NULL
    WHERE id = ANY(:ids)
""")


_ALONE_AND_NOT_SYNCHRONOUS = text(
    "SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(hashtext('lease:intake'))"
)


@dataclass(frozen=True)
class Taken:
    """A leased inbox row, and what it speaks of: an incident of ours, or a provider's alarm id (`subject`)."""

    id: int
    token: int
    attempts: int
    incident_id: str | None
    account_id: str | None
    subject: str | None


def lease_batch(session: Session, size: int) -> list[Taken]:
    """Lease up to `size` due rows (and what must be worked before them). Leasing is one at a time.

    The commit of the lease need not reach the disk: a Postgres that crashes and forgets it hands the rows out again,
    and they are worked once all the same, since the work is a transaction that finds each row pending or not.
    """
    session.execute(_ALONE_AND_NOT_SYNCHRONOUS)
    rows = session.execute(_LEASE, {"size": size, "lease_s": LEASE_S, "urgent": URGENT}).all()
    return sorted((Taken(*row) for row in rows), key=lambda taken: taken.id)


def hold_rows(session: Session, taken: Sequence[Taken]) -> list[Inbox]:
    """The rows that are still ours, locked, in order of arrival; none whose stream has an earlier one that is not."""
    tokens = {one.id: one.token for one in taken}
    rows = session.scalars(_HOLD, {"ids": list(tokens), "own": list(tokens)}).all()
    lost = {row.stream for row in rows if row.token != tokens[row.id]}
    return [row for row in rows if row.stream not in lost]


def finish_rows(session: Session, ids: Sequence[int]) -> None:
    """Mark rows as worked, whatever their new state is."""
    session.execute(_FINISH, {"ids": ids})
