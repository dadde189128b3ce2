"""A portfolio of sites from file to provider: check, save, upload, wait for the call back, compare.

Each step is a state of the row and can be taken up again from its beginning. Nothing is saved of a file with a bad row.
"""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from urllib.parse import urlsplit

import structlog
from sqlalchemy.orm import Session

from shared.clock import boot_time
from shared.crypto import hash_api_key
from shared.domain import portfolio, retry
from shared.domain.alarm import Coordinates, Site
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.domain.portfolio import Entry, Fault, NoPortfolio
from shared.providers import registry
from shared.providers.base import Account, Call, ReadFailed
from shared.providers.guard import is_loopback_host
from shared.store import importing as store
from shared.store import reconciling
from shared.store.importing import Held, ImportLost
from shared.store.models import ReconciliationRun, SiteImport
from workers.deps import Deps
from workers.services.ledger import Ledger
from workers.services.requests import address_value

log = structlog.get_logger(__name__)

BATCH = 1_000
FAULTS_KEPT = 500
TRIES = 5
CALLBACK_PATH = "/callbacks/site-imports/"


def work_due(deps: Deps) -> bool:
    """Do the next step of one import; False when none has one."""
    held = deps.record(store.lease)
    if held is None:
        return False
    try:
        with deps.sessions() as session:
            row = session.get_one(SiteImport, held.id)
            account = Ledger(session, deps).account(row.account_id)
        _STEPS[row.state](deps, held, row, account)
    except ImportLost:
        log.warning("sites.import_lost", site_import=held.id)
    except Exception:
        log.exception("sites.import_failed", site_import=held.id)
        deps.record(partial(_end, deps=deps, held=held, state="failed", reason="something went wrong here"))
    return True


# -- check and save ------------------------------------------------------------------------------------------------


def _take(deps: Deps, held: Held, row: SiteImport, account: Account) -> None:
    with deps.sessions() as session:
        sealed = store.file(session, row.id)
    assert sealed is not None
    content = deps.box.open_bytes(sealed)
    try:
        good, bad, faults = _check(deps, row, account, content)
    except NoPortfolio as error:
        good, bad, faults = 0, 1, [error.fault]
    reason = _refusal(deps, row, account, good, bad)
    report = {"good": good, "bad": bad, "faults": [asdict(fault) for fault in faults[:FAULTS_KEPT]]}
    if reason or row.dry_run:
        state = "checked" if row.dry_run else "refused"
        deps.record(partial(_end, deps=deps, held=held, state=state, reason=reason, report=report))
        return
    deps.record(partial(_begin, held=held))
    for batch in _batches(portfolio.read(content, row.delimiter)):
        deps.record(partial(_save, held=held, sites=[entry.site for entry in batch if entry.site is not None]))
    if not row.keep_absent:
        while deps.record(partial(_remove, held=held)):
            pass
    deps.record(partial(_saved, held=held, report=report))


def _check(deps: Deps, row: SiteImport, account: Account, content: bytes) -> tuple[int, int, list[Fault]]:
    """Good rows, bad rows, and what is wrong. Raises NoPortfolio."""
    directory = registry.get(account.provider).sites
    good, bad = 0, 0
    faults: list[Fault] = []
    for batch in _batches(portfolio.read(content, row.delimiter)):
        references = [entry.site.reference for entry in batch if entry.site is not None]
        with deps.sessions() as session:
            taken = store.elsewhere(session, row, references)
        for entry in batch:
            wrong = list(entry.faults)
            if entry.site is not None and directory is not None:
                wrong += [Fault(entry.line, "", reason) for reason in directory.check_site(account, entry.site)]
            if entry.site is not None and entry.site.reference in taken:
                wrong.append(Fault(entry.line, "site_ref", "belongs to another account"))
            good, bad = good + (not wrong), bad + bool(wrong)
            faults += wrong[: max(0, FAULTS_KEPT - len(faults))]
    return good, bad, faults


def _refusal(deps: Deps, row: SiteImport, account: Account, good: int, bad: int) -> str:
    """Why the file is not taken; "" when it is."""
    if bad:
        return f"{bad} rows are not usable"
    if good == 0:
        return "the file holds no site"
    if row.allow_fall or row.keep_absent:
        return ""
    with deps.sessions() as session:
        before = store.last_upload(session, account.id)
    try:
        before = _listed(deps, account) if before is None else before
    except ReadFailed as error:
        return f"it cannot be compared with what the provider lists: {error.outcome.reason}"
    share = deps.settings.import_fall_share
    if portfolio.shrinks(before, good, share):
        return portfolio.fall(before, good, share)
    return ""


def _listed(deps: Deps, account: Account) -> int:
    """How many living sites the provider lists. Raises ReadFailed."""
    directory = registry.get(account.provider).sites
    if directory is None:
        return 0
    call = Call(boot_time() + deps.settings.listing_s, deps.tokens, idle_s=deps.settings.listing_idle_s)
    return sum(not record.deleted for record in directory.list_sites(call, account))


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while batch := list(itertools.islice(entries, BATCH)):
        yield batch


def _begin(session: Session, *, held: Held) -> None:
    store.own(session, held).saved = 0


def _save(session: Session, *, held: Held, sites: list[Site]) -> None:
    row = store.own(session, held)
    row.saved += store.save(session, row, sites)


def _remove(session: Session, *, held: Held) -> int:
    row = store.own(session, held)
    count = store.remove_absent(session, row, BATCH)
    row.removed += count
    return count


