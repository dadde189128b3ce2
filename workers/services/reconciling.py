"""Our sites beside the provider's listing: read as a stream, compared page by page, told where it is new or over.

A listing that failed or was cut compares nothing, clears nothing and repairs nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy.orm import Session

from shared.clock import boot_time
from shared.domain import alarm
from shared.domain.alarm import Coordinates
from shared.domain.drift import Finding, Kept, Kind, Listed, compare
from shared.providers import registry
from shared.providers.base import Account, Call, ReadFailed, Sites
from shared.store import importing
from shared.store import reconciling as store
from shared.store.models import ReconciliationRun
from shared.store.reconciling import Pair, Run, RunLost
from workers.deps import Deps
from workers.services import drifting, learning, repairing
from workers.services.ledger import Ledger
from workers.services.requests import address_value

log = structlog.get_logger(__name__)

# Records in memory at once, and references compared in one transaction.
BATCH = 1_000


@dataclass(frozen=True)
class Work:
    """A run under way, with what it asks."""

    deps: Deps
    run: Run
    account: Account
    directory: Sites
    # An upload of the whole portfolio is at the provider: what it lists now may be of before or after.
    uploading: bool = False


def work_wanted(deps: Deps) -> bool:
    """Work one run that is wanted, to its end; False when none is."""
    run = deps.record(store.lease)
    if run is None:
        return False
    try:
        if run.token > store.TRIES:
            _end(deps, run, "failed", "the processes that worked it were lost")
        else:
            _work(deps, run)
    except RunLost:
        log.warning("sites.run_lost", run=run.id)
    except Exception:
        log.exception("sites.run_failed", run=run.id)
        _give_up(deps, run)
    return True


def _give_up(deps: Deps, run: Run) -> None:
    try:
        _end(deps, run, "failed", "something went wrong here; it was logged")
    except RunLost:
        log.warning("sites.run_lost", run=run.id)


def _work(deps: Deps, run: Run) -> None:
    with deps.sessions() as session:
        account = Ledger(session, deps).account(run.account_id)
    directory = registry.get(account.provider).sites
    if directory is None:
        _end(deps, run, "failed", "this provider keeps no directory of sites")
        return
    work = Work(deps, run, account, directory)
    _forget(work)  # what a lost owner left
    try:
        _list(work)
    except ReadFailed as error:
        _forget(work)
        _end(deps, run, "failed", f"the listing failed: {error.outcome.reason}")
        return
    with deps.sessions() as session:
        work = replace(work, uploading=importing.is_under_way(session, account.id))
    counts = _compare(work)
    _clear(work)
    repairing.repair(deps, run, account, missing=counts[Kind.MISSING] + counts[Kind.DELETED])
    _end(deps, run, "done", "")
    _forget(work)


# -- the listing ---------------------------------------------------------------------------------------------------


def _list(work: Work) -> None:
    """Stage the whole listing. No transaction is open while the provider is waited for. Raises ReadFailed."""
    settings = work.deps.settings
    call = Call(boot_time() + settings.listing_s, work.deps.tokens, idle_s=settings.listing_idle_s)
    for batch in _batches(work.directory.list_sites(call, work.account)):
        work.deps.record(partial(_stage, run=work.run, batch=batch))


def _batches(records: Iterator[Listed]) -> Iterator[list[Listed]]:
    while batch := list(itertools.islice(records, BATCH)):
        yield batch


def _stage(session: Session, run: Run, batch: list[Listed]) -> None:
    row = store.own(session, run)
    row.listed += store.stage(session, run.id, batch)


def _forget(work: Work) -> None:
    while work.deps.record(lambda session: store.forget(session, work.run.id, 10 * BATCH)):
        pass


# -- the comparison ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """What came of one page: findings by kind, where the next one begins (None: nowhere), and the book to ring for."""

    counts: Counter[Kind]
    last: str | None
    book: Ledger


def _compare(work: Work) -> Counter[Kind]:
    """All references of both sides in their order, a page in each transaction; then the records without one."""
    counts: Counter[Kind] = Counter()
    for read in (_compare_page, _nameless_page):
        after: str | None = ""
        while after is not None:
            page = work.deps.record(partial(read, work=work, after=after))
            page.book.ring_out()
            counts.update(page.counts)
            after = page.last
    return counts


def _compare_page(session: Session, work: Work, after: str) -> Page:
    book = Ledger(session, work.deps)
    row = store.own(session, work.run)
    pairs = store.pairs(session, work.run, after, BATCH)
    found: list[tuple[int | None, Finding]] = []
    unjudged: list[str] = []
    for pair in pairs:
        kept = _kept(work, pair)
        findings = compare(kept, pair.theirs, moved_m=work.deps.settings.site_moved_m)
        found += [(None if pair.site is None else pair.site.id, finding) for finding in findings]
        if kept is not None and not kept.settled:
            unjudged.append(pair.reference)
    store.touch(session, work.run, unjudged)
    learning.learn(book, work.account, pairs, frozenset(unjudged))
    counts = _keep(book, work, row, found)
    row.compared += len(pairs)
    return Page(counts, pairs[-1].reference if len(pairs) == BATCH else None, book)


def _nameless_page(session: Session, work: Work, after: str) -> Page:
    book = Ledger(session, work.deps)
    row = store.own(session, work.run)
    records = store.nameless(session, work.run, after, BATCH)
    found = [(None, finding) for record in records for finding in compare(None, [record], moved_m=0)]
    counts = _keep(book, work, row, found)
    return Page(counts, records[-1].provider_site_id if len(records) == BATCH else None, book)


def _keep(
    book: Ledger, work: Work, row: ReconciliationRun, found: Sequence[tuple[int | None, Finding]]
) -> Counter[Kind]:
    """Findings become drift; each that is new is written back, once."""
    fresh = store.record(book.session, work.run, found)
    drifting.tell_found(book, work.run, work.account, fresh)
    counts = Counter(finding.kind for _, finding in found)
    row.counts = dict(Counter(row.counts) + Counter({kind.value: n for kind, n in counts.items()}))
    row.opened += len(fresh)
    return counts


def _kept(work: Work, pair: Pair) -> Kept | None:
    """Our side as the provider should list it; what is on its way, or was a moment ago, is not judged."""
    site = pair.site
    if site is None:
        return None
    since = work.run.started_at
    recent = site.updated_at >= since or (site.synced_at is not None and site.synced_at >= since)
    if work.account.site_mode == "csv":
        # The rest waits for the next upload.
        there = site.synced_version == site.version and not work.uploading
    else:
        there = site.sync_state not in ("pending", "deleting")
    place = None if site.lat is None or site.lng is None else Coordinates(site.lat, site.lng)
    value = alarm.Site(
        reference=pair.reference,
        name=site.name,
        address=address_value(site.address),
        coordinates=place,
        provider_site_id=site.provider_site_id,
    )
    listed = work.directory.as_listed(work.account, value)
    return Kept(listed, settled=there and not recent, gone=site.deleted_at is not None)


# -- the end -------------------------------------------------------------------------------------------------------


def _clear(work: Work) -> None:
    """What this complete run did not show any more is over."""

    def part(session: Session) -> tuple[Ledger, int]:
        book = Ledger(session, work.deps)
        row = store.own(session, work.run)
        gone = store.clear(session, work.run, BATCH)
        drifting.tell_cleared(book, work.run, work.account, gone)
        row.cleared += len(gone)
        return book, len(gone)

    while True:
        book, count = work.deps.record(part)
        book.ring_out()
        if count < BATCH:
            return


def _end(deps: Deps, run: Run, state: str, reason: str) -> None:
    def work(session: Session) -> Ledger:
        book = Ledger(session, deps)
        row = store.own(session, run)
        row.state, row.reason = state, reason[:500]
        row.ended_at, row.lease_until = book.now, None
        session.flush()
        if state == "done":
            drifting.tell_people(book, run)
        return book

    deps.record(work).ring_out()
