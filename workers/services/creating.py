"""The create: hold, join, send, or look up; then record what came of it. The heart of Tocsin (laws 2, 3, 4)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain import doubt, retry
from shared.domain.alarm import DispatchRequest
from shared.domain.kinds import Kind
from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from shared.providers import registry
from shared.providers.base import Account, Provider
from shared.store.models import Inbox, Incident, Leg, Outbox, Site
from shared.store.outbox import Lease, fenced, finish, release, still_ours
from workers.deps import Deps
from workers.services import calling, doubting, joining, legs, surplus
from workers.services.ledger import Ledger
from workers.services.requests import build, why_blocked

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
    incident_id: str = ""
    account: Account | None = None
    provider: Provider | None = None
    request: DispatchRequest | None = field(default=None, repr=False)
    join: joining.Open | None = None
    after_conflict: bool = False
    # The open response of the site that was read just now, and does not answer any more.
    refused: int | None = None


def create(deps: Deps, lease: Lease) -> None:
    """Work one leased row of kind `create` to its next rest."""
    plan = _commit(deps, lambda book: _plan(book, lease))
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
    ring(deps, book)
    return plan


def ring(deps: Deps, book: Ledger) -> None:
    """Ring for all that a committed book asked for."""
    for what in book.rings():
        deps.ringer.ring(what)


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
    blocked = _why_blocked(book, leg)
    if blocked is not None:
        finish(owned, book.now, "done", "the site is blocked")
        legs.fail(book, incident, blocked, leg=leg)
        return Plan("nothing")
    wait = _must_wait(book, incident, leg, provider, account)
    if wait is not None:
        if wait == "unregistered":
            _site_never_came(book, incident, leg, owned)
        else:
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
    candidate = _to_join(book, leg, provider, refused)
    if candidate is not None:
        conflict = owned.last_error.startswith("conflict")
        return Plan("join", leg.id, incident.id, account, provider, request, candidate, after_conflict=conflict)
    return Plan("send", leg.id, incident.id, account, provider, request, refused=refused)


def _to_join(book: Ledger, leg: Leg, provider: Provider, refused: int | None) -> joining.Open | None:
    """An open response at the leg's site, unless it is the one that a read has just refused."""
    if provider.lookup is None:
        return None
    candidate = joining.open_at_site(book, leg)
    return None if candidate is None or candidate.leg_id == refused else candidate


def _lease_was_lost(book: Ledger, leg: Leg, incident: Incident, row: Outbox) -> None:
    """A former owner committed `sending` and vanished: its request may have arrived."""
    assert leg.sending_at is not None
    ended = leg.sending_at + timedelta(seconds=book.deps.settings.call_s)
    _in_doubt(book, leg, incident, row, "the process that sent it was lost", ended)


def _why_blocked(book: Ledger, leg: Leg) -> str | None:
    """What was found out of the site since the alarm came."""
    return None if leg.site_id is None else why_blocked(book.session.get_one(Site, leg.site_id, populate_existing=True))


def _must_wait(book: Ledger, incident: Incident, leg: Leg, provider: Provider, account: Account) -> str | None:
    """Why the create may not go now: a cancel still in the inbox, a site's other create, a site unknown there."""
    cancel_waits = book.session.scalar(
        select(Inbox.id)
        .where(Inbox.incident_id == incident.id, Inbox.source == "cancel", Inbox.state == "pending")
        .limit(1)
    )
    if cancel_waits is not None:
        return "cancel"
    if provider.sites is not None and account.site_mode == "rest" and leg.site_id is not None:
        site = book.session.get_one(Site, leg.site_id, populate_existing=True)
        if site.provider_site_id is None:
            waited = (book.now - leg.created_at).total_seconds()
            return "unregistered" if waited >= SITE_WAIT_S or site.sync_state in ("failed", "conflict") else "site"
    if provider.lookup is not None and legs.site_is_busy(book.session, leg):
        return "busy"
    return None


def _site_never_came(book: Ledger, incident: Incident, leg: Leg, row: Outbox) -> None:
    site = book.session.get_one(Site, leg.site_id)
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
            attempt[:] = [_mark_sending(Ledger(session, deps), lease, plan, attempt)]

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


