"""An optional look at the pictures before anybody is sent: an alarm waits for it shortly, and only a "no" holds it."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.domain.kinds import RULES, Kind
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Outcome
from shared.providers import registry
from shared.providers.base import Media, Question, Verdict
from shared.store.models import Inbox, Incident, Outbox, Verification
from shared.store.outbox import Lease, fenced, finish
from workers.deps import Deps
from workers.services import calling, legs
from workers.services.ledger import Ledger

# A held alarm waits no longer than this, whatever the platform's policy says.
LONGEST_S = 90
AT_ONCE = 200
_WORDS = {
    "yes": "Verified: it was seen, somebody is sent",
    "inconclusive": "Not verified, nobody could tell; somebody is sent",
    "timeout": "Not verified in time; somebody is sent",
    "overtaken": "A further signal came, whose pictures nobody was asked about; somebody is sent",
    "failed": "Verification could not be asked for; somebody is sent",
}


def hold(book: Ledger, incident: Incident) -> bool:
    """Ask first, where the platform wants that of this kind and there is something to look at. True while it waits.

    Never for life safety: nobody who asked for help waits for a picture.
    """
    policy = book.platform(incident.platform_id).policies.get("verify_first") or {}
    if incident.kind not in policy.get("kinds", ()) or RULES[Kind(incident.kind)].life_safety:
        return False
    assert incident.account_id is not None
    verifier = registry.get(book.account(incident.account_id).provider).verifier
    if verifier is None or not verifier.usable(_media(book, incident)):
        return False
    wait_s = min(int(policy.get("timeout_s", LONGEST_S)), LONGEST_S)
    task = Verification(
        id=str(uuid.uuid4()),
        incident_id=incident.id,
        account_id=incident.account_id,
        state="waiting",
        asked_at=book.now,
        ends_at=book.in_seconds(wait_s),
    )
    book.session.add(task)
    book.send(
        Outbox(
            lane=Lane.OUTGOING.value,
            kind="verify",
            destination=f"account:{incident.account_id}",
            platform_id=incident.platform_id,
            account_id=incident.account_id,
            incident_id=incident.id,
            priority=0,
            body={"task": task.id, "timeout_s": wait_s},
        )
    )
    book.move(incident, Status.HOLDING)
    book.tell(incident, "holding", f"Waits up to {wait_s} s for somebody to look at the pictures")
    return True


def _media(book: Ledger, incident: Incident) -> list[Media]:
    return [Media(str(one["url"]), str(one.get("type") or "")) for one in book.details(incident).get("media") or []]


def ask(deps: Deps, lease: Lease) -> None:
    """Send one question; when that fails the alarm waits no longer."""

    def load(session: Session) -> tuple[str, Question] | None:
        book = Ledger(session, deps)
        row = session.get_one(Outbox, lease.id)
        incident = session.get_one(Incident, row.incident_id)
        if fenced(session, lease) is None or incident.account_id is None:
            return None
        body: dict[str, Any] = row.body or {}
        prompt = f"Do you see a sign of this alarm: {RULES[Kind(incident.kind)].words}?"
        return incident.account_id, Question(body["task"], prompt, body["timeout_s"], _media(book, incident))

    loaded = deps.record(load)
    if loaded is None or not calling.may_start(deps, lease):
        return
    account_id, question = loaded
    with deps.sessions() as session:
        account = Ledger(session, deps).account(account_id)
    verifier = registry.get(account.provider).verifier
    assert verifier is not None
    outcome = verifier.ask(calling.frame(deps, lease), account, question)
    book = deps.record(lambda session: _asked(session, deps, lease, question.id, outcome))
    book.ring_out()


def _asked(session: Session, deps: Deps, lease: Lease, task_id: str, outcome: Outcome) -> Ledger:
    book = Ledger(session, deps)
    task = session.get_one(Verification, task_id)
    book.incident(task.incident_id)
    row = fenced(session, lease)
    if row is None:
        return book
    row.attempts += 1
    finish(row, book.now, "done", "" if isinstance(outcome, Accepted) else outcome.reason[:500])
    if not isinstance(outcome, Accepted):
        _decide(book, task, "failed", outcome.reason)
    return book


def judged(book: Ledger, row: Inbox, verdict: Verdict) -> None:
    """The provider answered; an answer to no question of ours is kept as unmatched."""
    task = book.session.scalar(
        select(Verification).where(Verification.id == verdict.task_id, Verification.account_id == row.account_id)
    )
    if task is None:
        row.state = "unmatched"
        row.lease_until = None
        return
    _decide(book, task, verdict.answer, verdict.reason)


def overtaken(book: Ledger, incident: Incident) -> None:
    """A further signal came while it waits: what is seen in the first pictures cannot speak for that one."""
    waiting = select(Verification).where(Verification.incident_id == incident.id, Verification.state == "waiting")
    for task in book.session.scalars(waiting).all():
        _decide(book, task, "overtaken", "")


def overdue(deps: Deps) -> None:
    """Nobody answered in time: the alarms go, each by itself. Raises the last error, when all had their turn.

    The newest first, so that those which cannot go do not come before all others each time.
    """
    over = Verification.state == "waiting", Verification.ends_at <= func.now()
    with deps.sessions() as session:
        ids = session.scalars(select(Verification.id).where(*over).order_by(Verification.ends_at.desc()).limit(AT_ONCE))
        found = list(ids)
    failed: Exception | None = None
    for task_id in found:
        try:
            with deps.sessions.begin() as session:
                book = Ledger(session, deps)
                _decide(book, session.get_one(Verification, task_id), "timeout", "")
        except Exception as error:  # noqa: BLE001 - one that cannot go holds back no other
            failed = error
            continue
        book.ring_out()
    if failed is not None:
        raise failed


def _decide(book: Ledger, task: Verification, answer: str, reason: str) -> None:
    """The first answer counts; a later one only stands in the history."""
    incident = book.incident(task.incident_id)
    book.session.refresh(task, with_for_update=True)
    if task.state != "waiting":
        if answer not in ("timeout", "overtaken"):
            task.late = answer
            words = f"Verification answered {answer} after the decision"
            book.tell(incident, "verification", words, effect=f"verification:{task.id}:late:{answer}")
        return
    task.state, task.reason, task.answered_at = answer, reason[:200], book.now
    if incident.status != Status.HOLDING.value or incident.cancel in ("requested", "confirmed"):
        book.tell(incident, "verification", f"Verification answered {answer}; it is decided already")
        return
    why = f" ({reason})" if reason else ""
    if answer == "no":
        book.move(incident, Status.RECORDED, "verified first: nobody saw a sign of it")
        book.tell(incident, "recorded", "Recorded, nobody is sent: verified first, and nobody saw a sign of it")
        return
    if legs.live_leg(book.session, incident.id) is None:
        legs.open_leg(book, incident)
    book.move(incident, Status.REQUESTING)
    book.tell(incident, "verification", f"{_WORDS[answer]}{why}")
