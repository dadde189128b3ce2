"""The create: hold, join, send, or look up. The heart of Tocsin (laws 2, 3, 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session, load_only

from shared.domain.alarm import DispatchRequest
from shared.domain.outcome import Permanent
from shared.providers import registry
from shared.providers.base import Account, Provider
from shared.store import sending
from shared.store.engine import each_alone
from shared.store.models import Incident, Leg, Outbox, ProviderAccount, Site
from shared.store.outbox import Lease, finish, release, still_ours
from workers.deps import Deps
from workers.services import calling, doubting, joining, legs
from workers.services.ledger import Ledger
from workers.services.requests import build, why_blocked
from workers.services.settling import in_doubt, record, stop_if_cancelled

HOLD_S = 0.5
SITE_WAIT_S = 10.0
# A database that is away for longer costs the lease, and the row is taken up again.
PLAN_PATIENCE_S = 10.0


class NotNowError(Exception):
    """Found under the lock, just before the first byte: this create must wait or is no longer wanted."""


@dataclass(frozen=True)
class Plan:
    """What to do about a leased create: `send`, `look` (its outcome is unknown), `join`, or nothing any more."""

    action: str
    leg_id: int = 0
    site_id: int | None = None
    incident_id: str = ""
    account: Account | None = None
    provider: Provider | None = None
    request: DispatchRequest | None = field(default=None, repr=False)
    join: joining.Open | None = None
    after_conflict: bool = False
    # The open response of the site that was read just now, and does not answer any more.
    refused: int | None = None


# Of the account, what becomes its value (shared/accounts.py).
_ACCOUNT = load_only(
    ProviderAccount.provider,
    ProviderAccount.base_url,
    ProviderAccount.environment,
    ProviderAccount.site_mode,
    ProviderAccount.credentials,
    ProviderAccount.webhook_secrets,
    ProviderAccount.options,
)
# Made once: building a statement takes longer than sending it. The account comes along for the book.
_LOOK = (
    select(
        Leg, Incident, Outbox.expires_at < func.now(), sending.CANCEL_WAITS, sending.SITE_IS_BUSY, ProviderAccount, Site
    )
    .join(Outbox, Outbox.leg_id == Leg.id)
    .join(Incident, Incident.id == Outbox.incident_id)
    .join(ProviderAccount, ProviderAccount.id == Leg.account_id)
    .outerjoin(Site, Site.id == Leg.site_id)
    .where(Outbox.id == bindparam("row_id"), Leg.outcome == "pending")
    .options(sending.LEG, _ACCOUNT)
)


def create(deps: Deps, lease: Lease) -> None:
    """Work one leased row of kind `create` to its next rest."""
    plan = _glance(deps, lease) or _commit(deps, lambda book: _plan(book, lease))
    if plan.action == "join" and plan.join is not None:
        if joining.try_join(deps, lease, plan.leg_id, plan.join):
            return
        if plan.after_conflict:
            conflict = Permanent("conflict: the provider names an open response that no longer answers")
            record(deps, lease, plan.leg_id, plan.incident_id, conflict, None)
            return
        refused = plan.join.leg_id
        plan = _commit(deps, lambda book: _plan(book, lease, refused=refused))
    if plan.action == "look":
        doubting.look_up(deps, lease, plan.leg_id)
    elif plan.action == "send":
        _send(deps, lease, plan)
    elif plan.action == "join":  # another one was opened while the first was read
        _not_sent(deps, lease, plan)


def _commit(deps: Deps, work: Callable[[Ledger], Plan]) -> Plan:
    def run(session: Session) -> tuple[Ledger, Plan]:
        book = Ledger(session, deps)
        return book, work(book)

    book, plan = deps.record(run, patience_s=PLAN_PATIENCE_S)
    book.ring_out()
    return plan


def _glance(deps: Deps, lease: Lease) -> Plan | None:
    """The plan of a create that nothing stands in the way of, read without a lock; None when there is more to it.

    All that may change before the first byte is asked again in front of it, under locks.
    """
    return deps.record(
        lambda session: _plain_send(Ledger(each_alone(session), deps), lease), patience_s=PLAN_PATIENCE_S
    )


def _plain_send(book: Ledger, lease: Lease) -> Plan | None:
    found = book.session.execute(_LOOK, {"row_id": lease.id}).first()
    if found is None:
        return None
    leg, incident, too_old, cancel_waits, site_is_busy, _, site = found
    account = book.account(leg.account_id)
    provider = registry.get(account.provider)
    if too_old or why_blocked(site) is not None:
        return None
    if _why_wait((cancel_waits, site_is_busy), site, provider, account) is not None:
        return None
    if _to_join(book.session, leg, provider, None) is not None:
        return None
    request = build(book, incident, possible_double=leg.possible_double)
    if provider.dispatch.check(account, request):
        return None
    return Plan("send", leg.id, leg.site_id, incident.id, account, provider, request)


def _plan(book: Ledger, lease: Lease, *, refused: int | None = None) -> Plan:
    row = book.session.get_one(Outbox, lease.id)
    assert row.incident_id is not None
    assert row.leg_id is not None
    incident = book.incident(row.incident_id)
    owned = still_ours(book.session, lease)
    if owned is None:
        return Plan("nothing")
    leg = book.session.get_one(Leg, row.leg_id, with_for_update=True, populate_existing=True)
    if leg.outcome == "sending":
        _lease_was_lost(book, leg, incident, owned)
    if owned.state != "pending":
        return Plan("nothing")
    if leg.outcome == "unknown":
        return Plan("look", leg_id=leg.id)
    if leg.outcome != "pending":
        finish(owned, book.now, "void", f"leg is {leg.outcome}")
        return Plan("nothing")
    account = book.account(leg.account_id)
    provider = registry.get(account.provider)
    site = book.site(leg.site_id)
    blocked = why_blocked(site)
    if blocked is not None:
        finish(owned, book.now, "done", "the site is blocked")
        legs.fail(book, incident, blocked, leg=leg)
        return Plan("nothing")
    wait = _why_wait(sending.in_the_way(book.session, leg), site, provider, account)
    if wait == "site" and site is not None and _never_comes(book, leg, site):
        _fail_without_site(book, incident, leg, site, owned)
        return Plan("nothing")
    if wait is not None:
        release(owned, book.now, book.in_seconds(HOLD_S))
        return Plan("nothing")
    if owned.expires_at is not None and owned.expires_at < book.now:
        finish(owned, book.now, "done", "too old")
        legs.fail(book, incident, "the alarm is too old to be sent without a named person (resend or drop it)", leg=leg)
        return Plan("nothing")
    request = build(book, incident, possible_double=leg.possible_double)
    problems = provider.dispatch.check(account, request)
    if problems:
        finish(owned, book.now, "done", "refused before sending")
        legs.fail(book, incident, "; ".join(problems), leg=leg)
        return Plan("nothing")
    plan = Plan("send", leg.id, leg.site_id, incident.id, account, provider, request, refused=refused)
    candidate = _to_join(book.session, leg, provider, refused)
    if candidate is not None:
        return replace(plan, action="join", join=candidate, after_conflict=owned.last_error.startswith("conflict"))
    return plan


def _to_join(session: Session, leg: Leg, provider: Provider, refused: int | None) -> joining.Open | None:
    """An open response at the leg's site, unless it is the one that a read has just refused."""
    if provider.lookup is None:
        return None
    candidate = joining.open_at_site(session, leg)
    return None if candidate is None or candidate.leg_id == refused else candidate


