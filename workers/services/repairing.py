"""Drift put right by sending our version again, where the platform's or the account's policy says `repair`.

Never deletes, and sends each difference once: what is still different afterwards stays reported. Works after complete
listings only; one that lacks a large part of our sites is taken for incomplete all the same.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain.drift import REPAIRABLE, Kind
from shared.domain.lanes import Lane
from shared.providers.base import Account
from shared.store import reconciling as store
from shared.store.models import Drift, Site
from shared.store.reconciling import Run
from shared.store.site_saving import send
from workers.deps import Deps
from workers.services.ledger import Ledger

PART = 200
# More than this share of our sites gone, and more than a handful, looks like a listing that was cut on the way.
SUSPECT_SHARE = 0.1
SUSPECT_COUNT = 20


def repair(deps: Deps, run: Run, account: Account, *, missing: int) -> None:
    """Repair what this run found, if that is wanted."""
    with deps.sessions() as session:
        policies = Ledger(session, deps).platform(run.platform_id).policies
    if account.options.get("drift", policies.get("drift", "report")) != "repair":
        return
    after: int | None = 0
    while after is not None:
        book, after = deps.record(partial(_part, deps=deps, run=run, account=account, missing=missing, after=after))
        book.ring_out()


def _part(
    session: Session, *, deps: Deps, run: Run, account: Account, missing: int, after: int
) -> tuple[Ledger, int | None]:
    book = Ledger(session, deps)
    row = store.own(session, run)
    if missing > SUSPECT_COUNT and missing > SUSPECT_SHARE * row.sites:
        row.withheld = f"{missing} of {row.sites} sites are not listed: nothing is repaired before a person has looked"
        return book, None
    # Where the provider is told by uploads only, nothing may be sent in between.
    kinds = REPAIRABLE if account.site_mode == "rest" else {Kind.CHANGED_ID}
    found = store.repairable(session, run, [kind.value for kind in kinds], after, PART)
    for drift in found:
        row.repairs += _one(book, drift)
    return book, found[-1].id if len(found) == PART else None


def _one(book: Ledger, drift: Drift) -> int:
    """Repair one difference, once; how many repairs that was."""
    site = book.session.scalars(
        select(Site).where(Site.id == drift.site_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    if drift.repair_asked_at is not None or site.deleted_at is not None or site.sync_state == "deleting":
        return 0
    if drift.kind == Kind.CHANGED_ID.value:
        if not _adopt(book, site, drift.provider_site_id):
            return 0
    elif site.sync_state != "pending":
        if drift.kind == Kind.MISSING.value:
            site.provider_site_id = None
        site.sync_state, site.sync_error = "pending", ""
        book.session.flush()
        send(book.session, site)
        book.ring(Lane.OUTGOING)
    drift.repair_asked_at = book.now
    return 1


def _adopt(book: Ledger, site: Site, provider_site_id: str | None) -> bool:
    """Take the id of the one living record of the reference, unless another site of ours has it."""
    claimant = select(Site.id).where(Site.account_id == site.account_id, Site.provider_site_id == provider_site_id)
    if provider_site_id is None or book.session.scalar(claimant) is not None:
        return False
    site.provider_site_id = provider_site_id
    return True
