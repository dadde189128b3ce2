"""A site goes to the provider's directory: one row per site, the newest version wins."""

from __future__ import annotations

import random

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.lanes import Lane
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.store.models import Outbox, Site
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger
from workers.services.requests import site_value


def register(deps: Deps, lease: Lease) -> None:
    """Create or update one site at the provider."""

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
        again = row.attempts > 1 or row.token > 1
    directory = registry.get(account.provider).sites
    if directory is None:
        outcome: Outcome = Permanent("this provider keeps no directory of sites")
    else:
        look_first = again and value.provider_site_id is None
        outcome = directory.put_site(calling.frame(deps, lease), account, value, look_first=look_first)
    done = deps.record(lambda session: _settle(session, deps, lease, site_id, version, outcome))
    for what in done.rings():
        deps.ringer.ring(what)


def _settle(session: Session, deps: Deps, lease: Lease, site_id: int, version: int, outcome: Outcome) -> Ledger:
    book = Ledger(session, deps)
    site = session.scalars(select(Site).where(Site.id == site_id).with_for_update()).one()
    row = fenced(session, lease)
    if isinstance(outcome, Accepted) and site.provider_site_id is None and outcome.provider_id:
        site.provider_site_id = outcome.provider_id  # a late owner's answer is knowledge as well
        book.wake_creates(site.id)
    if row is None:
        return book
    if isinstance(outcome, Accepted):
        _synced(book, row, site, version)
    elif isinstance(outcome, Permanent):
        _refused(book, row, site, outcome)
    else:
        site.sync_error = row.last_error = outcome.reason[:500]
        delay = retry.note_delay(row.attempts, calling.retry_after(outcome), random.random())  # noqa: S311 - jitter
        if delay is None:
            _refused(book, row, site, Permanent(f"given up: {outcome.reason}"))
        else:
            release(row, book.now, book.in_seconds(delay))
    return book


def _synced(book: Ledger, row: Outbox, site: Site, version: int) -> None:
    site.synced_version = version
    site.synced_at = book.now
    site.sync_error = ""
    book.end_notice(f"site:{site.id}")
    if site.version == version:
        site.sync_state = "synced"
        finish(row, book.now, "done")
    else:  # it was changed while we called: the same row sends the newer version
        row.attempts = 0
        row.lane = Lane.OUTGOING.value
        release(row, book.now)
        book.ring(Lane.OUTGOING)


def _refused(book: Ledger, row: Outbox, site: Site, outcome: Permanent) -> None:
    site.sync_state = "conflict" if outcome.reason.startswith("conflict") else "failed"
    site.sync_error = outcome.reason[:500]
    finish(row, book.now, "dead", outcome.reason[:500])
    book.notice(
        site.platform_id,
        f"site:{site.id}",
        "site",
        f"Site {site.reference} could not be registered at the provider: {outcome.reason}",
        once=True,
    )
    book.wake_creates(site.id)