def _lease_was_lost(book: Ledger, leg: Leg, incident: Incident, row: Outbox) -> None:
    """A former owner committed `sending` and vanished: its request may have arrived."""
    assert leg.sending_at is not None
    ended = leg.sending_at + timedelta(seconds=book.deps.settings.call_s)
    in_doubt(book, leg, incident, row, "the process that sent it was lost", ended)


def _why_wait(way: tuple[bool, bool], site: Site | None, provider: Provider, account: Account) -> str | None:
    """Why the create may not go now: a cancel still in the inbox, a site unknown there, a site's other create."""
    cancel_waits, site_is_busy = way
    if cancel_waits:
        return "cancel"
    if _is_unknown(site, provider, account):
        return "site"
    return "busy" if site_is_busy and _one_by_one(provider) else None


def _is_unknown(site: Site | None, provider: Provider, account: Account) -> bool:
    """The site has to be registered before it can be named."""
    by_id = provider.sites is not None and account.site_mode == "rest"
    return by_id and site is not None and site.provider_site_id is None


def _one_by_one(provider: Provider) -> bool:
    """Where a doubt can be looked up, one create of a site is in flight at most: else two could be the one found."""
    return provider.lookup is not None


def _never_comes(book: Ledger, leg: Leg, site: Site) -> bool:
    """The site's registration failed, or took too long."""
    waited = (book.now - leg.created_at).total_seconds()
    return waited >= SITE_WAIT_S or site.sync_state in ("failed", "conflict")


