"""Notes and events to whoever responds: the alarm's context, the operator's words, further signals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shared.domain import context, retry
from shared.domain.alarm import DispatchRequest, Signal
from shared.domain.kinds import Kind
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.domain.outcome import Accepted, Outcome, Permanent, Unknown
from shared.providers import registry
from shared.providers.base import Account
from shared.store.models import Incident, Leg, Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling, legs, noting
from workers.services.ledger import Ledger
from workers.services.requests import build, device_value

WAIT_FOR_LEG_S = 1.0
WAIT_FOR_ELDER_S = 0.5


@dataclass(frozen=True)
class Message:
    """What one row says, loaded before the call."""

    leg_id: int
    account: Account
    provider_alarm_id: str
    attempt_id: int
    operator: bool
    text: str = field(repr=False, default="")
    signals: Sequence[Signal] = field(repr=False, default=())


def inform(deps: Deps, lease: Lease) -> None:
    """Send one note or event to the leg that answers the incident."""

    def load(session: Session) -> Message | None:
        return _load(Ledger(session, deps), lease)

    message = deps.record(load) if calling.may_start(deps, lease) else None
    if message is None:
        return
    outcome = _call(deps, lease, message)
    book = deps.record(lambda session: _settle(session, deps, lease, message, outcome))
    book.ring_out()


def _load(book: Ledger, lease: Lease) -> Message | None:
    row = book.session.get_one(Outbox, lease.id)
    assert row.incident_id is not None
    incident = book.incident(row.incident_id)
    owned = fenced(book.session, lease)
    if owned is None:
        return None
    leg = book.session.get(Leg, row.leg_id) if row.leg_id else legs.live_leg(book.session, incident.id)
    if leg is None or leg.provider_alarm_id is None:
        _not_yet(book, owned, incident)
        return None
    body: dict[str, Any] = row.body or {}
    account = book.account(leg.account_id)
    events = registry.get(account.provider).events
    request = build(book, incident, possible_double=leg.possible_double)
    signals: list[Signal] = []
    if events is not None and lease.kind == "event":
        others = _others(book, owned, leg)
        if others and _place(others[0]) < _place(owned):
            release(owned, book.now, book.in_seconds(WAIT_FOR_ELDER_S))
            return None
        # A leg that was replaced meanwhile still gets its own trigger, and no news.
        signals = _signals(book, owned, request, others, events.batch if leg.outcome == "accepted" else 0)
    owned.attempts += 1
    return Message(
        leg_id=leg.id,
        account=account,
        provider_alarm_id=leg.provider_alarm_id,
        attempt_id=calling.begin_attempt(book.session, lease, leg.id),
        operator=bool(body.get("operator")),
        text="" if signals else _text(body, book.box.open(row.sealed) or {}, request),
        signals=signals,
    )


def _others(book: Ledger, row: Outbox, leg: Leg) -> Sequence[Outbox]:
    """The other events that wait for the same alarm, the trigger first. One row leads; the rest wait for it."""
    found = book.session.scalars(
        select(Outbox)
        .where(
            Outbox.incident_id == row.incident_id,
            Outbox.kind == "event",
            Outbox.state == "pending",
            Outbox.leg_id.is_(None) | (Outbox.leg_id == leg.id),
            Outbox.id != row.id,
        )
        .order_by(Outbox.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    return sorted(found, key=_place)


def _place(row: Outbox) -> tuple[bool, int]:
    return not (row.body or {}).get("trigger"), row.id


def _signals(book: Ledger, row: Outbox, request: DispatchRequest, others: Sequence[Outbox], most: int) -> list[Signal]:
    """What this row says, and with it what waits for the same alarm: one call, oldest first.

    The other rows end here, in the transaction that takes their content over, so that nothing is said twice or lost.
    """
    kept: Any = book.box.open(row.sealed) or []
    said: list[dict[str, Any]] = [kept] if isinstance(kept, dict) else kept
    trigger = bool((row.body or {}).get("trigger"))
    waiting = [other for other in others if other.attempts == 0 and other.sealed is not None]
    waiting = waiting[: max(0, most - len(said) - trigger)]
    for other in waiting:
        said.append(book.box.open(other.sealed))
        finish(other, book.now, "void", f"sent with row {row.id}")
    if waiting:
        row.sealed = book.box.seal(said)
    further = sorted((_further(one, request) for one in said), key=lambda signal: signal.occurred_at)
    return [*([_trigger(book, row, request)] if trigger else []), *further]


def _trigger(book: Ledger, row: Outbox, request: DispatchRequest) -> Signal:
    assert row.incident_id is not None
    media = book.details(book.incident(row.incident_id)).get("media") or []
    links = tuple(str(one["url"]) for one in media)
    return Signal(request.kind, request.occurred_at, True, request.triggered_by, request.device, links)


def _further(said: dict[str, Any], request: DispatchRequest) -> Signal:
    at = said.get("occurred_at") or said.get("received_at")
    # A picture alone is no second fire.
    silent = Kind.OTHER if said.get("media") and not said.get("device") else request.kind
    return Signal(
        kind=Kind(said.get("kind") or silent),
        occurred_at=datetime.fromisoformat(at) if at else request.occurred_at,
        trigger=False,
        device=device_value(said.get("device")),
        media=tuple(str(one["url"]) for one in said.get("media") or []),
    )


def _not_yet(book: Ledger, row: Outbox, incident: Incident) -> None:
    """No leg has an id yet: wait for it while the incident lives."""
    if ended(Status(incident.status)):
        finish(row, book.now, "void", "the incident is over")
        if (row.body or {}).get("operator"):
            book.tell(incident, "note_not_delivered", "Note not delivered: it is over", source="operator")
        return
    release(row, book.now, book.in_seconds(WAIT_FOR_LEG_S))


def _text(body: dict[str, Any], further: dict[str, Any], request: DispatchRequest) -> str:
    if body.get("operator"):
        return str(further.get("text") or "")
    if body.get("context"):
        return "\n".join(f"{label}: {line}" for label, line in request.context)
    labels = (("FURTHER SIGNAL", "kind"), ("ZONE", "zone"), ("MESSAGE", "message"))
    said = [f"{label}: {context.clean(str(further[key]))}" for label, key in labels if further.get(key)]
    return "\n".join(said) or "FURTHER SIGNAL"


def _call(deps: Deps, lease: Lease, message: Message) -> Outcome:
    provider = registry.get(message.account.provider)
    call = calling.frame(deps, lease)
    if lease.kind == "event" and provider.events is not None:
        return provider.events.send_events(call, message.account, message.provider_alarm_id, message.signals)
    return noting.send(deps, lease, call, message.account, message.leg_id, message.provider_alarm_id, message.text)


def _settle(session: Session, deps: Deps, lease: Lease, message: Message, outcome: Outcome) -> Ledger:
    book = Ledger(session, deps)
    incident_id = session.get_one(Outbox, lease.id).incident_id
    assert incident_id is not None
    incident = book.incident(incident_id)
    row = fenced(session, lease)
    calling.end_attempt(session, message.attempt_id, outcome, late=row is None)
    if row is None:
        return book
    delay = None
    if not isinstance(outcome, Accepted | Permanent | Unknown):
        delay = retry.note_delay(row.attempts, outcome.retry_after, random.random())  # noqa: S311 - jitter
    if delay is not None:
        row.last_error = "" if isinstance(outcome, Accepted) else outcome.reason[:500]
        release(row, book.now, book.in_seconds(delay))
        return book
    # A note that may have arrived is not repeated: the responder would read it twice.
    finish(row, book.now, "done", "" if isinstance(outcome, Accepted) else outcome.reason[:500])
    leg = session.get_one(Leg, message.leg_id)
    if message.operator:
        _tell_operator(book, incident, leg, outcome)
    elif message.signals:
        _tell_unsaid(book, incident, leg, message, outcome)
        _wake_others(book, incident)
    return book


def _wake_others(book: Ledger, incident: Incident) -> None:
    """What waited for this row."""
    woken = book.session.execute(
        update(Outbox)
        .where(
            Outbox.incident_id == incident.id,
            Outbox.kind == "event",
            Outbox.state == "pending",
            Outbox.lease_until.is_(None),
        )
        .values(next_attempt_at=book.now)
        .returning(Outbox.id)
        .execution_options(synchronize_session=False)
    )
    if woken.first() is not None:
        book.ring(Lane.OUTGOING)


def _tell_unsaid(book: Ledger, incident: Incident, leg: Leg, message: Message, outcome: Outcome) -> None:
    """Further signals that did not go, or that may not have gone; the trigger stands in the create as well."""
    events = registry.get(message.account.provider).events
    further = [signal for signal in message.signals if not signal.trigger]
    if isinstance(outcome, Accepted):
        further = [signal for signal in further if events is None or not events.has_word(message.account, signal)]
    if not further:
        return
    what = "A further signal was" if len(further) == 1 else f"{len(further)} further signals were"
    kinds = ", ".join(sorted({signal.kind.value for signal in further}))
    why = f"no word for {kinds}" if isinstance(outcome, Accepted) else outcome.reason
    book.tell(incident, "event_not_sent", f"{what} not sent on: {why}", leg=leg)


def _tell_operator(book: Ledger, incident: Incident, leg: Leg, outcome: Outcome) -> None:
    if isinstance(outcome, Accepted):
        # The note's own id, so that the provider's echo of it is recognised as told.
        effect = f"note:{outcome.provider_id}" if outcome.provider_id else None
        book.tell(incident, "note_delivered", "Note delivered", source="operator", leg=leg, effect=effect)
    elif isinstance(outcome, Unknown):
        book.tell(incident, "note_unconfirmed", "Note sent, its delivery is not confirmed", source="operator", leg=leg)
    else:
        words = f"Note not delivered: {outcome.reason}"
        book.tell(incident, "note_not_delivered", words, source="operator", leg=leg)
