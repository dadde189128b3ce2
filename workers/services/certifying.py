"""Monitoring certificates: one call each, its raw answer kept for whoever asked."""

from __future__ import annotations

import random

from sqlalchemy import select

from shared.domain import retry
from shared.domain.outcome import Accepted, Permanent, Temporary, Unknown
from shared.providers import registry
from shared.providers.base import Certified
from shared.store.models import Certificate, Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger
from workers.services.requests import address_value


def certify(deps: Deps, lease: Lease) -> None:
    """Ask for the certificate of one leased row, once: a call that may have arrived is not repeated."""
    if not calling.may_start(deps, lease):
        return
    with deps.sessions() as session:
        book = Ledger(session, deps)
        row = session.get_one(Outbox, lease.id)
        wanted = session.get_one(Certificate, (row.body or {})["certificate_id"])
        account, address = book.account(wanted.account_id), address_value(deps.box.open(wanted.address))
        left_before = bool((row.body or {}).get("left"))
    capability = registry.get(account.provider).certificates
    if left_before:
        found = Certified(Unknown("the process that sent it was lost"))
    elif capability is None or address is None:
        found = Certified(Permanent("this provider issues no certificates"))
    else:
        try:
            frame = calling.frame(deps, lease, lambda: _mark_left(deps, lease))
            found = capability.certify(frame, account, address)
        except (calling.LeaseLostError, *calling.DATABASE_AWAY):  # before the first byte
            found = Certified(Temporary("not sent"))
    deps.record(lambda session: _settle(Ledger(session, deps), lease, wanted.id, found))


def _mark_left(deps: Deps, lease: Lease) -> None:
    calling.require_time(deps, lease)
    with deps.sessions.begin() as session:
        row = fenced(session, lease)
        if row is None:
            raise calling.LeaseLostError
        row.body = {**(row.body or {}), "left": True}


def _settle(book: Ledger, lease: Lease, certificate_id: str, found: Certified) -> None:
    row = fenced(book.session, lease)
    kept = book.session.scalars(select(Certificate).where(Certificate.id == certificate_id).with_for_update()).one()
    outcome = found.outcome
    if isinstance(outcome, Accepted):  # a late owner's answer is knowledge as well
        kept.state, kept.reason, kept.answered_at = "issued", "", book.now
        kept.answer = book.box.seal(found.answer)
    if row is None:
        return
    row.attempts += 1
    if isinstance(outcome, Accepted):
        finish(row, book.now, "done")
        return
    row.last_error = outcome.reason[:500]
    if isinstance(outcome, Temporary):  # an answer that says "not now", or nothing was sent
        row.body = {"certificate_id": certificate_id}
        delay = retry.note_delay(row.attempts, outcome.retry_after, random.random())  # noqa: S311 - jitter
        if delay is not None:
            release(row, book.now, book.in_seconds(delay))
            return
    kept.state = "unconfirmed" if isinstance(outcome, Unknown) else "refused"
    kept.reason, kept.answered_at = outcome.reason[:500], book.now
    finish(row, book.now, "done", outcome.reason[:500])
