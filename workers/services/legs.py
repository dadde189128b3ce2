"""Legs: one create each. How they open, are accepted, doubted, refused, and what that means for their incidents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from shared import doorbell
from shared.domain import context
from shared.domain.kinds import RULES, Kind
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.providers import registry
from shared.store import opening
from shared.store.among import among
from shared.store.models import LIVE_OUTCOMES, Inbox, Incident, IncidentLeg, Leg, Outbox
from shared.store.outbox import add_single, void_pending
from workers.services import accompanying
from workers.services.ledger import Ledger, LockedLeg


def open_leg(
    book: Ledger,
    incident: Incident,
    *,
    expires_at: datetime | None = None,
    possible_double: bool = False,
    after: Outbox | None = None,
) -> int:
    """A new create for an incident that has no live leg; its row goes to the dispatch lane. The new leg's id.

    `expires_at` is set by a named person's resend; otherwise the incident's age decides. `after` is the row that it
    repeats: tries, lost leases and due time go on from there, so that a provider whose answers are lost is not flooded.
    """
    due, tries = book.now, {}
    if after is not None:
        due, expires_at = max(book.now, after.next_attempt_at), after.expires_at
        tries = {"attempts": after.attempts, "lost_leases": after.lost_leases}
    if possible_double:
        incident.possible_double = True
    book.session.flush()
    opened = opening.open_leg(
        book.session,
        incident,
        priority=100 - RULES[Kind(incident.kind)].severity,
        possible_double=possible_double,
        expires_at=expires_at or incident.received_at + timedelta(seconds=book.deps.settings.create_max_age_s),
        due=due,
        **tries,
    )
    book.ring(doorbell.Row("create", opened.row_id))
    return opened.leg_id


def live_leg(session: Session, incident_id: str) -> Leg | None:
    """The one leg that answers, or may be answering, this incident."""
    return session.scalar(
        select(Leg)
        .join(IncidentLeg, IncidentLeg.leg_id == Leg.id)
        .where(
            IncidentLeg.incident_id == incident_id,
            IncidentLeg.left_at.is_(None),
            Leg.outcome.in_(LIVE_OUTCOMES),
        )
        .with_for_update(of=Leg)
        .execution_options(populate_existing=True)
    )


def incident_ids(session: Session, leg_id: int) -> list[str]:
    """The incidents that a leg answers and that have not left it."""
    return list(
        session.scalars(
            select(IncidentLeg.incident_id)
            .where(IncidentLeg.leg_id == leg_id, IncidentLeg.left_at.is_(None))
            .order_by(IncidentLeg.incident_id)
        )
    )


_SPOKEN_OF = text("""
    SELECT l.incident_id, l.leg_id
    FROM unnest(CAST(:accounts AS text[]), CAST(:ids AS text[])) AS s (account_id, provider_alarm_id)
    JOIN dispatch d USING (account_id, provider_alarm_id) JOIN incident_leg l ON l.leg_id = d.id
""")


def spoken_of(session: Session, subjects: Iterable[tuple[str, str]]) -> Sequence[Row[tuple[str, int]]]:
    """The links (`incident_id`, `leg_id`) of the legs that providers speak of by (account, their alarm id)."""
    accounts, ids = zip(*subjects, strict=True)
    return session.execute(_SPOKEN_OF, {"accounts": list(accounts), "ids": list(ids)}).all()


_LOCK = (
    select(Leg).where(among(Leg.id, "ids")).order_by(Leg.id).with_for_update().execution_options(populate_existing=True)
)
_LINKS = select(IncidentLeg).where(among(IncidentLeg.leg_id, "ids")).execution_options(populate_existing=True)


def lock_legs(book: Ledger, leg_ids: Iterable[int]) -> None:
    """Lock legs in the order of their ids, and read who is linked to them: nobody joins a leg that is locked."""
    wanted = sorted(set(leg_ids) - set(book.legs))
    if not wanted:
        return
    for leg in book.session.scalars(_LOCK, {"ids": wanted}):
        book.legs[leg.id] = LockedLeg(leg, [])
        if leg.provider_alarm_id is not None:
            book.leg_by_provider_id[leg.account_id, leg.provider_alarm_id] = leg
    for link in book.session.scalars(_LINKS, {"ids": wanted}):
        book.legs[link.leg_id].links.append(link)


def lock_provider_id(session: Session, account_id: str, provider_alarm_id: str) -> None:
    """The lock under which an id becomes known and a stranger is parked, so that neither misses the other."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"{account_id}:{provider_alarm_id}"}
    )


