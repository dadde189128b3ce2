"""Cancel: a valid one forbids every further create of its incident, and stops what is on its way."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.cancelling import Wish, refusal
from shared.domain.doubt import COMPLETE_LOOKUPS_BEFORE_RESEND
from shared.domain.kinds import Kind
from shared.domain.lifecycle import Status, ended
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.providers.base import Account, Call
from shared.store.models import Inbox, Incident, IncidentLeg, Leg, Outbox
from shared.store.outbox import Lease, fenced, finish, release, void_pending
from workers.deps import Deps
from workers.services import calling, legs, noting, surplus
from workers.services.ledger import Ledger

log = structlog.get_logger(__name__)

CONFIRM_READ_AFTER_S = 2.0
# The part of a call's time that the note of the reason may take before the cancel, and the database's patience for it.
REASON_SHARE = 0.2
REASON_PATIENCE_S = 0.5
# While the leg that is kept is on its way, a surplus one is looked at this often.
KEPT_AGAIN_S = 1.0


def asked(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Work a cancel from the inbox."""
    assert row.incident_id is not None
    incident = book.incident(row.incident_id)
    details = book.details(incident)
    person = details.get("person") or {}
    refused_before = int(details.get("panel_refusals", 0))
    policies = book.platform(incident.platform_id).policies
    why = refusal(
        Wish(
            kind=Kind(incident.kind),
            origin=body.get("origin") or "platform",
            pin=body.get("pin"),
            alarm_pin=person.get("pin"),
            pin_required=policies.get("pin") == "required",
            refused_before=refused_before,
        )
    )
    book.wake_creates(incident.site_id)
    _wake_own_create(book, incident)
    if why is not None and body.get("pin") and incident.status == Status.CLOSED.value:
        # Its PINs are wiped, so nobody can say any more that this one is wrong.
        if incident.cancel not in ("requested", "confirmed"):
            _too_late(book, incident, body)
        return
    if why is not None:
        if incident.cancel is None:
            incident.cancel = "refused"
        if body.get("origin") == "panel":
            incident.details = book.box.seal({**details, "panel_refusals": refused_before + 1})
        book.tell(incident, "cancel_refused", f"Cancel refused: {why}", source=_who(body), worse=True)
        return
    _valid(book, incident, body)


def _who(body: dict[str, Any]) -> str:
    return "panel" if body.get("origin") == "panel" else "operator"


def _wake_own_create(book: Ledger, incident: Incident) -> None:
    """The create waited for this cancel to be worked: let it go on (or find itself void)."""
    row = book.session.scalar(
        select(Outbox).where(
            Outbox.incident_id == incident.id,
            Outbox.kind == "create",
            Outbox.state == "pending",
            Outbox.lease_until.is_(None),
            Outbox.attempts == 0,
        )
    )
    if row is not None:
        book.send(row)


def _valid(book: Ledger, incident: Incident, body: dict[str, Any]) -> None:
    if incident.cancel in ("requested", "confirmed"):
        return
    incident.cancel_reason = body.get("reason")
    if body.get("note"):
        incident.details = book.box.seal({**book.details(incident), "cancel_note": body["note"]})
    asked_words = _asked_words(body)
    if ended(Status(incident.status)) and incident.status != Status.CANCELLED.value:
        if not _cancel_late_legs(book, incident):
            _too_late(book, incident, body)
        return
    leg = legs.live_leg(book.session, incident.id)
    incident.cancel = "requested"
    incident.moments = {**incident.moments, "cancel_requested": book.now.isoformat()}
    if leg is None or leg.outcome == "pending":
        if leg is not None:
            leg.outcome = "void"
            book.session.flush()
            void_pending(book.session, leg_id=leg.id, kind="create", why="cancelled")
        _confirmed(book, incident, leg, f"{asked_words}; nobody had been sent", source=_who(body))
        _cancel_late_legs(book, incident)
        return
    if leg.outcome == "accepted" and _others_need(book.session, leg, incident):
        _leave(book, incident, leg)
        words = f"{asked_words}; the response goes on for another incident at this site"
        _confirmed(book, incident, leg, words, source=_who(body))
        return
    book.tell(incident, "cancel_requested", asked_words, source=_who(body), leg=leg, urgent=True)
    if leg.outcome == "accepted":
        legs.send_cancel(book, leg, incident)
    _cancel_late_legs(book, incident)


