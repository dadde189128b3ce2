"""What a provider says of a leg, by webhook or read, moves the leg forward and its incidents with it (law 5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from shared.domain.lifecycle import BEFORE_ARRIVAL, Status, ended, moves_forward
from shared.providers import registry
from shared.providers.base import ProviderEvent, Reading
from shared.store.models import Inbox, Incident, IncidentLeg, Leg
from workers.services import legs, unheard, verifying
from workers.services.ledger import Ledger

_BY_A_PERSON = (Status.DROPPED.value, Status.CLOSED.value)


@dataclass(frozen=True)
class Step:
    """One thing that the provider did, however we learnt of it."""

    name: str
    status: Status | None
    entry: str
    effect: str
    source: str
    occurred_at: datetime | None = None
    eta_seconds: int | None = None
    carries_id: bool = False
    # Found by asking, while no webhook had told it.
    polled: bool = False

    def detail(self) -> dict[str, str]:
        """What the timeline keeps of how it was learnt."""
        return {"provider_event": self.name} | ({"found_by": "poll"} if self.polled else {})


def webhook(book: Ledger, row: Inbox) -> None:
    """Work one stored provider event; a stranger is parked under the lock of its id."""
    assert row.account_id is not None
    account = book.account(row.account_id)
    event = registry.get(account.provider).webhooks.interpret(account, book.box.open(row.body).encode())
    if event.verdict is not None:
        verifying.judged(book, row, event.verdict)
        return
    leg = find_leg(book, row.account_id, event.provider_alarm_id)
    if leg is None:
        leg = _park(book, row, event)
    if leg is None:
        return
    step = Step(
        name=event.name,
        status=event.status,
        entry=event.entry,
        effect=f"event:{event.event_id}" if event.event_id else f"leg:{leg.id}:{leg.epoch}:{event.name}",
        source=account.provider,
        occurred_at=event.at,
        eta_seconds=event.eta_seconds,
        carries_id=event.event_id is not None,
    )
    follow(book, leg.id, step)
    if event.reread and registry.get(account.provider).note_stream is not None:
        legs.ask_stream(book, leg)
    elif event.reread:
        legs.ask_read(book, leg)


def find_leg(book: Ledger, account_id: str, provider_alarm_id: str | None) -> Leg | None:
    """The leg that has this provider's id."""
    if provider_alarm_id is None:
        return None
    known = book.leg_by_provider_id.get((account_id, provider_alarm_id))
    if known is not None:
        return known
    return book.session.scalar(
        select(Leg).where(Leg.account_id == account_id, Leg.provider_alarm_id == provider_alarm_id)
    )


def _park(book: Ledger, row: Inbox, event: ProviderEvent) -> Leg | None:
    """Park a stranger; the lock on its id makes sure that whoever learns the id finds it, or we find the leg."""
    assert row.account_id is not None
    if event.provider_alarm_id is not None:
        legs.lock_provider_id(book.session, row.account_id, event.provider_alarm_id)
        leg = find_leg(book, row.account_id, event.provider_alarm_id)
        if leg is not None:
            return leg
    row.state = "parked" if event.provider_alarm_id is not None else "unmatched"
    row.subject = event.provider_alarm_id
    row.lease_until = None
    _tell_of_stranger(book, row, event)
    return None


def _tell_of_stranger(book: Ledger, row: Inbox, event: ProviderEvent) -> None:
    """A stranger while a create of this account is in doubt, or may be a double: a person is told at once."""
    in_doubt = book.session.scalars(
        select(Leg)
        .where(
            Leg.account_id == row.account_id,
            Leg.outcome.in_(("unknown", "doubtful")) | Leg.possible_double,
            Leg.sending_at > book.now - timedelta(seconds=book.deps.settings.park_strangers_s),
        )
        .order_by(Leg.sending_at.desc())
    )
    for leg in in_doubt:
        incident = book.session.get_one(Incident, leg.incident_id)
        site = book.site(leg.site_id)
        if event.site_provider_id is not None and site is not None and site.provider_site_id != event.site_provider_id:
            continue
        book.notice(
            incident.platform_id,
            f"stranger:{row.account_id}:{event.provider_alarm_id}",
            "stranger",
            f"The provider reports an alarm that we do not know ({event.provider_alarm_id}) while this one is in doubt",
            incident_id=incident.id,
            once=True,
        )
        return


