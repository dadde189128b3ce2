"""What a person must be told because time has passed, and the telling itself (laws 4, 11 and 13)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import exists, func, select, text
from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.lanes import Lane
from shared.domain.lifecycle import ENDED
from shared.providers import registry
from shared.store.models import Inbox, Incident, IncidentLeg, Leg, Notice, Platform
from shared.store.outbox import add_single
from workers.deps import Deps
from workers.services import cancelling, legs, verifying
from workers.services.escalating import escalation_endpoint
from workers.services.ledger import Ledger

CANCEL_DOUBT_S = 15.0
AT_ONCE = 200

_NOT_ACCEPTED = text("""
    INSERT INTO notice (platform_id, subject, incident_id, kind, text)
    SELECT platform_id, 'incident:' || id, id, 'not_accepted',
        'No provider has accepted this alarm yet (' || kind || ', ' || status || ')'
    FROM incident
    WHERE status IN ('received', 'holding', 'requesting') AND received_at < now() - make_interval(secs => :after_s)
    ON CONFLICT (subject) WHERE ended_at IS NULL DO NOTHING
""")
# Accepted while the notice was being written.
_ACCEPTED = text("""
    UPDATE notice n SET ended_at = now() FROM incident i
    WHERE n.ended_at IS NULL AND n.kind = 'not_accepted' AND n.incident_id = i.id
        AND i.status NOT IN ('received', 'holding', 'requesting', 'unconfirmed', 'failed')
""")
_COVERED_BY_NOW = text("""
    UPDATE notice n SET ended_at = now() FROM incident i
    WHERE n.ended_at IS NULL AND n.kind = 'coverage_doubtful' AND n.incident_id = i.id AND i.ended_at IS NOT NULL
""")
_UNDELIVERED = text("""
    INSERT INTO notice (platform_id, subject, incident_id, kind, text)
    SELECT platform_id, 'outbox:' || id, incident_id, 'undelivered',
        'A turn for the worse could not be written back: ' || (body->>'entry')
    FROM outbox
    WHERE state = 'pending' AND worse AND created_at < now() - make_interval(secs => :after_s)
    ON CONFLICT (subject) WHERE ended_at IS NULL DO NOTHING
""")
_REMATCH = text("""
    UPDATE inbox i SET state = 'pending', attempts = 1, next_attempt_at = now()
    WHERE i.state = 'parked' AND EXISTS (
        SELECT 1 FROM dispatch d WHERE d.account_id = i.account_id AND d.provider_alarm_id = i.subject)
""")


def attend(deps: Deps) -> None:
    """One round: what is late or in doubt becomes a notice, and notices that are due are told.

    A duty that fails silences none of the others. Raises the first error, when all had their turn.
    """
    failed: list[Exception] = []
    duties: list[Callable[[Deps], None]] = [verifying.overdue, *(partial(_in_one, duty) for duty in _DUTIES)]
    for duty in duties:
        try:
            duty(deps)
        except Exception as error:  # noqa: BLE001 - it is raised below
            failed.append(error)
    if failed:
        raise failed[0]


def _in_one(duty: Callable[[Ledger], None], deps: Deps) -> None:
    """Run a duty in a transaction of its own."""
    with deps.sessions.begin() as session:
        book = Ledger(session, deps)
        duty(book)
    book.ring_out()


def _doubts(book: Ledger) -> None:
    """An attempt that is 10 s old without an outcome is *unconfirmed*."""
    since = book.now - timedelta(seconds=book.deps.settings.unconfirmed_after_s)
    found = book.session.execute(
        select(Leg.id, IncidentLeg.incident_id)
        .join(IncidentLeg, IncidentLeg.leg_id == Leg.id)
        .join(Incident, Incident.id == IncidentLeg.incident_id)
        .where(
            Leg.outcome.in_(("sending", "unknown")),
            Leg.sending_at <= since,
            IncidentLeg.left_at.is_(None),
            Incident.status.in_(("received", "requesting")),
        )
        .order_by(IncidentLeg.incident_id)
        .limit(AT_ONCE)
    ).all()
    incidents = {incident.id: incident for incident in book.lock(row.incident_id for row in found)}
    for row in found:
        leg = book.session.get_one(Leg, row.id, populate_existing=True)
        if leg.outcome in ("sending", "unknown"):
            legs.unconfirmed(book, incidents[row.incident_id], leg)


def _late(book: Ledger) -> None:
    """Not accepted 30 s after it was received; a turn for the worse undelivered after 30 s."""
    after = {"after_s": book.deps.settings.told_after_s}
    book.session.execute(_ACCEPTED)
    book.session.execute(_COVERED_BY_NOW)
    book.session.execute(_NOT_ACCEPTED, after)
    book.session.execute(_UNDELIVERED, after)


def _cancels_in_doubt(book: Ledger) -> None:
    """A cancel of an alarm whose id nobody knows cannot be sent from here: say so, with the provider's number."""
    found = book.session.scalars(
        select(Incident.id)
        .where(Incident.cancel == "requested", Incident.status.not_in([status.value for status in ENDED]))
        .order_by(func.random())  # they stay here until they are settled: each of many gets its turn
        .limit(AT_ONCE)
    ).all()
    for incident in book.lock(found):
        asked = incident.moments.get("cancel_requested")
        leg = legs.live_leg(book.session, incident.id)
        if asked is None or leg is None:
            continue
        waited = (book.now - datetime.fromisoformat(asked)).total_seconds()
        if leg.outcome == "accepted" and waited >= book.deps.settings.told_after_s:
            _unconfirmed_cancel(book, incident)
        if leg.outcome not in ("sending", "unknown") or waited < CANCEL_DOUBT_S:
            continue
        account = book.account(leg.account_id)
        if registry.get(account.provider).lookup is not None:
            continue
        words = cancelling.impossible_words(account)
        if book.tell(incident, "cancel_impossible", words, leg=leg, effect=f"leg:{leg.id}:no_cancel", worse=True):
            cancelling.tell_impossible(book, incident, words)


