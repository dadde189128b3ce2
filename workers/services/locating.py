"""Positions of a moving alarm: judged as they come in, and the newest one sent when the throttle opens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from shared.domain import retry
from shared.domain.alarm import Coordinates
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.domain.outcome import Accepted, Outcome, Permanent, Unknown
from shared.domain.throttle import Fix, Verdict, judge, wait_s
from shared.providers import registry
from shared.providers.base import Account
from shared.store.models import Inbox, Incident, Leg, LocationFix, Outbox
from shared.store.outbox import Lease, add_single, fenced, finish, release
from workers.deps import Deps
from workers.services import calling, legs, positions
from workers.services.ledger import Ledger
from workers.services.requests import build

# While a position cannot be delivered it is tried on, and this many tries make an entry for the operator.
TRIES_BEFORE_TOLD = 5
LATER_S = 60.0


@dataclass(frozen=True)
class Move:
    """One position to send, loaded before the call."""

    leg_id: int
    fix_id: int
    account: Account
    provider_alarm_id: str
    attempt_id: int
    point: Coordinates = field(repr=False)


def is_over(incident: Incident) -> bool:
    """Positions stop at cancel and at the end ("Stop sending location updates after the alarm is canceled")."""
    return ended(Status(incident.status)) or incident.cancel in ("requested", "confirmed", "too_late")


def pushed(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Fixes that the platform pushed."""
    assert row.incident_id is not None
    take(book, book.incident(row.incident_id), body["fixes"], "push", row.received_at)


def take(book: Ledger, incident: Incident, given: Sequence[dict[str, Any]], source: str, came_at: datetime) -> None:
    """Judge and keep fixes, oldest first; then see whether one may go. The caller holds the incident's lock."""
    if is_over(incident) or not incident.moving:
        return
    leg = legs.live_leg(book.session, incident.id)
    limits = positions.throttle(book, incident)
    known = positions.known(book, incident, leg)
    newest_at = book.session.scalar(
        select(func.max(LocationFix.taken_at)).where(
            LocationFix.incident_id == incident.id, LocationFix.state.in_(positions.USABLE)
        )
    )
    for one, at in sorted(_with_moments(given, came_at), key=lambda pair: pair[1]):
        fix = Fix(one["lat"], one["lng"], at, one.get("accuracy"))
        verdict = judge(fix, newest_at, known, limits)
        if verdict is Verdict.SWAPPED and _is_covered(book, incident, fix):
            verdict = judge(fix, newest_at, None, limits)  # it was the first position that had them exchanged
        if verdict is Verdict.STALE:
            continue
        _keep(book, incident, fix, verdict, source)
        if verdict is Verdict.HELD:
            newest_at = at
        elif verdict is Verdict.COARSE:
            words = f"Positions coarser than {limits.accuracy_m:.0f} m, or without an accuracy, are held back"
            book.tell(incident, "location_coarse", words, effect="location:coarse")
        else:
            words = "Positions with latitude and longitude exchanged are held back"
            book.tell(incident, "location_swapped", words, effect="location:swapped", worse=True)
    book.session.flush()
    if leg is not None and leg.outcome == "accepted":
        ask(book, incident, leg)


def _is_covered(book: Ledger, incident: Incident, fix: Fix) -> bool:
    if incident.account_id is None:
        return False
    account = book.account(incident.account_id)
    there = replace(build(book, incident, possible_double=False), coordinates=Coordinates(fix.lat, fix.lng))
    return not registry.get(account.provider).dispatch.doubts(account, there)


def _with_moments(given: Sequence[dict[str, Any]], came_at: datetime) -> list[tuple[dict[str, Any], datetime]]:
    """The device's time; a fix without one, or from our future, was taken when it came, in the order of the list."""
    found = []
    for place, one in enumerate(given):
        at = datetime.fromisoformat(one["time"]) if one.get("time") else None
        came = came_at + timedelta(microseconds=place)
        found.append((one, came if at is None or at > came else at))
    return found


def _keep(book: Ledger, incident: Incident, fix: Fix, verdict: Verdict, source: str) -> None:
    if verdict is Verdict.HELD:
        book.session.execute(
            update(LocationFix)
            .where(LocationFix.incident_id == incident.id, LocationFix.state == "held")
            .values(state="superseded")
            .execution_options(synchronize_session=False)
        )
    point = {"lat": fix.lat, "lng": fix.lng, "accuracy": fix.accuracy}
    book.session.add(
        LocationFix(
            incident_id=incident.id,
            source=source,
            taken_at=fix.at,
            point=book.box.seal(point),
            state=verdict.value,
            received_at=book.now,
        )
    )
    book.session.flush()