def _fail_without_site(book: Ledger, incident: Incident, leg: Leg, site: Site, row: Outbox) -> None:
    finish(row, book.now, "done", "site unknown at the provider")
    why = f": {site.sync_error}" if site.sync_error else ""
    legs.fail(book, incident, f"the provider does not know the site{why}", leg=leg)


def _send(deps: Deps, lease: Lease, plan: Plan) -> None:
    assert plan.provider is not None
    assert plan.account is not None
    assert plan.request is not None
    attempt: list[int] = []

    def before_send() -> None:
        calling.require_time(deps, lease)
        with deps.sessions.begin() as session:
            attempt[:] = [_mark_sending(session, lease, plan, attempt)]

    if not calling.may_start(deps, lease):
        _not_sent(deps, lease, plan)
        return
    try:
        outcome = plan.provider.dispatch.create(calling.frame(deps, lease, before_send), plan.account, plan.request)
    except (calling.LeaseLostError, NotNowError, *calling.DATABASE_AWAY):  # all before the first byte
        _not_sent(deps, lease, plan)
        return
    attempt_id = attempt[0] if attempt else None
    record(deps, lease, plan.leg_id, plan.incident_id, outcome, attempt_id)


def _mark_sending(session: Session, lease: Lease, plan: Plan, attempt: list[int]) -> int:
    """Commit `sending` just before the first byte, unless what was planned is no longer so; the attempt's id."""
    assert plan.provider is not None
    assert plan.account is not None
    held = sending.hold(session, lease, plan.leg_id, with_site=plan.site_id is not None)
    if held is None:
        raise calling.LeaseLostError
    leg, site = held.leg, held.site
    again = bool(attempt) and leg.outcome == "sending"  # the same send after a renewed token
    if again and held.cancel in (None, "refused"):
        return attempt[0]
    if leg.outcome != "pending" or why_blocked(site) is not None or _is_unknown(site, plan.provider, plan.account):
        raise NotNowError
    if _to_join(session, leg, plan.provider, plan.refused) is not None:  # it was opened while we connected
        raise NotNowError
    marked = sending.mark(session, lease, held, one_by_one=_one_by_one(plan.provider))
    if marked is None:
        raise NotNowError
    return marked


def _not_sent(deps: Deps, lease: Lease, plan: Plan) -> None:
    """Certainly nothing was taken: give the row back, also when an earlier send of it was turned away with a 401."""

    def work(session: Session) -> Ledger:
        book = Ledger(session, deps)
        incident = book.incident(plan.incident_id)
        row = still_ours(session, lease)
        leg = session.get_one(Leg, plan.leg_id, with_for_update=True, populate_existing=True)
        if row is not None:
            release(row, book.now, book.in_seconds(HOLD_S))
            if leg.outcome == "sending" and leg.sending_token == lease.token:
                leg.outcome = "pending"
                stop_if_cancelled(book, row, leg, incident)
        return book

    deps.record(work).ring_out()