def _mark_sending(book: Ledger, lease: Lease, plan: Plan, attempt: list[int]) -> int:
    """Commit `sending` just before the first byte, under the incident's and the site's locks."""
    incident = book.incident(plan.incident_id)
    leg_site = book.session.scalar(select(Leg.site_id).where(Leg.id == plan.leg_id))
    if leg_site is not None:
        book.session.execute(select(Site.id).where(Site.id == leg_site).with_for_update())
    row = still_ours(book.session, lease)
    if row is None:
        raise calling.LeaseLostError
    leg = book.session.get_one(Leg, plan.leg_id, with_for_update=True, populate_existing=True)
    again = bool(attempt) and leg.outcome == "sending"  # the same send after a renewed token
    if again and incident.cancel in (None, "refused"):
        return attempt[0]
    assert plan.provider is not None
    assert plan.account is not None
    if leg.outcome != "pending" or _must_wait(book, incident, leg, plan.provider, plan.account) is not None:
        raise NotNowError
    if _why_blocked(book, leg) is not None:
        raise NotNowError
    if _to_join(book, leg, plan.provider, plan.refused) is not None:  # it was opened while we connected
        raise NotNowError
    leg.outcome = "sending"
    leg.sending_at = book.now
    leg.sending_token = lease.token
    row.attempts += 1
    if incident.status == "received":
        incident.status = "requesting"
        incident.moments = {**incident.moments, "requesting": book.now.isoformat()}
    return calling.begin_attempt(book.session, lease, leg.id)


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
                _stop_if_cancelled(book, row, leg, incident)
        return book

    ring(deps, deps.record(work))


def record(deps: Deps, lease: Lease, leg_id: int, incident_id: str, outcome: Outcome, attempt_id: int | None) -> None:
    """Record an outcome; a late owner only appends the answer that it got to its own leg (law 3)."""
    twin = joining.Twin.NONE
    if isinstance(outcome, Accepted):
        twin = joining.judge_twin(deps, lease, leg_id, outcome.provider_id)

    def work(session: Session) -> Ledger | None:
        book = Ledger(session, deps)
        incident = book.incident(incident_id)
        row = fenced(session, lease)
        leg = session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
        if isinstance(outcome, Accepted) and twin is joining.Twin.NONE:
            legs.lock_provider_id(session, leg.account_id, outcome.provider_id)
            if joining.twin(book, leg, outcome.provider_id) is not None:
                return None
        calling.end_attempt(session, attempt_id, outcome, late=row is None)
        if row is None:
            late(book, lease, leg, incident, outcome)
        elif isinstance(outcome, Accepted) and twin is not joining.Twin.NONE:
            settle_twin(book, row, leg, incident, outcome, twin)
        else:
            settle(book, row, leg, incident, outcome)
        return book

    book = deps.record(work)
    if book is None:  # somebody's look-up took this id since we looked
        record(deps, lease, leg_id, incident_id, outcome, attempt_id)
    else:
        ring(deps, book)


def settle_twin(book: Ledger, row: Outbox, leg: Leg, incident: Incident, outcome: Accepted, twin: joining.Twin) -> None:
    """The answer names another leg's id: that counts only if a read says that it is active and not completed."""
    other = joining.twin(book, leg, outcome.provider_id)
    if leg.outcome not in ("pending", "sending", "unknown") or other is None:
        finish(row, book.now, "void", f"leg is {leg.outcome}")
    elif twin is joining.Twin.UNREAD:
        after_unknown(book, leg, incident, row, "the answer names an open response that could not be read")
    elif twin is joining.Twin.ACTIVE and joining.is_answering(other):
        joining.join(book, row, leg, other, incident)
    else:
        finish(row, book.now, "done", "answered with a response that is over")
        legs.fail(book, incident, "the provider answered with a response that is over", leg=leg)


