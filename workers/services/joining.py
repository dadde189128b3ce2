"""Several incidents at one site share one response, if a read made now says that it still answers (law 2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.clock import boot_time
from shared.domain.lifecycle import Status
from shared.providers import registry
from shared.providers.base import Call, ReadFailed, Reading
from shared.store.models import Incident, IncidentLeg, Leg, Outbox
from shared.store.outbox import Lease, fenced, finish
from workers.deps import Deps
from workers.services import legs
from workers.services.ledger import Ledger

log = structlog.get_logger(__name__)

# The part of the lease's margin that a read before a create leaves unused.
READ_LEAVES = 0.3
_ANSWERING = (Status.REQUESTED, Status.AUTHORITIES_CONTACTED, Status.DISPATCHED, Status.ACKNOWLEDGED, Status.ON_SCENE)


@dataclass(frozen=True)
class Open:
    """An accepted leg that might answer a second incident too."""

    leg_id: int
    account_id: str
    provider_alarm_id: str


class Twin(StrEnum):
    """What an answer's id means when another leg has it already."""

    NONE = "none"
    ACTIVE = "active"
    OVER = "over"
    UNREAD = "unread"


def open_at_site(session: Session, leg: Leg) -> Open | None:
    """An open response at the leg's site for the same services; no test, none that is being cancelled."""
    if leg.site_id is None or leg.test:
        return None
    found = session.scalars(
        select(Leg)
        .where(
            Leg.site_id == leg.site_id,
            Leg.account_id == leg.account_id,
            Leg.id != leg.id,
            Leg.outcome == "accepted",
            Leg.cancel.is_(None),
            Leg.test.is_(False),
            Leg.status.in_([status.value for status in _ANSWERING]),
        )
        .order_by(Leg.id.desc())
    )
    for other in found:
        if set(other.services) == set(leg.services) and other.provider_alarm_id is not None:
            return Open(other.id, other.account_id, other.provider_alarm_id)
    return None


def is_answering(leg: Leg) -> bool:
    """Asked again under the leg's lock: what a read said a moment ago may be over, or about to be cancelled."""
    return leg.outcome == "accepted" and leg.cancel is None and leg.status in _ANSWERING


def try_join(deps: Deps, lease: Lease, leg_id: int, candidate: Open) -> bool:
    """Read the open response and join it; False when it does not answer any more (then the alarm creates its own).

    The read leaves time for that create under the same lease: a provider that hangs here must not keep it back.
    """
    by = lease.boot_until - deps.settings.call_s - READ_LEAVES * deps.settings.lease_margin_s
    reading = _read(deps, candidate.account_id, candidate.provider_alarm_id, by)
    if reading is None or not reading.active or reading.completed or reading.test:
        return False

    def work(session: Session) -> Ledger | None:
        book = Ledger(session, deps)
        own = session.get_one(Leg, leg_id)
        incident = book.incident(own.incident_id)
        row = fenced(session, lease)
        own = session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
        other = session.get_one(Leg, candidate.leg_id, with_for_update=True, populate_existing=True)
        still_open = is_answering(other)
        if row is None or own.outcome != "pending" or not still_open or incident.cancel not in (None, "refused"):
            return None
        join(book, row, own, other, incident)
        return book

    book = deps.record(work)
    if book is None:
        return False
    book.ring_out()
    return True


def join(book: Ledger, row: Outbox, own: Leg, other: Leg, incident: Incident) -> None:
    """Link the incident to the open leg; its context goes there as a note."""
    own.outcome = "void"
    book.session.flush()
    book.session.add(
        IncidentLeg(incident_id=incident.id, leg_id=other.id, outcome=other.outcome, joined=True, linked_at=book.now)
    )
    finish(row, book.now, "done", "joined")
    book.move(incident, Status(other.status or Status.REQUESTED.value))
    words = "Joined the response that is already open at this site"
    book.tell(incident, "joined", words, leg=other, effect=f"leg:{other.id}:joined")
    legs.send_context(book, other, incident)
    book.wake_creates(own.site_id)


def twin(book: Ledger, leg: Leg, provider_alarm_id: str) -> Leg | None:
    """Another leg of the account that has this id already."""
    return book.session.scalar(
        select(Leg).where(
            Leg.account_id == leg.account_id, Leg.provider_alarm_id == provider_alarm_id, Leg.id != leg.id
        )
    )


def judge_twin(deps: Deps, lease: Lease, leg_id: int, provider_alarm_id: str) -> Twin:
    """Does an answer name another leg's id, and if so, does a read say that it is active and not completed?

    The answer is worth waiting for: a database that is away now must not cost it.
    """

    def find(session: Session) -> str | None:
        leg = session.get_one(Leg, leg_id)
        return None if twin(Ledger(session, deps), leg, provider_alarm_id) is None else leg.account_id

    account_id = deps.record(find)
    if account_id is None:
        return Twin.NONE
    # A read that outlasts the lease only loses the lease: nothing was sent.
    by = min(lease.boot_until, boot_time() + deps.settings.call_s)
    reading = _read(deps, account_id, provider_alarm_id, by)
    if reading is None:
        return Twin.UNREAD
    return Twin.ACTIVE if reading.active and not reading.completed else Twin.OVER


def _read(deps: Deps, account_id: str, provider_alarm_id: str, deadline: float) -> Reading | None:
    account = deps.record(lambda session: Ledger(session, deps).account(account_id))
    provider = registry.get(account.provider)
    try:
        return provider.dispatch.read(Call(deadline, deps.tokens), account, provider_alarm_id)
    except ReadFailed as failed:
        log.warning("join.unread", reason=type(failed.outcome).__name__)
        return None