def follow(book: Ledger, leg_id: int, step: Step) -> None:
    """Lock the incidents, then the leg; record the step on each; move what moves forward."""
    if leg_id not in book.legs:
        book.lock(legs.incident_ids(book.session, leg_id))
        legs.lock_legs(book, [leg_id])
    known = book.legs[leg_id]
    leg = known.leg
    # Whoever joined before the leg was locked is locked now. When everybody left, the history is the opener's.
    incidents = book.lock(known.incident_ids() or [leg.incident_id])
    _note_facts(leg, step.status)
    forward = step.status is not None and moves_forward(_status(leg), step.status)
    if forward and step.status is not None:
        _advance(leg, step.status)
    elif step.status is not None and not step.carries_id and step.status is not _status(leg):
        legs.ask_read(book, leg)  # without id or time it may be old: only a read can say that it is a replacement
    before = {incident.id: incident.status for incident in incidents}
    for incident in incidents:
        _record(book, incident, leg, step, forward=forward)
    if forward and step.status in (Status.CANCELLED, Status.CLOSED):
        _over(book, leg, incidents, step.status, before)


def _status(leg: Leg) -> Status | None:
    return Status(leg.status) if leg.status else None


def _advance(leg: Leg, status: Status) -> None:
    leg.status = status.value


def _note_facts(leg: Leg, status: Status | None) -> None:
    """What happened has happened, in whatever order we learn of it."""
    leg.arrived = leg.arrived or status in (Status.ON_SCENE, Status.COMPLETED)
    leg.authorities = leg.authorities or status is Status.AUTHORITIES_CONTACTED


def _record(book: Ledger, incident: Incident, leg: Leg, step: Step, *, forward: bool) -> None:
    if book.seen(incident, step.effect):
        return
    # A leg that was given up or replaced moves nothing any more, and neither a person's close nor a drop is undone.
    follows_leg = forward and leg.outcome == "accepted" and incident.status not in _BY_A_PERSON
    entry = step.entry
    if step.status is Status.AUTHORITIES_CONTACTED and incident.cancel == "confirmed":
        incident.after_authorities = True
        entry += "; responders may still come although it was cancelled"
    if follows_leg and step.status is not None:
        if step.eta_seconds is not None:
            incident.eta_at = (step.occurred_at or book.now) + timedelta(seconds=step.eta_seconds)
        if step.status in (Status.CANCELLED, Status.CLOSED):
            entry = _settle_cancel(incident, leg, step.status, entry)
        book.move(incident, step.status)
    others = step.status is Status.CANCELLED and follows_leg and leg.cancel is None
    book.tell(
        incident,
        _event_word(step),
        entry,
        source=step.source,
        leg=leg,
        occurred_at=step.occurred_at,
        effect=step.effect,
        worse=others or (forward and incident.cancel == "too_late"),
        detail=step.detail(),
    )


def _event_word(step: Step) -> str:
    return step.status.value if step.status is not None else "provider_event"


def _settle_cancel(incident: Incident, leg: Leg, status: Status, entry: str) -> str:
    """What the end of a leg means for a cancel that was asked."""
    if incident.cancel == "requested":
        taken = status is Status.CANCELLED or leg.cancel in ("requested", "confirmed")
        incident.cancel = "confirmed" if taken else "too_late"
        leg.cancel = incident.cancel
    if leg.authorities and status is Status.CANCELLED:
        incident.after_authorities = True
        return f"{entry}; the authorities had been contacted, so responders may still come"
    return entry


