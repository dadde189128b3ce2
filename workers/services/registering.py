"""A site goes into the provider's directory, or out of it: one row per site, the newest wish wins."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.lanes import Lane
from shared.domain.outcome import Accepted, Outcome, Permanent, SiteStored
from shared.providers import registry
from shared.store.models import Outbox, Site
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger
from workers.services.requests import site_value


def register(deps: Deps, lease: Lease) -> None:
    """Create, update or delete one site at the provider."""

    def load(session: Session) -> Ledger | None:
        row = fenced(session, lease)
        if row is None:
            return None
        row.attempts += 1
        return Ledger(session, deps)

    if not calling.may_start(deps, lease) or deps.record(load) is None:
        return
    with deps.sessions() as session:
        book = Ledger(session, deps)
        row = session.get_one(Outbox, lease.id)
        site = session.get_one(Site, row.site_id)
        account = book.account(site.account_id)
        value, version, site_id = site_value(site), site.version, site.id
        deleting = site.deleted_at is not None
        again = row.attempts > 1 or row.token > 1
    directory = registry.get(account.provider).sites
    if directory is None:
        outcome: Outcome = Permanent("this provider keeps no directory of sites")
    elif deleting:
        outcome = directory.delete_site(calling.frame(deps, lease), account, value)
    else:
        look_first = again and value.provider_site_id is None
        outcome = directory.put_site(calling.frame(deps, lease), account, value, look_first=look_first)
    told = Told(site_id, version, deleting, outcome)
    done = deps.record(lambda session: _settle(session, deps, lease, told))
    done.ring_out()


@dataclass(frozen=True)
class Told:
    """What the provider was told of a site, in which version, and what it said."""

    site_id: int
    version: int
    deleting: bool
    outcome: Outcome


def _settle(session: Session, deps: Deps, lease: Lease, told: Told) -> Ledger:
    book = Ledger(session, deps)
    outcome = told.outcome
    site = session.scalars(select(Site).where(Site.id == told.site_id).with_for_update()).one()
    row = fenced(session, lease)
    if isinstance(outcome, Accepted) and not told.deleting:
        outcome = _learn(book, site, outcome, late=row is None)
    if row is None:
        return book
    if isinstance(outcome, Accepted):
        if told.deleting:
            site.provider_site_id, site.coverage = None, {}
        _synced(book, row, site, told)
    elif site.version != told.version:
        _once_more(book, row)
    elif isinstance(outcome, Permanent):
        _refused(book, row, site, outcome, told)
    else:
        site.sync_error = row.last_error = outcome.reason[:500]
        delay = retry.note_delay(row.attempts, calling.retry_after(outcome), random.random())  # noqa: S311 - jitter
        if delay is None:
            _refused(book, row, site, Permanent(f"given up: {outcome.reason}"), told)
        else:
            release(row, book.now, book.in_seconds(delay))
    return book


def _learn(book: Ledger, site: Site, outcome: Accepted, *, late: bool) -> Outcome:
    """Keep the provider's id and what it says of coverage; a late owner's answer is knowledge as well."""
    if isinstance(outcome, SiteStored):
        site.coverage = dict(outcome.coverage)
    if not outcome.provider_id or outcome.provider_id == site.provider_site_id:
        return outcome
    if late and site.provider_site_id is not None:
        return outcome
    claimant = book.session.scalar(
        select(Site.reference).where(
            Site.account_id == site.account_id, Site.provider_site_id == outcome.provider_id, Site.id != site.id
        )
    )
    if claimant is not None:
        return Permanent(f"conflict: the provider answered with the id of the site {claimant}")
    site.provider_site_id = outcome.provider_id
    book.wake_creates(site.id)
    return outcome


def _synced(book: Ledger, row: Outbox, site: Site, told: Told) -> None:
    site.synced_version = told.version
    site.synced_at = book.now
    site.sync_error = ""
    book.end_notice(f"site:{site.id}")
    if site.version == told.version:
        site.sync_state = "deleted" if told.deleting else "synced"
        finish(row, book.now, "done")
    else:
        _once_more(book, row)


def _once_more(book: Ledger, row: Outbox) -> None:
    """It was changed while we called: the same row sends the newer version."""
    row.attempts = 0
    row.lane = Lane.OUTGOING.value
    release(row, book.now)
    book.ring(Lane.OUTGOING)


def _refused(book: Ledger, row: Outbox, site: Site, outcome: Permanent, told: Told) -> None:
    """Told to a person once. A deletion that was refused stays asked for: its row can be replayed."""
    if site.deleted_at is None:
        site.sync_state = "conflict" if outcome.reason.startswith("conflict") else "failed"
    what = "deleted" if told.deleting else "registered"
    site.sync_error = outcome.reason[:500]
    finish(row, book.now, "dead", outcome.reason[:500])
    book.notice(
        site.platform_id,
        f"site:{site.id}",
        "site",
        f"Site {site.reference} could not be {what} at the provider: {outcome.reason}",
        once=True,
    )
    book.wake_creates(site.id)
