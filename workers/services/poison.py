"""Rows that make their worker raise or die: put off, worked alone, and at last dead, visible and told."""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from shared.store.models import Leg, Outbox
from shared.store.outbox import LOST_LEASES_BEFORE_ALONE, Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import legs, settling
from workers.services.calling import DATABASE_AWAY
from workers.services.ledger import Ledger

log = structlog.get_logger(__name__)

ERRORS_BEFORE_DEAD = 8
# A notice raises no notice (law 13); the next telling makes a new row.
TELLING = ("notice", "escalation")


def is_dead(lease: Lease) -> bool:
    """Three lost leases, then alone, and that was lost as well."""
    return lease.lost_leases > LOST_LEASES_BEFORE_ALONE


def bury(deps: Deps, lease: Lease) -> None:
    """End a row that killed its owners, and tell."""
    deps.record(lambda session: _end(session, deps, lease, "its worker was lost again and again"))


def give_back(deps: Deps, lease: Lease) -> None:
    """Return an untouched row, if it is still ours."""

    def work(session: Session) -> None:
        row = fenced(session, lease)
        if row is not None:
            release(row, Ledger(session, deps).now)

    deps.record(work)


def put_off(deps: Deps, lease: Lease, error: BaseException) -> None:
    """After an unexpected error: later again, and dead at last. The database's own absence is nobody's fault."""
    if isinstance(error, DATABASE_AWAY):
        _give_back(deps, lease)
        return
    name = type(error).__name__

    def work(session: Session) -> None:
        row = fenced(session, lease)
        if row is None:
            return
        row.attempts += 1
        errors = row.errors + 1
        row.last_error = name
        if errors >= ERRORS_BEFORE_DEAD:
            _end(session, deps, lease, f"an unexpected error ({name})")
            return
        book = Ledger(session, deps)
        if row.kind == "create" and row.leg_id is not None and row.incident_id is not None:
            incident = book.incident(row.incident_id)
            leg = session.get_one(Leg, row.leg_id, with_for_update=True, populate_existing=True)
            if leg.outcome == "sending":
                settling.after_unknown(book, leg, incident, row, f"an unexpected error ({name})")
                return
        release(row, book.now, book.in_seconds(min(2.0**errors, 30.0)))
        row.errors = errors

    try:
        deps.record(work)
    except Exception:  # the lease runs out, and the lost leases are counted
        log.exception("poison.not_put_off", row=lease.id)


def _give_back(deps: Deps, lease: Lease) -> None:
    """Due again as soon as the database is back, not only when the lease has run out; a send in doubt stays so."""

    def work(session: Session) -> None:
        row = fenced(session, lease)
        if row is None or (row.leg_id is not None and session.get_one(Leg, row.leg_id).outcome == "sending"):
            return
        release(row, Ledger(session, deps).now)

    try:
        deps.record(work, patience_s=deps.settings.lease_s())
    except DATABASE_AWAY:
        log.warning("poison.not_given_back", row=lease.id)


def _end(session: Session, deps: Deps, lease: Lease, why: str) -> None:
    book = Ledger(session, deps)
    row = session.get_one(Outbox, lease.id)
    incident = book.incident(row.incident_id) if row.incident_id is not None else None
    owned = fenced(session, lease)
    if owned is None:
        return
    finish(owned, book.now, "dead", why)
    if owned.kind == "create" and incident is not None and owned.leg_id is not None:
        leg = session.get_one(Leg, owned.leg_id, with_for_update=True, populate_existing=True)
        if leg.outcome in ("sending", "unknown"):
            legs.unconfirmed(book, incident, leg)
        elif leg.outcome == "pending":
            legs.fail(book, incident, why, leg=leg)
    if owned.platform_id is not None and owned.kind not in TELLING:
        book.notice(
            owned.platform_id,
            f"outbox:{owned.id}",
            "dead",
            f"A {owned.kind} is dead: {why}",
            incident_id=owned.incident_id,
            once=True,
        )