def _saved(session: Session, *, held: Held, report: dict[str, object]) -> None:
    row = store.own(session, held)
    for name, value in report.items():
        setattr(row, name, value)
    row.state, row.content, row.lease_until = "saved", None, None


# -- upload --------------------------------------------------------------------------------------------------------


def _upload(deps: Deps, held: Held, row: SiteImport, account: Account) -> None:
    bulk = registry.get(account.provider).bulk
    address = _callback_address(deps, held)
    if bulk is None or not address:
        reason = "TOCSIN_PUBLIC_URL must be https, since the provider calls back there"
        deps.record(partial(_end, deps=deps, held=held, state="failed", reason=reason))
        return
    versions: list[tuple[int, int]] = []
    call = Call(boot_time() + deps.settings.upload_s, deps.tokens)
    outcome = bulk.upload(call, account, _sites(deps, account, versions), address)
    deps.record(partial(_uploaded, deps=deps, held=held, outcome=outcome, versions=versions))


def _callback_address(deps: Deps, held: Held) -> str:
    """Our address with the import's own secret, made once; "" where the provider could not call it."""

    def work(session: Session) -> str:
        row = store.own(session, held)
        row.attempts += 1
        if row.secret is None:
            secret = secrets.token_urlsafe(32)
            row.secret, row.secret_hash = deps.box.seal(secret), hash_api_key(secret)
        found: str = deps.box.open(row.secret)
        return found

    base = urlsplit(deps.settings.public_url)
    secret = deps.record(work)
    reachable = base.scheme == "https" or is_loopback_host(base.hostname or "")
    return f"{deps.settings.public_url.rstrip('/')}{CALLBACK_PATH}{secret}" if reachable else ""


def _sites(deps: Deps, account: Account, versions: list[tuple[int, int]]) -> Iterator[Site]:
    """The living sites of the account by reference; `versions` learns of each, deleted ones included."""
    versions.clear()
    after = ""
    while True:
        with deps.sessions() as session:
            page = store.uploadable(session, account.id, after, BATCH)
        for row in page:
            versions.append((row.id, row.version))
            if row.deleted_at is None and row.lat is not None and row.lng is not None:
                yield Site(
                    reference=row.reference,
                    name=row.name,
                    address=address_value(row.address),
                    coordinates=Coordinates(row.lat, row.lng),
                    account_number=row.account_number,
                    notes=row.notes,
                    gate_instructions=row.gate_instructions,
                )
        if len(page) < BATCH:
            return
        after = page[-1].reference


def _uploaded(
    session: Session, *, deps: Deps, held: Held, outcome: Outcome, versions: Sequence[tuple[int, int]]
) -> None:
    row = store.own(session, held)
    book = Ledger(session, deps)
    if isinstance(outcome, Accepted):
        for start in range(0, len(versions), BATCH):
            store.mark_uploaded(session, row.account_id, versions[start : start + BATCH])
        row.state, row.uploaded, row.lease_until = "awaiting", store.living(session, row.account_id), None
        row.wait_until = book.in_seconds(deps.settings.import_callback_s)
        return
    row.reason = outcome.reason[:500]
    delay = retry.note_delay(row.attempts, None, random.random())  # noqa: S311 - jitter
    if isinstance(outcome, Permanent) or row.attempts >= TRIES or delay is None:
        _finish(book, row, "failed", f"the upload failed: {outcome.reason}")
    else:  # a synchronisation that may have arrived is the same when it arrives again
        row.next_attempt_at, row.lease_until = book.in_seconds(delay), None


# -- what came of it -----------------------------------------------------------------------------------------------


def _compare(deps: Deps, held: Held, row: SiteImport, account: Account) -> None:
    def work(session: Session) -> None:
        mine = store.own(session, held)
        if mine.callback_at is None:
            mine.reason = f"the provider did not call back within {deps.settings.import_callback_s / 60:.0f} min"
        run = reconciling.want(session, mine.platform_id, mine.account_id, "import")
        mine.reconciliation_id, mine.state, mine.lease_until = run.id, "reconciling", None
        reconciling.hurry(session)

    deps.record(work)


def _conclude(deps: Deps, held: Held, row: SiteImport, account: Account) -> None:
    def work(session: Session) -> None:
        mine = store.own(session, held)
        run = session.get_one(ReconciliationRun, mine.reconciliation_id)
        words = [mine.reason] if mine.reason else []
        if run.state == "failed":
            words.append(f"the comparison afterwards failed: {run.reason}")
        good = run.state == "done" and mine.callback_at is not None
        _finish(Ledger(session, deps), mine, "done" if good else "failed", "; ".join(words))

    deps.record(work)


def _end(
    session: Session, *, deps: Deps, held: Held, state: str, reason: str, report: Mapping[str, object] | None = None
) -> None:
    row = store.own(session, held)
    for name, value in (report or {}).items():
        setattr(row, name, value)
    _finish(Ledger(session, deps), row, state, reason)


def _finish(book: Ledger, row: SiteImport, state: str, reason: str) -> None:
    """The import is over; of one that failed a person is told."""
    row.state, row.reason = state, reason[:500]
    row.ended_at, row.lease_until, row.content = book.now, None, None
    if state == "failed":
        words = f"Import {row.id} of sites failed: {reason}"
        book.notice(row.platform_id, f"import:{row.id}", "site_import", words, once=True)


_STEPS = {"wanted": _take, "saved": _upload, "awaiting": _compare, "reconciling": _conclude}