def accept(book: Ledger, leg: Leg, incident: Incident, provider_alarm_id: str, *, how: str) -> None:
    """The provider has the alarm: note its id, tell, and release what waited for the id.

    The caller holds the incident's lock, and has checked that no other leg has this id.
    """
    lock_provider_id(book.session, leg.account_id, provider_alarm_id)
    leg.outcome = "accepted"
    leg.provider_alarm_id = provider_alarm_id
    leg.status = Status.REQUESTED.value
    leg.answered_at = book.now
    follow_up(book, leg)
    book.session.flush()
    if not ended(Status(incident.status)):
        book.move(incident, Status.REQUESTED)
    double = " (possible double: an earlier answer was lost)" if leg.possible_double else ""
    book.tell(incident, "requested", f"{how}{double}", leg=leg, effect=f"leg:{leg.id}:accepted")
    unpark(book, leg.account_id, provider_alarm_id)
    book.wake_creates(leg.site_id)
    if incident.cancel == "confirmed":
        # It was cancelled in the belief that nothing stood there; what stands there is cancelled now.
        incident.cancel = "requested"
        words = "A response to an earlier request exists after all; it is being cancelled"
        book.tell(incident, "cancel_requested", words, leg=leg, worse=True)
    if incident.cancel == "requested":
        send_cancel(book, leg, incident)
    else:
        send_context(book, leg, incident)


def follow_up(book: Ledger, leg: Leg) -> None:
    """From now on the leg is asked for by the clock, whether webhooks come or not."""
    account = book.account(leg.account_id)
    leg.poll_at = book.in_seconds(registry.get(account.provider).cadence(account).every_s)


def unpark(book: Ledger, account_id: str, provider_alarm_id: str) -> None:
    """Let the strangers of this id be worked again, now that it is known, however late it is learnt."""
    of_it = (Inbox.account_id == account_id) & (Inbox.subject == provider_alarm_id)
    stranger = (of_it & (Inbox.state == "parked")) | (of_it & (Inbox.state == "unmatched"))  # an index for each
    parked = list(book.session.scalars(select(Inbox).where(stranger).order_by(Inbox.id).with_for_update()))
    for row in parked:
        row.state = "pending"
        row.attempts = 1
        row.next_attempt_at = book.now
    if parked:
        book.end_notice(f"stranger:{account_id}:{provider_alarm_id}")
        book.ring(Lane.INTAKE)


def send_context(book: Ledger, leg: Leg, incident: Incident) -> None:
    """What the dispatcher needs and the create could not carry: the first note, or the trigger event."""
    provider = registry.get(book.account(leg.account_id).provider)
    if provider.events is not None:
        _outgoing(book, "event", leg, incident, {"trigger": True})
    elif provider.notes is not None:
        _outgoing(book, "note", leg, incident, {"context": True})
    accompanying.accompany(book, leg, incident)


def _outgoing(book: Ledger, kind: str, leg: Leg, incident: Incident, body: dict[str, object]) -> None:
    book.send(
        Outbox(
            lane=Lane.OUTGOING.value,
            kind=kind,
            destination=f"account:{leg.account_id}",
            platform_id=incident.platform_id,
            account_id=leg.account_id,
            incident_id=incident.id,
            leg_id=leg.id,
            priority=10,
            body=body,
        )
    )


def send_cancel(book: Ledger, leg: Leg, incident: Incident, *, surplus: bool = False) -> None:
    """Ask the provider to stop this leg (once, and once more when it refused an earlier wish)."""
    if leg.cancel not in (None, "refused") or leg.provider_alarm_id is None:
        return
    leg.cancel = "wanted"
    why = None if surplus else _why(incident, book.details(incident).get("cancel_note"))
    _cancel(book, leg, incident, why, {"surplus": surplus}, priority=0)


def send_cancel_if_kept_is_active(book: Ledger, leg: Leg, incident: Incident) -> None:
    """Have a surplus leg stopped by itself, should the one that is kept still answer (law 4)."""
    _cancel(book, leg, incident, None, {"surplus": True, "if_kept_is_active": True}, priority=10)


