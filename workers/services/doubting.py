"""An unknown create at a provider that can be looked at: find it, or be sure that it is not there (law 4)."""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain import doubt
from shared.domain.kinds import Kind
from shared.domain.lifecycle import Status
from shared.providers import registry
from shared.providers.base import Listing, ReadFailed
from shared.store.models import Incident, Leg, Outbox, Site
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling, legs
from workers.services.ledger import Ledger

log = structlog.get_logger(__name__)

# The provider's `Date` header has whole seconds.
DATE_GRAIN = timedelta(seconds=1)


def look_up(deps: Deps, lease: Lease, leg_id: int) -> None:
    """One look at the provider's active alarms for a leg whose create is in doubt."""
    with deps.sessions() as session:
        book = Ledger(session, deps)
        account = book.account(session.get_one(Leg, leg_id).account_id)
    provider = registry.get(account.provider)
    listing: Listing | None = None
    if provider.lookup is not None and calling.may_start(deps, lease):
        try:
            listing = provider.lookup.active(calling.frame(deps, lease), account)
        except ReadFailed as failed:
            log.warning("lookup.failed", leg=leg_id, outcome=type(failed.outcome).__name__)

    def work(session: Session) -> Ledger:
        book = Ledger(session, deps)
        leg = session.get_one(Leg, leg_id)
        incident = book.incident(leg.incident_id)
        row = fenced(session, lease)
        leg = session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
        if row is None:
            return book
        if leg.outcome != "unknown":
            finish(row, book.now, "void", f"leg is {leg.outcome}")
            return book
        if provider.lookup is None:
            finish(row, book.now, "done", "outcome unknown, waits for a person")
            return book
        _conclude(book, row, leg, incident, listing)
        return book

    book = deps.record(work)
    book.ring_out()


def _conclude(book: Ledger, row: Outbox, leg: Leg, incident: Incident, listing: Listing | None) -> None:
    found = _find(book, leg, listing) if listing is not None else None
    if found is not None:
        finish(row, book.now, "done", "found by look-up")
        legs.accept(book, leg, incident, found.provider_alarm_id, how="Response requested (found by look-up)")
        return
    site = book.session.get(Site, leg.site_id) if leg.site_id is not None else None
    can_match = site is not None and site.provider_site_id is not None
    listed = listing is not None and listing.complete and can_match
    leg.complete_lookups += listed
    assert leg.unknown_at is not None
    age = (book.now - leg.unknown_at).total_seconds()
    policies = book.platform(incident.platform_id).policies
    wanted = doubt.policy(Kind(incident.kind), policies.get("create_unknown", {}))
    follows = doubt.after_lookup(leg.complete_lookups, age, wanted, listed=listed)
    if listed and follows is doubt.Next.RESEND:
        _certainly_not_there(book, row, leg, incident)
        return
    if follows is doubt.Next.RESEND and incident.cancel in (None, "refused"):
        _send_again(book, row, leg, incident, "the provider cannot be asked")
        return
    if follows is not doubt.Next.WAIT:
        legs.unconfirmed(book, incident, leg)
    release(row, book.now, book.in_seconds(doubt.next_lookup_in(age)))


def _find(book: Ledger, leg: Leg, listing: Listing) -> doubt.Candidate | None:
    site = book.session.get(Site, leg.site_id) if leg.site_id is not None else None
    if site is None or site.provider_site_id is None or leg.sending_at is None:
        return None
    candidates = [
        doubt.Candidate(a.provider_alarm_id, a.site_provider_id, a.created_at) for a in listing.alarms if a.active
    ]
    ids = [candidate.provider_alarm_id for candidate in candidates]
    known = set(
        book.session.scalars(
            select(Leg.provider_alarm_id).where(Leg.account_id == leg.account_id, Leg.provider_alarm_id.in_(ids))
        )
    )
    skew = (listing.provider_time - book.now) if listing.provider_time is not None else timedelta(0)
    attempt_at = leg.sending_at + skew - DATE_GRAIN
    return doubt.adoptable(candidates, site.provider_site_id, {k for k in known if k}, attempt_at)


def _certainly_not_there(book: Ledger, row: Outbox, leg: Leg, incident: Incident) -> None:
    """Three complete listings found nothing: a cancel is done, and what is still wanted is sent again."""
    if incident.cancel not in (None, "refused"):
        finish(row, book.now, "done", "not found at the provider")
        leg.outcome = "doubtful"
        incident.cancel = "confirmed"
        book.move(incident, Status.CANCELLED)
        book.tell(incident, "cancelled", "Cancelled: the request never reached the provider", leg=leg, urgent=True)
        return
    _send_again(book, row, leg, incident, "the provider does not have it")


def _send_again(book: Ledger, row: Outbox, leg: Leg, incident: Incident, why: str) -> None:
    finish(row, book.now, "done", why)
    if row.expires_at is not None and row.expires_at < book.now:
        leg.outcome = "doubtful"
        book.session.flush()
        legs.fail(book, incident, f"{why}, and it is too old to be sent without a named person")
        return
    legs.resend(book, incident, leg, why, after=row)
