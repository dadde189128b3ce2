"""One read of a leg at its provider, applied by the same table as a webhook (law 5)."""

from __future__ import annotations

import random

from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.providers.base import ReadFailed, Reading
from shared.store.models import Leg, Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling, following, legs
from workers.services.ledger import Ledger

# A cancel that the provider took is read again until it shows, for a good two minutes. A person was told before.
CONFIRM_READS = 12
CONFIRM_EVERY_S = 25.0


def read(deps: Deps, lease: Lease) -> None:
    """Read the leg of one leased row."""
    with deps.sessions() as session:
        row = session.get_one(Outbox, lease.id)
        leg_id, polled = row.leg_id, bool((row.body or {}).get("poll"))
        assert leg_id is not None
        leg = session.get_one(Leg, leg_id)
        account = Ledger(session, deps).account(leg.account_id)
        provider_alarm_id, known = leg.provider_alarm_id, leg.status
    if provider_alarm_id is None or not calling.may_start(deps, lease) or not deps.record(lambda s: begin(s, lease)):
        return
    found: Reading | None = None
    outcome: Outcome = Accepted()
    try:
        found = registry.get(account.provider).dispatch.read(calling.frame(deps, lease), account, provider_alarm_id)
    except ReadFailed as failed:
        outcome = failed.outcome

    def work(session: Session) -> Ledger:
        book = Ledger(session, deps)
        book.lock(legs.incident_ids(session, leg_id))
        if found is not None:
            following.reading(book, leg_id, found, account.provider, known=known, polled=polled)
        settle(book, lease, outcome, leg_id)
        return book

    book = deps.record(work)
    book.ring_out()


def begin(session: Session, lease: Lease) -> bool:
    """Whoever asks from here on asks for another read."""
    row = fenced(session, lease)
    if row is not None:
        row.body = None
    return row is not None


def settle(book: Ledger, lease: Lease, outcome: Outcome, leg_id: int | None = None) -> None:
    """End the row, or have it read again; of a leg that is named until its cancel shows."""
    row = fenced(book.session, lease)
    if row is None:
        return
    row.attempts += 1
    if not isinstance(outcome, Accepted):
        row.last_error = outcome.reason[:500]
        delay = None
        if not isinstance(outcome, Permanent):
            delay = retry.note_delay(row.attempts, calling.retry_after(outcome), random.random())  # noqa: S311 - jitter
        if delay is None:
            finish(row, book.now, "done", outcome.reason[:500])
        else:
            release(row, book.now, book.in_seconds(delay))
        return
    if row.body is not None:
        release(row, book.now)
        book.ring(Lane.OUTGOING)
        return
    if leg_id is not None and row.attempts < CONFIRM_READS and _cancel_waits(book, leg_id):
        release(row, book.now, book.in_seconds(min(2.0 * row.attempts, CONFIRM_EVERY_S)))
        return
    finish(row, book.now, "done")


def _cancel_waits(book: Ledger, leg_id: int) -> bool:
    leg = book.session.get_one(Leg, leg_id, populate_existing=True)
    return leg.cancel == "requested" and leg.status not in (Status.CANCELLED.value, Status.CLOSED.value)