def ask(book: Ledger, incident: Incident, leg: Leg) -> None:
    """Have the newest held fix sent as soon as the throttle allows; one row per incident."""
    row = positions.latest(book, incident.id, sendable=True)
    if row is None or registry.get(book.account(leg.account_id).provider).locations is None:
        return
    wait = wait_s(
        positions.fix(book, row), positions.known(book, incident, leg), book.now, positions.throttle(book, incident)
    )
    if wait is None:
        return
    due = book.in_seconds(wait)
    made = add_single(
        book.session,
        lane=Lane.OUTGOING.value,
        kind="location",
        destination=f"account:{leg.account_id}",
        platform_id=incident.platform_id,
        account_id=leg.account_id,
        incident_id=incident.id,
        priority=10,
        single=f"location:{incident.id}",
        next_attempt_at=due,
    )
    if made is None:  # it waits for the window of an older fix, or is on its way and looks again afterwards
        book.session.execute(
            update(Outbox)
            .where(
                Outbox.single == f"location:{incident.id}",
                Outbox.state == "pending",
                Outbox.attempts == 0,
                Outbox.lease_until.is_(None),
            )
            .values(next_attempt_at=func.least(Outbox.next_attempt_at, due))
            .execution_options(synchronize_session=False)
        )
    if wait == 0:
        book.ring(Lane.OUTGOING)


def send(deps: Deps, lease: Lease) -> None:
    """Send the newest position of one leased row."""
    if not calling.may_start(deps, lease):
        return
    move = deps.record(lambda session: _begin(Ledger(session, deps), lease))
    if move is None:
        return
    locations = registry.get(move.account.provider).locations
    if locations is None:
        outcome: Outcome = Permanent("this provider takes no positions")
    else:
        frame = calling.frame(deps, lease)
        outcome = locations.send_location(frame, move.account, move.provider_alarm_id, move.point)
    book = deps.record(lambda session: _settle(Ledger(session, deps), lease, move, outcome))
    book.ring_out()


def _begin(book: Ledger, lease: Lease) -> Move | None:
    incident = book.incident(book.session.get_one(Outbox, lease.id).incident_id or "")
    row = fenced(book.session, lease)
    if row is None:
        return None
    leg = legs.live_leg(book.session, incident.id)
    found = positions.latest(book, incident.id, sendable=True)
    if is_over(incident) or leg is None or leg.provider_alarm_id is None or found is None:
        finish(row, book.now, "void", "nobody waits for it any more")
        return None
    fix, known = positions.fix(book, found), positions.known(book, incident, leg)
    wait = wait_s(fix, known, book.now, positions.throttle(book, incident))
    if wait is None:
        finish(row, book.now, "void", "not far enough from what the provider knows")
        return None
    if wait > 0:
        release(row, book.now, book.in_seconds(wait))
        return None
    row.attempts += 1
    return Move(
        leg_id=leg.id,
        fix_id=found.id,
        account=book.account(leg.account_id),
        provider_alarm_id=leg.provider_alarm_id,
        attempt_id=calling.begin_attempt(book.session, lease, leg.id),
        point=positions.point(book, found),
    )


def _settle(book: Ledger, lease: Lease, move: Move, outcome: Outcome) -> Ledger:
    incident = book.incident(book.session.get_one(Outbox, lease.id).incident_id or "")
    row = fenced(book.session, lease)
    calling.end_attempt(book.session, move.attempt_id, outcome, late=row is None)
    fix = book.session.get_one(LocationFix, move.fix_id, with_for_update=True, populate_existing=True)
    leg = book.session.get_one(Leg, move.leg_id)
    if isinstance(outcome, Accepted):
        fix.state, fix.leg_id, fix.sent_at = "sent", leg.id, book.now
    if row is None:
        return book
    if isinstance(outcome, Accepted):
        words = "The person's position is passed on to the provider as it changes"
        book.tell(incident, "location_sent", words, leg=leg, effect=f"leg:{leg.id}:location")
        _then(book, row, incident, leg)
    elif isinstance(outcome, Permanent):
        fix.state = "refused"
        words = f"The provider does not take the person's position: {outcome.reason}"
        book.tell(incident, "location_refused", words, leg=leg, effect=f"leg:{leg.id}:location_refused", worse=True)
        _then(book, row, incident, leg)
    else:
        _again(book, row, incident, leg, outcome)
    return book


def _then(book: Ledger, row: Outbox, incident: Incident, leg: Leg) -> None:
    """A newer fix that came during the call waits for its own window."""
    finish(row, book.now, "done")
    book.session.flush()
    if not is_over(incident):
        ask(book, incident, leg)


def _again(book: Ledger, row: Outbox, incident: Incident, leg: Leg, outcome: Outcome) -> None:
    """Tried until the alarm is over. A lost answer counts as sent for the throttle: a position may come twice."""
    assert not isinstance(outcome, Accepted | Permanent)
    row.last_error = outcome.reason[:500]
    delay = retry.note_delay(row.attempts, calling.retry_after(outcome), random.random()) or LATER_S  # noqa: S311 - jitter
    if isinstance(outcome, Unknown):
        delay = max(delay, positions.throttle(book, incident).interval_s)
    release(row, book.now, book.in_seconds(delay))
    if row.attempts == TRIES_BEFORE_TOLD:
        words = f"The person's position does not reach the provider: {outcome.reason}"
        book.tell(incident, "location_undelivered", words, leg=leg, worse=True)