def settle(book: Ledger, row: Outbox, leg: Leg, incident: Incident, outcome: Outcome) -> None:
    """The owner's record: what each of the four outcomes means for the leg and its incident."""
    if leg.outcome not in ("pending", "sending", "unknown"):
        surplus.append(book, leg, incident, outcome)
        finish(row, book.now, "void", f"leg is {leg.outcome}")
    elif isinstance(outcome, Accepted):
        finish(row, book.now, "done")
        legs.accept(book, leg, incident, outcome.provider_id, how="Response requested")
    elif surplus.takes_over(book, leg, incident, outcome):
        finish(row, book.now, "done", outcome.reason[:500])
    elif isinstance(outcome, Temporary):
        row.attempts += leg.outcome == "pending"  # it failed before `sending`: that was a try as well
        leg.outcome = "pending"
        leg.possible_double = leg.possible_double or outcome.after_server_error
        incident.possible_double = incident.possible_double or outcome.after_server_error
        row.last_error = outcome.reason[:500]
        delay = retry.create_delay(row.attempts, outcome.retry_after, random.random())  # noqa: S311 - jitter
        release(row, book.now, book.in_seconds(delay))
        _stop_if_cancelled(book, row, leg, incident)
    elif isinstance(outcome, Permanent):
        first_conflict = outcome.reason.startswith("conflict") and not row.last_error.startswith("conflict")
        row.last_error = outcome.reason[:500]
        if first_conflict and joining.open_at_site(book, leg) is not None:
            leg.outcome = "pending"
            release(row, book.now)
            return
        finish(row, book.now, "done", outcome.reason[:500])
        legs.fail(book, incident, outcome.reason, leg=leg)
        _stop_if_cancelled(book, row, leg, incident)
    else:
        after_unknown(book, leg, incident, row, outcome.reason)


def _stop_if_cancelled(book: Ledger, row: Outbox, leg: Leg, incident: Incident) -> None:
    """A cancel that came while the request was in flight is done now that it certainly was not taken."""
    if incident.cancel != "requested":
        return
    if row.state == "pending":
        finish(row, book.now, "void", "cancelled")
    leg.outcome = "void"
    incident.cancel = "confirmed"
    book.move(incident, Status.CANCELLED)
    book.tell(incident, "cancelled", "Cancelled before it reached the provider", leg=leg, urgent=True)


def after_unknown(book: Ledger, leg: Leg, incident: Incident, row: Outbox, why: str) -> None:
    """Never repeat it blindly: look where that is possible, else follow the policy of the kind (law 4)."""
    _in_doubt(book, leg, incident, row, why, book.now)
    if row.state == "pending":
        release(row, book.now, book.in_seconds(doubt.LOOKUP_AT_S[0]))


def _in_doubt(book: Ledger, leg: Leg, incident: Incident, row: Outbox, why: str, ended_at: datetime) -> None:
    """The call ended at `ended_at` without an answer. Where a look-up is possible, the row stays leased for it."""
    leg.outcome = "unknown"
    leg.unknown_at = ended_at
    leg.complete_lookups = 0
    row.last_error = why[:500]
    if surplus.takes_over(book, leg, incident, Unknown(why)):
        finish(row, book.now, "done", why[:500])
        return
    if registry.get(book.account(leg.account_id).provider).lookup is None:
        row.next_attempt_at = ended_at + timedelta(seconds=retry.create_delay(row.attempts, None, random.random()))  # noqa: S311 - jitter
        decide_without_lookup(book, leg, incident, row, why)


def decide_without_lookup(book: Ledger, leg: Leg, incident: Incident, row: Outbox, why: str) -> None:
    """Send again for life safety, else hold for a person."""
    wanted = doubt.policy(Kind(incident.kind), book.platform(incident.platform_id).policies.get("create_unknown", {}))
    finish(row, book.now, "done", "outcome unknown")
    if (
        wanted is doubt.Policy.RESEND
        and incident.cancel in (None, "refused")
        and row.expires_at
        and row.expires_at > book.now
    ):
        legs.resend(book, incident, leg, why, after=row)
    else:
        legs.unconfirmed(book, incident, leg)


def late(book: Ledger, lease: Lease, leg: Leg, incident: Incident, outcome: Outcome) -> None:
    """A late owner's answer: it clears its own doubt, or turns up as a surplus; else it is only kept."""
    if not isinstance(outcome, Accepted) or leg.provider_alarm_id is not None:
        return
    own_attempt = leg.sending_token == lease.token
    if leg.outcome in ("sending", "unknown") and own_attempt and joining.twin(book, leg, outcome.provider_id) is None:
        legs.accept(book, leg, incident, outcome.provider_id, how="Response requested (the answer came late)")
    else:
        surplus.append(book, leg, incident, outcome)