def _unconfirmed_cancel(book: Ledger, incident: Incident) -> None:
    words = "The provider has not confirmed the cancel: responders may still come"
    book.notice(
        incident.platform_id, f"cancel:{incident.id}", "cancel_unconfirmed", words, incident_id=incident.id, once=True
    )


def _strangers(book: Ledger) -> None:
    """Parked events whose id is known by now are worked again; after 15 min they are shown as unmatched."""
    if book.session.execute(_REMATCH).rowcount:  # type: ignore[attr-defined]
        book.ring(Lane.INTAKE)
    old = book.now - timedelta(seconds=book.deps.settings.park_strangers_s)
    rows = book.session.scalars(
        select(Inbox).where(Inbox.state == "parked", Inbox.received_at < old).limit(AT_ONCE).with_for_update()
    )
    for row in rows:
        row.state = "unmatched"
        if row.platform_id is not None:
            words = f"The provider reported an alarm that is not ours ({row.subject})"
            book.notice(row.platform_id, f"stranger:{row.account_id}:{row.subject}", "stranger", words, once=True)


def _tell(book: Ledger) -> None:
    """Repeat what is due, in both ways; what still waits at an address goes along with it, so that no storm begins."""
    due = book.session.scalars(
        select(Notice)
        .where(Notice.ended_at.is_(None), Notice.acknowledged_at.is_(None), Notice.next_at <= book.now)
        .order_by(Notice.id)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    for notice in due:
        age = (book.now - notice.opened_at).total_seconds()
        wait = timedelta(days=36_500) if notice.once else timedelta(seconds=retry.notice_delay(age))
        notice.told += 1
        notice.next_at = book.now + wait
    book.session.flush()
    for platform_id in sorted({notice.platform_id for notice in due}):
        _bundle(book, book.platform(platform_id))


def _bundle(book: Ledger, platform: Platform) -> None:
    ways: list[tuple[str, str]] = []
    if platform.writeback_url:
        ways.append(("notice", f"platform:{platform.id}"))
    if escalation_endpoint(book.deps, platform) is not None:
        ways.append(("escalation", f"escalation:{platform.id}"))
    for kind, destination in ways:
        values: dict[str, Any] = {"lane": Lane.OUTGOING.value, "kind": kind, "destination": destination, "priority": 0}
        made = add_single(book.session, **values, platform_id=platform.id, single=f"{kind}:{platform.id}")
        if made is not None:
            book.ring(Lane.OUTGOING)


_DUTIES = (_doubts, _late, _cancels_in_doubt, _strangers, _tell)


def oldest_unserved_s(session: Session) -> float:
    """Age in seconds of the oldest alarm that nobody has accepted and nobody has acknowledged; 0 when all is well."""
    served = exists().where(
        IncidentLeg.incident_id == Incident.id,
        IncidentLeg.left_at.is_(None),
        IncidentLeg.outcome == "accepted",
    )
    found = session.execute(
        select(text("extract(epoch FROM now() - min(received_at))"))
        .select_from(Incident)
        .where(
            Incident.status.not_in([status.value for status in ENDED]),
            Incident.acknowledged_by.is_(None),
            ~served,
        )
    ).scalar()
    return float(found or 0.0)


def count_watchman_acts(session: Session, acts: int) -> None:
    """Add to the counter of what the watchman did itself."""
    session.execute(
        text("""
            INSERT INTO heartbeat (name, at, detail) VALUES ('watchman', now(), jsonb_build_object('acted', :acts))
            ON CONFLICT (name) DO UPDATE SET at = now(),
                detail = jsonb_build_object('acted', coalesce((heartbeat.detail->>'acted')::bigint, 0) + :acts)
        """),
        {"acts": acts},
    )