def _asked_words(body: dict[str, Any]) -> str:
    reason = str(body.get("reason") or "other").replace("_", " ")
    by = f" by {body['by']}" if body.get("by") else ""
    return f"Cancel asked{by}: {reason}"


def _too_late(book: Ledger, incident: Incident, body: dict[str, Any]) -> None:
    incident.cancel = "too_late"
    words = f"{_asked_words(body)}; it is over already"
    book.tell(incident, "cancel_too_late", words, source=_who(body), worse=True)


def _confirmed(book: Ledger, incident: Incident, leg: Leg | None, words: str, *, source: str = "tocsin") -> None:
    incident.cancel = "confirmed"
    if leg is not None and leg.authorities:
        incident.after_authorities = True
        words += "; the authorities had been contacted, so responders may still come"
    if incident.status != Status.CLOSED.value:
        book.move(incident, Status.CANCELLED)
    in_doubt = _in_doubt(book.session, incident)
    if in_doubt is not None:
        cannot = impossible_words(book.account(in_doubt.account_id))
        words += f"; an earlier request, whose answer was lost, may have arrived all the same. {cannot}"
        tell_impossible(book, incident, cannot)
    book.tell(incident, "cancelled", words, source=source, leg=leg, urgent=True, worse=in_doubt is not None)


def _in_doubt(session: Session, incident: Incident) -> Leg | None:
    """A leg that was given up although nobody can say that it does not exist."""
    return session.scalar(
        select(Leg)
        .where(
            Leg.incident_id == incident.id,
            Leg.outcome == "doubtful",
            Leg.provider_alarm_id.is_(None),
            Leg.complete_lookups < COMPLETE_LOOKUPS_BEFORE_RESEND,
        )
        .limit(1)
    )


def impossible_words(account: Account) -> str:
    """What the operator reads of an alarm whose id nobody knows."""
    number = account.options.get("support_phone") or "the number in your contract"
    return f"It cannot be cancelled from here while its id is unknown: call the provider at {number}"


def tell_impossible(book: Ledger, incident: Incident, words: str) -> None:
    """Tell a person once, in both ways."""
    subject = f"cancel:{incident.id}"
    book.notice(incident.platform_id, subject, "cancel_impossible", words, incident_id=incident.id, once=True)


def _others_need(session: Session, leg: Leg, incident: Incident) -> bool:
    others = session.scalar(
        select(func.count())
        .select_from(IncidentLeg)
        .join(Incident, Incident.id == IncidentLeg.incident_id)
        .where(
            IncidentLeg.leg_id == leg.id,
            IncidentLeg.left_at.is_(None),
            IncidentLeg.incident_id != incident.id,
            Incident.ended_at.is_(None),
            Incident.cancel.is_(None) | (Incident.cancel == "refused"),
        )
    )
    return bool(others)


def _leave(book: Ledger, incident: Incident, leg: Leg) -> None:
    link = book.session.get_one(IncidentLeg, (incident.id, leg.id))
    link.left_at = book.now


def _cancel_late_legs(book: Ledger, incident: Incident) -> bool:
    """Legs that turned up as surplus are cancelled with their incident."""
    found = book.session.scalars(
        select(Leg).where(Leg.incident_id == incident.id, Leg.outcome == "surplus", Leg.cancel.is_(None))
    ).all()
    for leg in found:
        legs.send_cancel(book, leg, incident, surplus=True)
    return bool(found)


def cancel(deps: Deps, lease: Lease) -> None:
    """Send one cancel to the provider; safe to repeat until it is answered."""
    with deps.sessions() as session:
        book = Ledger(session, deps)
        row = session.get_one(Outbox, lease.id)
        assert row.leg_id is not None
        leg = session.get_one(Leg, row.leg_id)
        account = book.account(leg.account_id)
        sealed = deps.box.open(row.sealed) or {}
        why = sealed.get("why") if row.attempts == 0 else None
        guarded = bool((row.body or {}).get("if_kept_is_active"))
        leg_id, provider_alarm_id = leg.id, leg.provider_alarm_id
    if provider_alarm_id is None or not calling.may_start(deps, lease):
        return
    if guarded:
        kept = surplus.judge_kept(deps, lease, leg_id)
        if kept is not surplus.Kept.ACTIVE:
            _wait_or_leave(deps, lease, wait=kept is surplus.Kept.IN_FLIGHT)
            return
    attempt_id = deps.record(lambda session: _begin(session, lease, leg_id, guarded=guarded))
    if attempt_id is None:
        return
    if why:
        _say_why(deps, lease, account, leg_id, provider_alarm_id, why)
    outcome = registry.get(account.provider).dispatch.cancel(
        calling.frame(deps, lease), account, provider_alarm_id, sealed.get("pin")
    )
    book = deps.record(lambda session: _settle(session, deps, lease, leg_id, outcome, attempt_id))
    book.ring_out()


