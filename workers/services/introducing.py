"""More people whom the provider may call: in one call per alarm, after its create, and never twice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.alarm import Person
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from shared.providers import registry
from shared.providers.base import Account
from shared.store.models import Inbox, Incident, Leg, Outbox
from shared.store.outbox import Lease, fenced, finish, release, still_ours
from shared.store.people import left_for
from workers.deps import Deps
from workers.services import accompanying, calling, legs, locating
from workers.services.ledger import Ledger
from workers.services.requests import person_value

SOON_S = 0.2


class NotNowError(Exception):
    """Found just before the first byte: more people came in, or nobody waits for them any more."""


@dataclass(frozen=True)
class Introduction:
    """One people call, loaded before it is made. `details` tell whether somebody was added meanwhile."""

    incident_id: str
    leg_id: int
    account: Account
    provider_alarm_id: str
    left_out: int
    details: bytes = field(repr=False)
    people: Sequence[Person] = field(repr=False)


def added(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """People who were posted for an incident: they go with the call, unless it left before."""
    assert row.incident_id is not None
    incident = book.incident(row.incident_id)
    leg = legs.live_leg(book.session, incident.id)
    if locating.is_over(incident) or left_for(book.session, incident.id):
        why = "it is over" if locating.is_over(incident) else "the provider takes people once per alarm"
        book.tell(incident, "people_not_sent", f"People not added: {why}", source="operator")
        return
    details = book.details(incident)
    incident.details = book.box.seal({**details, "people": [*(details.get("people") or []), *body["people"]]})
    book.session.flush()
    if leg is not None and leg.outcome == "accepted":
        accompanying.send_people(book, leg, incident)


def people_of(book: Ledger, incident: Incident) -> list[Person]:
    """The alarm's own people, else its site's contacts beyond the one who is the alarm's person."""
    details = book.details(incident)
    given = details.get("people")
    if given is None:
        site = book.site(incident.site_id)
        contacts = (book.box.open(site.contacts) if site is not None and site.contacts else None) or []
        given = contacts if details.get("person") else contacts[1:]
    found = [person_value(one) for one in given]
    return [person for person in found if person is not None]


def introduce(deps: Deps, lease: Lease) -> None:
    """Make the people call of one leased row."""
    if not calling.may_start(deps, lease):
        return
    plan = deps.record(lambda session: _load(Ledger(session, deps), lease))
    if plan is None:
        return
    capability = registry.get(plan.account.provider).people
    attempt: list[int] = []

    def before_send() -> None:
        calling.require_time(deps, lease)
        with deps.sessions.begin() as session:
            attempt.append(_mark_left(Ledger(session, deps), lease, plan))

    outcome: Outcome = Permanent("this provider takes no people")
    if capability is not None:
        try:
            frame = calling.frame(deps, lease, before_send)
            outcome = capability.send_people(frame, plan.account, plan.provider_alarm_id, plan.people)
        except (calling.LeaseLostError, NotNowError, *calling.DATABASE_AWAY):  # all before the first byte
            deps.record(lambda session: _give_back(session, deps, lease))
            return
    book = deps.record(lambda session: _settle(Ledger(session, deps), lease, plan, outcome, attempt))
    book.ring_out()


def _load(book: Ledger, lease: Lease) -> Introduction | None:
    incident = book.incident(book.session.get_one(Outbox, lease.id).incident_id or "")
    row = fenced(book.session, lease)
    if row is None:
        return None
    leg = book.session.get_one(Leg, row.leg_id)
    if (row.body or {}).get("left"):
        _over(book, row, incident, leg, Unknown("the process that sent it was lost"), 0)
        return None
    if locating.is_over(incident) or leg.provider_alarm_id is None or leg.outcome != "accepted":
        finish(row, book.now, "void", "nobody waits for it any more")
        return None
    account = book.account(leg.account_id)
    capability = registry.get(account.provider).people
    everybody = people_of(book, incident)
    people = [one for one in everybody if capability is not None and not capability.check_person(account, one)]
    left_out = len(everybody) - len(people)
    if not people:
        finish(row, book.now, "void", "nobody to add")
        if left_out:
            book.tell(incident, "people_not_sent", f"People not added: {_unfit(left_out)}", leg=leg)
        return None
    return Introduction(incident.id, leg.id, account, leg.provider_alarm_id, left_out, incident.details, people)


def _mark_left(book: Ledger, lease: Lease, plan: Introduction) -> int:
    """Commit that the call leaves, under the incident's lock: from here on the door answers 409."""
    incident = book.incident(plan.incident_id)
    row = still_ours(book.session, lease)
    if row is None:
        raise calling.LeaseLostError
    coming = book.session.scalar(
        select(Inbox.id)
        .where(Inbox.incident_id == incident.id, Inbox.source == "people", Inbox.state == "pending")
        .limit(1)
    )
    if coming is not None or incident.details != plan.details or locating.is_over(incident):
        raise NotNowError
    row.body = {"left": True}
    row.attempts += 1
    return calling.begin_attempt(book.session, lease, plan.leg_id)


def _give_back(session: Session, deps: Deps, lease: Lease) -> None:
    book = Ledger(session, deps)
    row = fenced(session, lease)
    if row is not None:
        release(row, book.now, book.in_seconds(SOON_S))


def _settle(book: Ledger, lease: Lease, plan: Introduction, outcome: Outcome, attempt: list[int]) -> Ledger:
    incident = book.incident(plan.incident_id)
    row = fenced(book.session, lease)
    calling.end_attempt(book.session, attempt[0] if attempt else None, outcome, late=row is None)
    if row is None:
        return book
    leg = book.session.get_one(Leg, plan.leg_id)
    if isinstance(outcome, Temporary) and not attempt:  # certainly not sent
        row.attempts += 1
        row.last_error = outcome.reason[:500]
        delay = retry.note_delay(row.attempts, outcome.retry_after, random.random())  # noqa: S311 - jitter
        if delay is not None:
            release(row, book.now, book.in_seconds(delay))
            return book
    _over(book, row, incident, leg, outcome, plan.left_out, count=len(plan.people))
    return book


def _over(
    book: Ledger, row: Outbox, incident: Incident, leg: Leg, outcome: Outcome, left_out: int, *, count: int = 0
) -> None:
    """The one call was made, or was given up before it left: the operator reads how it came out."""
    also = f"; {_unfit(left_out)}" if left_out else ""
    if isinstance(outcome, Accepted):
        finish(row, book.now, "done")
        people = "1 person was" if count == 1 else f"{count} people were"
        book.tell(incident, "people_sent", f"{people} added at the provider{also}", leg=leg)
    elif isinstance(outcome, Unknown):
        finish(row, book.now, "done", outcome.reason[:500])
        words = f"It is not confirmed that the people were added, and it is not tried again: {outcome.reason}{also}"
        book.tell(incident, "people_unconfirmed", words, leg=leg, worse=True)
    else:
        finish(row, book.now, "done", outcome.reason[:500])
        book.tell(incident, "people_not_sent", f"People not added: {outcome.reason}{also}", leg=leg, worse=True)


def _unfit(count: int) -> str:
    who = "1 was" if count == 1 else f"{count} were"
    return f"{who} left out, the provider does not take such a name or phone"