def _cancel(
    book: Ledger, leg: Leg, incident: Incident, why: str | None, body: dict[str, object], *, priority: int
) -> None:
    pin = (book.details(incident).get("person") or {}).get("pin")
    book.send(
        Outbox(
            lane=Lane.DISPATCH.value,
            kind="cancel",
            destination=f"account:{leg.account_id}",
            platform_id=incident.platform_id,
            account_id=leg.account_id,
            incident_id=incident.id,
            leg_id=leg.id,
            priority=priority,
            sealed=book.box.seal({"pin": pin, "why": why}),
            body=body,
        )
    )


def _why(incident: Incident, note: str | None) -> str:
    """What the responders read of a cancel."""
    reason = (incident.cancel_reason or "other").replace("_", " ")
    return f"CANCELLED BY THE OPERATOR: {reason}" + (f"\n{context.clean(note)}" if note else "")


def ask_read(book: Ledger, leg: Leg, *, in_s: float = 0.0) -> None:
    """Have the leg read at the provider, once however often it is asked for, but always after the last wish."""
    _ask(book, leg, "read", in_s)


def ask_stream(book: Ledger, leg: Leg) -> None:
    """Have the leg's messages read, as `ask_read` does with its status."""
    _ask(book, leg, "stream", 0.0)


def _ask(book: Ledger, leg: Leg, kind: str, in_s: float) -> None:
    known = book.legs.get(leg.id)
    if known is not None:
        if kind in known.asked:
            return
        if in_s == 0.0:
            known.asked.add(kind)
    with book.session.no_autoflush:
        add_single(
            book.session,
            again=True,
            lane=Lane.OUTGOING.value,
            kind=kind,
            destination=f"account:{leg.account_id}",
            account_id=leg.account_id,
            incident_id=leg.incident_id,
            leg_id=leg.id,
            priority=15,
            single=f"{kind}:{leg.id}",
            next_attempt_at=book.in_seconds(in_s),
        )
    if in_s == 0.0:
        book.ring(Lane.OUTGOING)


def fail(book: Ledger, incident: Incident, reason: str, *, leg: Leg | None = None) -> None:
    """Nobody is coming unless a person acts: say so in both ways."""
    if leg is not None:
        leg.outcome = "failed"
        book.session.flush()
    book.move(incident, Status.FAILED, reason)
    book.tell(incident, "failed", f"Dispatch failed: {reason}", leg=leg, urgent=True)
    book.notice(
        incident.platform_id,
        f"incident:{incident.id}",
        "failed",
        f"Dispatch failed: {reason}",
        incident_id=incident.id,
    )


def unconfirmed(book: Ledger, incident: Incident, leg: Leg) -> None:
    """Nobody knows whether the provider has the alarm: the operator must, within seconds."""
    if incident.status in (Status.UNCONFIRMED.value, Status.FAILED.value) or ended(Status(incident.status)):
        return
    words = "Dispatch unconfirmed: the request may have arrived, its answer did not"
    book.move(incident, Status.UNCONFIRMED, words)
    book.tell(incident, "unconfirmed", words, leg=leg, urgent=True)
    book.notice(incident.platform_id, f"incident:{incident.id}", "unconfirmed", words, incident_id=incident.id)


def resend(
    book: Ledger,
    incident: Incident,
    leg: Leg,
    why: str,
    *,
    by: str = "tocsin",
    expires_at: datetime | None = None,
    after: Outbox | None = None,
) -> Leg:
    """Give up an uncertain leg as doubtful and send anew, shown as a possible double.

    A person's resend names `expires_at`; one by rule names the row that it repeats.
    """
    leg.outcome = "doubtful"
    book.session.flush()
    void_pending(book.session, leg_id=leg.id, kind="create", why="sent anew")
    fresh_id = open_leg(book, incident, expires_at=expires_at, possible_double=True, after=after)
    fresh = book.session.get_one(Leg, fresh_id)
    book.move(incident, Status.REQUESTING)
    book.tell(
        incident, "resent", f"Sent again ({why}): a possible double", leg=fresh, source=by, detail={"after_leg": leg.id}
    )
    return fresh
