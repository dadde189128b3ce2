"""An id that turns up late for a leg that was given up: the response that was wanted, or one too many."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain.lifecycle import BEFORE_ARRIVAL, Status, ended
from shared.domain.outcome import Accepted, Outcome, Unknown
from shared.providers import registry
from shared.providers.base import ReadFailed
from shared.store.models import Incident, Leg
from shared.store.outbox import Lease, void_pending
from workers.deps import Deps
from workers.services import calling, joining, legs
from workers.services.ledger import Ledger


def append(book: Ledger, leg: Leg, incident: Incident, outcome: Outcome) -> None:
    """Keep an answer that came for a leg which is no longer live. Only an id of our own attempt changes anything."""
    if not isinstance(outcome, Accepted) or leg.provider_alarm_id is not None:
        return
    if joining.twin(book, leg, outcome.provider_id) is not None:
        return
    live = legs.live_leg(book.session, incident.id)
    if live is not None and live.id != leg.id and live.outcome in ("pending", "unknown"):
        live.outcome = "void" if live.outcome == "pending" else "doubtful"
        book.session.flush()
        void_pending(book.session, leg_id=live.id, kind="create", why="an earlier request was answered after all")
        live = None
    over = ended(Status(incident.status))
    if live is None and not over:
        legs.accept(book, leg, incident, outcome.provider_id, how="Response requested (the answer came late)")
        return
    _keep_as_surplus(book, leg, incident, outcome.provider_id, wanted_gone=not over)


def takes_over(book: Ledger, leg: Leg, incident: Incident, outcome: Outcome) -> bool:
    """A leg that was not accepted gives way to a surplus one that still answers; False when there is none."""
    kept = book.session.scalar(
        select(Leg)
        .where(
            Leg.incident_id == incident.id,
            Leg.outcome == "surplus",
            Leg.cancel.is_(None),
            Leg.status.in_([status.value for status in BEFORE_ARRIVAL | {Status.ON_SCENE}]),
        )
        .order_by(Leg.id)
        .limit(1)
        .with_for_update()
    )
    if kept is None:
        return False
    leg.outcome = "doubtful" if isinstance(outcome, Unknown) else "failed"
    book.session.flush()
    kept.outcome = "accepted"
    book.session.flush()
    book.move(incident, Status(kept.status or Status.REQUESTED.value))
    book.tell(incident, "requested", "The earlier request is the response: the later one was not taken", leg=kept)
    book.end_notice(f"leg:{kept.id}")
    if incident.cancel == "requested":
        legs.send_cancel(book, kept, incident)
    return True


def _keep_as_surplus(book: Ledger, leg: Leg, incident: Incident, provider_alarm_id: str, *, wanted_gone: bool) -> None:
    legs.lock_provider_id(book.session, leg.account_id, provider_alarm_id)
    leg.outcome = "surplus"
    leg.provider_alarm_id = provider_alarm_id
    leg.status = Status.REQUESTED.value
    leg.answered_at = book.now
    legs.follow_up(book, leg)
    book.session.flush()
    words = "A second response exists for this incident: the provider answered an earlier request after all"
    book.tell(incident, "surplus", words, leg=leg, effect=f"leg:{leg.id}:surplus", worse=True)
    book.notice(incident.platform_id, f"leg:{leg.id}", "surplus", words, incident_id=incident.id)
    legs.unpark(book, leg.account_id, provider_alarm_id)
    if incident.cancel is not None and incident.cancel != "refused":
        legs.send_cancel(book, leg, incident, surplus=True)
    elif wanted_gone:
        legs.send_cancel_if_kept_is_active(book, leg, incident)


class Kept(StrEnum):
    """Whether the leg that is kept lets the surplus one go."""

    ACTIVE = "active"
    IN_FLIGHT = "in flight"
    NOT_ACTIVE = "not active"


def judge_kept(deps: Deps, lease: Lease, surplus_leg_id: int) -> Kept:
    """Law 4: a surplus leg is cancelled by itself only when the kept one reads active and no authority was told."""

    def load(session: Session) -> Kept | tuple[str, str]:
        leg = session.get_one(Leg, surplus_leg_id)
        live = legs.live_leg(session, leg.incident_id)
        if leg.outcome != "surplus" or leg.authorities or live is None:
            return Kept.NOT_ACTIVE
        if live.outcome == "sending":
            return Kept.IN_FLIGHT
        if live.outcome != "accepted" or live.provider_alarm_id is None:
            return Kept.NOT_ACTIVE
        return live.account_id, live.provider_alarm_id

    kept = deps.record(load)
    if isinstance(kept, Kept):
        return kept
    with deps.sessions() as session:
        account = Ledger(session, deps).account(kept[0])
    try:
        reading = registry.get(account.provider).dispatch.read(calling.frame(deps, lease), account, kept[1])
    except ReadFailed:
        return Kept.NOT_ACTIVE
    return Kept.ACTIVE if reading.active and not reading.completed else Kept.NOT_ACTIVE
