"""More about the alarm's person, who may not be able to speak: height, weight, date of birth, and what was agreed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain import retry
from shared.domain.alarm import Person
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.providers.base import Account
from shared.store.models import Inbox, Leg, Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import accompanying, calling, legs, locating
from workers.services.ledger import Ledger
from workers.services.requests import build


@dataclass(frozen=True)
class Description:
    """One update, loaded before the call."""

    incident_id: str
    leg_id: int
    account: Account
    provider_alarm_id: str
    attempt_id: int
    person: Person | None = field(repr=False)
    profile: Mapping[str, Any] = field(repr=False)


def told(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Keep what was said of the person; what was said before stays, and goes along again."""
    assert row.incident_id is not None
    incident = book.incident(row.incident_id)
    if locating.is_over(incident):
        book.tell(incident, "person_not_updated", "The person was not updated: it is over", source="operator")
        return
    details = book.details(incident)
    incident.details = book.box.seal({**details, "profile": {**(details.get("profile") or {}), **body["profile"]}})
    book.session.flush()
    leg = legs.live_leg(book.session, incident.id)
    if leg is not None and leg.outcome == "accepted":
        accompanying.send_person(book, leg, incident)


def describe(deps: Deps, lease: Lease) -> None:
    """Send all that is known of the person, by one leased row."""
    if not calling.may_start(deps, lease):
        return
    plan = deps.record(lambda session: _begin(Ledger(session, deps), lease))
    if plan is None:
        return
    capability = registry.get(plan.account.provider).person
    outcome: Outcome = Permanent("this provider keeps no data of a person")
    if capability is not None:
        outcome = capability.update_person(
            calling.frame(deps, lease),
            plan.account,
            plan.provider_alarm_id,
            plan.incident_id,
            plan.person,
            plan.profile,
        )
    book = deps.record(lambda session: _settle(Ledger(session, deps), lease, plan, outcome))
    book.ring_out()


def _begin(book: Ledger, lease: Lease) -> Description | None:
    incident = book.incident(book.session.get_one(Outbox, lease.id).incident_id or "")
    row = fenced(book.session, lease)
    if row is None:
        return None
    leg = book.session.get_one(Leg, row.leg_id)
    profile = book.details(incident).get("profile") or {}
    if locating.is_over(incident) or leg.provider_alarm_id is None or leg.outcome != "accepted" or not profile:
        finish(row, book.now, "void", "nobody waits for it any more")
        return None
    row.attempts += 1
    row.body = None  # whoever asks from here on asks for another call
    return Description(
        incident_id=incident.id,
        leg_id=leg.id,
        account=book.account(leg.account_id),
        provider_alarm_id=leg.provider_alarm_id,
        attempt_id=calling.begin_attempt(book.session, lease, leg.id),
        person=build(book, incident, possible_double=False).person,
        profile=profile,
    )


def _settle(book: Ledger, lease: Lease, plan: Description, outcome: Outcome) -> Ledger:
    incident = book.incident(plan.incident_id)
    row = fenced(book.session, lease)
    calling.end_attempt(book.session, plan.attempt_id, outcome, late=row is None)
    if row is None:
        return book
    leg = book.session.get_one(Leg, plan.leg_id)
    if isinstance(outcome, Accepted):
        book.tell(incident, "person_updated", "The person was updated at the provider", leg=leg)
        if row.body is None:
            finish(row, book.now, "done")
        else:
            row.attempts = 0
            release(row, book.now)
        return book
    row.last_error = outcome.reason[:500]
    delay = None
    if not isinstance(outcome, Permanent):  # a PUT may come twice
        delay = retry.note_delay(row.attempts, calling.retry_after(outcome), random.random())  # noqa: S311 - jitter
    if delay is not None:
        release(row, book.now, book.in_seconds(delay))
        return book
    finish(row, book.now, "done", outcome.reason[:500])
    book.tell(incident, "person_not_updated", f"The person was not updated: {outcome.reason}", leg=leg, worse=True)
    return book