def _say_why(deps: Deps, lease: Lease, account: Account, leg_id: int, provider_alarm_id: str, why: str) -> None:
    """The reason goes ahead as a note, where notes are taken: tried once and shortly, for the cancel waits for it."""
    if registry.get(account.provider).notes is None:
        return
    call = Call(lease.boot_from + deps.settings.call_s * REASON_SHARE, deps.tokens)
    try:
        outcome = noting.send(deps, lease, call, account, leg_id, provider_alarm_id, why, patience_s=REASON_PATIENCE_S)
    except Exception as error:  # noqa: BLE001 - whatever it is, the cancel goes
        log.warning("cancel.reason_not_sent", row=lease.id, error=type(error).__name__)
        return
    if not isinstance(outcome, Accepted):
        log.warning("cancel.reason_not_sent", row=lease.id, outcome=type(outcome).__name__)


def _begin(session: Session, lease: Lease, leg_id: int, *, guarded: bool) -> int | None:
    row = fenced(session, lease)
    leg = session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
    if row is None or (guarded and leg.outcome != "surplus"):  # it took the place of the one that was kept
        return None
    row.attempts += 1
    leg.cancel = leg.cancel or "wanted"
    return calling.begin_attempt(session, lease, leg_id)


def _wait_or_leave(deps: Deps, lease: Lease, *, wait: bool) -> None:
    """Ask again while the kept leg is on its way; else the operator decides about the surplus one."""

    def work(session: Session) -> None:
        row = fenced(session, lease)
        now = Ledger(session, deps).now
        if row is not None and wait:
            release(row, now, now + timedelta(seconds=KEPT_AGAIN_S))
        elif row is not None:
            finish(row, now, "done", "left to the operator")

    deps.record(work)


def _settle(session: Session, deps: Deps, lease: Lease, leg_id: int, outcome: Outcome, attempt_id: int) -> Ledger:
    book = Ledger(session, deps)
    leg = session.get_one(Leg, leg_id)
    linked = book.lock({leg.incident_id, *legs.incident_ids(session, leg_id)})
    row = fenced(session, lease)
    leg = session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
    calling.end_attempt(session, attempt_id, outcome, late=row is None)
    if row is None:
        return book
    incidents = [one for one in linked if one.cancel == "requested"]
    if isinstance(outcome, Accepted):
        finish(row, book.now, "done")
        _taken(book, leg, incidents, outcome)
    elif isinstance(outcome, Permanent):
        finish(row, book.now, "done", outcome.reason[:500])
        leg.cancel = "refused"
        for one in incidents:
            one.cancel = "refused"
            book.tell(one, "cancel_refused", f"The provider refused the cancel: {outcome.reason}", leg=leg, worse=True)
            book.notice(
                one.platform_id,
                f"leg:{leg.id}",
                "cancel_refused",
                "The provider refused the cancel",
                incident_id=one.id,
            )
    else:
        row.last_error = outcome.reason[:500]
        delay = retry.create_delay(row.attempts, calling.retry_after(outcome), random.random())  # noqa: S311 - jitter
        release(row, book.now, book.in_seconds(delay))
    return book


def _taken(book: Ledger, leg: Leg, incidents: list[Incident], outcome: Accepted) -> None:
    # An event that overtook this answer has settled it.
    if not outcome.settled and leg.status not in (Status.CANCELLED.value, Status.CLOSED.value):
        leg.cancel = "requested"
        legs.ask_read(book, leg, in_s=CONFIRM_READ_AFTER_S)
        return
    was_surplus = leg.outcome == "surplus"
    leg.cancel = "confirmed"
    book.end_notice(f"leg:{leg.id}")
    if leg.status != Status.CLOSED.value:
        leg.status = Status.CANCELLED.value
    book.session.flush()
    for one in incidents:
        _confirmed(book, one, leg, "Response cancelled at the provider")
    if was_surplus:
        leg.outcome = "ended"
        opener = book.incident(leg.incident_id)
        book.tell(opener, "surplus_cancelled", "The second response was cancelled at the provider", leg=leg)
        book.end_notice(f"leg:{leg.id}")
