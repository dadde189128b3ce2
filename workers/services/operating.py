"""What a person does to an incident: note, resend, drop, close, acknowledge. Each with his name on the timeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select, update

from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.store.models import Audit, Inbox, Incident, Leg, Notice, Outbox, ProviderAccount, Site
from shared.store.outbox import void_pending
from workers.services import legs
from workers.services.ledger import Ledger

NOT_YET = (Status.RECEIVED, Status.HOLDING, Status.REQUESTING, Status.UNCONFIRMED, Status.FAILED)


def note(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Send the operator's note; its one entry comes with its delivery, so that it is not mirrored twice."""
    incident = _incident(book, row)
    if incident.account_id is None or incident.ended_at is not None:
        book.tell(incident, "note_not_delivered", "Note not delivered: nobody is responding", source="operator")
        return
    book.send(
        Outbox(
            lane=Lane.OUTGOING.value,
            kind="note",
            destination=f"account:{incident.account_id}",
            platform_id=incident.platform_id,
            account_id=incident.account_id,
            incident_id=incident.id,
            priority=10,
            sealed=book.box.seal({"text": body["text"], "by": body.get("by")}),
            body={"operator": True},
        )
    )


def resend(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Send anew by a named person; a valid cancel forbids it, and so does a response that is on its way."""
    incident = _incident(book, row)
    by = _named(book, incident, body, "resend")
    _resolve(book, incident)
    refused = _no_resend(book, incident)
    if refused is not None:
        book.tell(incident, "resend_refused", f"Resend by {by} refused: {refused}", source="operator")
        return
    _watch_anew(book, incident)
    until = book.in_seconds(book.deps.settings.create_max_age_s)
    leg = legs.live_leg(book.session, incident.id)
    if leg is not None and leg.outcome == "pending":
        _hurry(book, leg.id, until)
        book.tell(incident, "resend", f"Resend by {by}: the request is being tried already", source="operator")
        return
    if leg is not None and leg.outcome in ("sending", "unknown"):
        legs.resend(book, incident, leg, f"asked by {by}", by="operator", expires_at=until)
        return
    if leg is not None:
        leg.outcome = "ended"
        book.session.flush()
    fresh_id = legs.open_leg(book, incident, expires_at=until, possible_double=incident.possible_double)
    fresh = book.session.get_one(Leg, fresh_id)
    book.move(incident, Status.REQUESTING)
    book.tell(incident, "resend", f"Sent again by {by}", source="operator", leg=fresh)


def _resolve(book: Ledger, incident: Incident) -> None:
    """Site or account may have been set up since the alarm failed for want of them."""
    if incident.site_ref is None and incident.account_id is None:
        named = book.details(incident).get("provider")
        wanted = named or book.platform(incident.platform_id).policies.get("default_provider")
        incident.account_id = book.session.scalar(
            select(ProviderAccount.id)
            .where(ProviderAccount.platform_id == incident.platform_id, ProviderAccount.provider == wanted)
            .order_by(ProviderAccount.is_default.desc(), ProviderAccount.id)
            .limit(1)
        )
    if incident.site_ref is None or incident.site_id is not None:
        return
    site = book.session.scalar(
        select(Site).where(
            Site.platform_id == incident.platform_id,
            Site.reference == incident.site_ref,
            Site.deleted_at.is_(None),
        )
    )
    if site is not None:
        incident.site_id, incident.account_id = site.id, site.account_id


def _no_resend(book: Ledger, incident: Incident) -> str | None:
    if incident.cancel in ("requested", "confirmed", "too_late"):
        return "the incident was cancelled"
    if incident.account_id is None or (incident.site_ref is not None and incident.site_id is None):
        return "no provider or site is known for it"
    leg = legs.live_leg(book.session, incident.id)
    if leg is not None and leg.outcome == "accepted" and leg.status != Status.CANCELLED.value:
        return "a response is on its way"
    return None


def _watch_anew(book: Ledger, incident: Incident) -> None:
    """Who heard of the first failure has not heard of the next: it is told once this try had its time, too."""
    incident.acknowledged_by = None
    book.session.execute(
        update(Notice)
        .where(
            Notice.subject == f"incident:{incident.id}", Notice.ended_at.is_(None), Notice.acknowledged_at.is_not(None)
        )
        .values(
            acknowledged_at=None,
            acknowledged_by=None,
            next_at=book.in_seconds(book.deps.settings.told_after_s),
        )
        .execution_options(synchronize_session=False)
    )


def _hurry(book: Ledger, leg_id: int, until: object) -> None:
    book.session.execute(
        update(Outbox)
        .where(
            Outbox.leg_id == leg_id, Outbox.kind == "create", Outbox.state == "pending", Outbox.lease_until.is_(None)
        )
        .values(next_attempt_at=book.now, expires_at=until)
        .execution_options(synchronize_session=False)
    )
    book.ring(Lane.DISPATCH)


def drop(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """A named person decides that nobody is sent; it ends the attempts, never a response that was accepted."""
    incident = _incident(book, row)
    by = _named(book, incident, body, "drop")
    leg = legs.live_leg(book.session, incident.id)
    if leg is not None and leg.outcome == "accepted":
        words = f"Drop by {by} refused: a response is on its way, cancel it instead"
        book.tell(incident, "drop_refused", words, source="operator", leg=leg)
        return
    if ended(Status(incident.status)):
        return
    if leg is not None:
        leg.outcome = "void" if leg.outcome == "pending" else "doubtful"
        book.session.flush()
        void_pending(book.session, leg_id=leg.id, kind="create", why="dropped")
    why = str(body.get("reason") or "no reason given")
    book.move(incident, Status.DROPPED, f"dropped by {by}: {why}")
    book.tell(incident, "dropped", f"Dropped by {by}: {why}", source="operator", leg=leg)


def close(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """The operator closes what the provider's end was not seen of."""
    incident = _incident(book, row)
    by = _named(book, incident, body, "close")
    if incident.status == Status.CLOSED.value:
        return
    if Status(incident.status) in NOT_YET:
        words = f"Close by {by} refused: nobody has accepted the alarm yet (resend, drop or cancel it)"
        book.tell(incident, "close_refused", words, source="operator")
        return
    leg = legs.live_leg(book.session, incident.id)
    if leg is not None:
        linked = legs.incident_ids(book.session, leg.id)
        if linked == [incident.id]:
            leg.outcome = "ended"
    book.move(incident, Status.CLOSED, f"closed by {by}")
    book.tell(incident, "closed", f"Closed by {by}", source="operator", leg=leg)


def acknowledge(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Silence the notices of an incident; attempts go on. What was opened after he spoke he cannot have heard of."""
    incident = _incident(book, row)
    by = _named(book, incident, body, "acknowledge")
    incident.acknowledged_by = by
    book.session.execute(
        update(Notice)
        .where(
            Notice.incident_id == incident.id,
            Notice.ended_at.is_(None),
            Notice.acknowledged_at.is_(None),
            Notice.opened_at <= row.received_at,
        )
        .values(acknowledged_at=book.now, acknowledged_by=by)
        .execution_options(synchronize_session=False)
    )
    book.tell(incident, "acknowledged_by_operator", f"Acknowledged by {by}", source="operator")


def report(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Note where the report of what happened was filed; a later one takes its place."""
    incident = _incident(book, row)
    by = _named(book, incident, body, "report")
    incident.report_url, incident.reported_by, incident.reported_at = str(body["url"]), by, book.now
    detail = {"report_url": incident.report_url}
    book.tell(incident, "report_filed", f"Report filed by {by}", source="operator", detail=detail)


def _incident(book: Ledger, row: Inbox) -> Incident:
    assert row.incident_id is not None
    return book.incident(row.incident_id)


def _named(book: Ledger, incident: Incident, body: dict[str, Any], action: str) -> str:
    by = str(body.get("by") or "an operator")
    book.session.add(
        Audit(platform_id=incident.platform_id, actor=by, action=action, subject=f"incident:{incident.id}")
    )
    return by


ACTIONS: dict[str, Callable[[Ledger, Inbox, dict[str, Any]], None]] = {
    "note": note,
    "resend": resend,
    "drop": drop,
    "close": close,
    "acknowledge": acknowledge,
    "report": report,
}