def _over(book: Ledger, leg: Leg, incidents: list[Incident], status: Status, before: dict[str, str]) -> None:
    """A shared response that ended before arrival gives every incident that is still alive a new create (law 2).

    But whoever raised it after an earlier one had ended so reads its end, as one that is alone does: a control room
    that goes on sending them away would otherwise be asked for ever.
    """
    if leg.cancel is not None or leg.outcome == "surplus":
        book.end_notice(f"leg:{leg.id}")
    served = leg.arrived or leg.outcome != "accepted"
    alive = [] if served else [incident for incident in incidents if _still_needs(incident, before)]
    shared = any(link.joined for link in book.legs[leg.id].links)
    unserved = [incident for incident in alive if shared and not _raised_anew(book, leg, incident)]
    if unserved:
        leg.outcome = "ended"
        book.session.flush()
        for incident in unserved:
            until = book.in_seconds(book.deps.settings.create_max_age_s)
            fresh = book.session.get_one(Leg, legs.open_leg(book, incident, expires_at=until))
            book.move(incident, Status.REQUESTING)
            words = "The shared response ended before anybody arrived; a new one is requested"
            book.tell(incident, "requested_again", words, leg=fresh, worse=True)
    elif status is Status.CLOSED and leg.outcome in ("accepted", "surplus"):
        leg.outcome = "ended"


def _still_needs(incident: Incident, before: dict[str, str]) -> bool:
    """It was alive when its response ended, and nobody has validly cancelled it."""
    return incident.cancel in (None, "refused") and not ended(Status(before[incident.id]))


def _raised_anew(book: Ledger, leg: Leg, incident: Incident) -> bool:
    """It raised this response itself, in the place of one that had ended before anybody arrived."""
    if leg.incident_id != incident.id:
        return False
    earlier = select(IncidentLeg.leg_id).where(
        IncidentLeg.incident_id == incident.id, IncidentLeg.leg_id < leg.id, IncidentLeg.outcome == "ended"
    )
    return book.session.scalar(earlier.limit(1)) is not None


def would_move(current: Status | None, read: Reading) -> bool:
    """Whether what is listed of an alarm differs from what is known so that a read of it is worth a call."""
    return read.status is not None and (moves_forward(current, read.status) or _replaces(current, read))


def _replaces(current: Status | None, read: Reading) -> bool:
    return current is Status.CANCELLED and read.active and read.status in BEFORE_ARRIVAL | {Status.ON_SCENE}


def reading(book: Ledger, leg_id: int, read: Reading, source: str, *, known: str | None, polled: bool = False) -> None:
    """Apply what a read says: forward moves, and the one way back, a replacement after a cancelled response.

    `known` is the leg's status before the read: one that began before the cancel was known saw what was before it.
    """
    if read.status is None:
        return
    leg = book.session.get_one(Leg, leg_id)
    current = _status(leg)
    if _replaces(current, read) and known != Status.CANCELLED.value:
        legs.ask_read(book, leg)
    elif _replaces(current, read) and leg.cancel is None and leg.outcome == "accepted":
        _replace(book, leg_id, read, source, polled=polled)
    elif moves_forward(current, read.status):
        follow(
            book,
            leg_id,
            Step(
                name=read.raw_status,
                status=read.status,
                entry=f"Status read at the provider: {read.status.value.replace('_', ' ')}",
                effect=f"leg:{leg.id}:{leg.epoch}:read:{read.status.value}",
                source=source,
                eta_seconds=read.eta_seconds,
                polled=polled,
            ),
        )
        if polled:
            unheard.count(book, leg.account_id)


def _replace(book: Ledger, leg_id: int, read: Reading, source: str, *, polled: bool) -> None:
    """A responder cancelled and another one goes: a named transition, on a new epoch of the leg."""
    assert read.status is not None
    incidents = book.lock(legs.incident_ids(book.session, leg_id))
    leg = book.session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
    if _status(leg) is not Status.CANCELLED:
        return
    leg.epoch += 1
    leg.status = read.status.value
    for incident in incidents:
        if incident.cancel in (None, "refused") and incident.status == Status.CANCELLED.value:
            book.move(incident, read.status)
            words = "The response was cancelled and replaced: another responder goes"
            how = Step(read.raw_status, read.status, words, f"leg:{leg.id}:{leg.epoch}", source, polled=polled)
            book.tell(
                incident, "responder_replaced", words, source=source, leg=leg, effect=how.effect, detail=how.detail()
            )
    if polled:
        unheard.count(book, leg.account_id)
