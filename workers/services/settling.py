"""What came of a create: accepted, to be tried again, refused, or unknown (law 4); a late owner only adds (law 3)."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from shared.domain import doubt, retry
from shared.domain.kinds import Kind
from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from shared.providers import registry
from shared.store.models import Incident, Leg, Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling, joining, legs, surplus
from workers.services.ledger import Ledger


def record(deps: Deps, lease: Lease, leg_id: int, incident_id: str, outcome: Outcome, attempt_id: int | None) -> None:
    """Record an outcome; a late owner only appends the answer that it got to its own leg (law 3)."""
    twin = joining.Twin.NONE

    def work(session: Session) -> Ledger | None:
        book = Ledger(session, deps)
        incident = book.incident(incident_id)
        row = fenced(session, lease)
        leg = session.get_one(Leg, leg_id, with_for_update=True, populate_existing=True)
        if isinstance(outcome, Accepted) and twin is joining.Twin.NONE:
            legs.lock_provider_id(session, leg.account_id, outcome.provider_id)
            if joining.twin(book, leg, outcome.provider_id) is not None:
                return None  # what that means, a read must say first
        calling.end_attempt(session, attempt_id, outcome, late=row is None)
        if row is None:
            late(book, lease, leg, incident, outcome)
        elif isinstance(outcome, Accepted) and twin is not joining.Twin.NONE:
            settle_twin(book, row, leg, incident, outcome, twin)
        else:
            settle(book, row, leg, incident, outcome)
        return book

    book = deps.record(work)
    while book is None:
        assert isinstance(outcome, Accepted)
        twin = joining.judge_twin(deps, lease, leg_id, outcome.provider_id)
        book = deps.record(work)
    book.ring_out()


def settle_twin(book: Ledger, row: Outbox, leg: Leg, incident: Incident, outcome: Accepted, twin: joining.Twin) -> None:
    """The answer names another leg's id: that counts only if a read says that it is active and not completed."""
    other = joining.twin(book, leg, outcome.provider_id)
    if leg.outcome not in ("pending", "sending", "unknown") or other is None:
        finish(row, book.now, "void", f"leg is {leg.outcome}")
    elif twin is joining.Twin.UNREAD:
        after_unknown(book, leg, incident, row, "the answer names an open response that could not be read")
    elif twin is joining.Twin.ACTIVE and joining.is_answering(other):
        joining.join(book, row, leg, other, incident)
    else:
        finish(row, book.now, "done", "answered with a response that is over")
        legs.fail(book, incident, "the provider answered with a response that is over", leg=leg)


def settle(book: Ledger, row: Outbox, leg: Leg, incident: Incident, outcome: Outcome) -> None:
    """The owner's record: what each of the four outcomes means for the leg and its incident."""
    if leg.outcome not in ("pending", "sending", "unknown"):
        surplus.append(book, leg, incident, outcome)
        finish(row, book.now, "void", f"leg is {leg.outcome}")
    elif isinstance(outcome, Accepted):
        finish(row, book.now, "done")
        legs.accept(book, leg, incident, outcome.provider_id, how="Response requested")
    elif surplus.takes_over(book, leg, incident, outcome):
        finish(row, book.now, "done", outcome.reason[:500])
    elif isinstance(outcome, Temporary):
        row.attempts += leg.outcome == "pending"  # it failed before `sending`: that was a try as well
        leg.outcome = "pending"
        leg.possible_double = leg.possible_double or outcome.after_server_error
        incident.possible_double = incident.possible_double or outcome.after_server_error
        row.last_error = outcome.reason[:500]
        delay = retry.create_delay(row.attempts, outcome.retry_after, random.random())  # noqa: S311 - jitter
        release(row, book.now, book.in_seconds(delay))
        stop_if_cancelled(book, row, leg, incident)
    elif isinstance(outcome, Permanent):
        first_conflict = outcome.reason.startswith("conflict") and not row.last_error.startswith("conflict")
        row.last_error = outcome.reason[:500]
        if first_conflict and joining.open_at_site(book.session, leg) is not None:
            leg.outcome = "pending"
            release(row, book.now)
            return
        finish(row, book.now, "done", outcome.reason[:500])
        legs.fail(book, incident, outcome.reason, leg=leg)
        stop_if_cancelled(book, row, leg, incident)
    else:
        after_unknown(book, leg, incident, row, outcome.reason)


def stop_if_cancelled(book: Ledger, row: Outbox, leg: Leg, incident: Incident) -> None:
    """A cancel that came while the request was in flight is done now that it certainly was not taken."""
    if incident.cancel != "requested":
        return
    if row.state == "pending":
        finish(row, book.now, "void", "cancelled")
    leg.outcome = "void"
    incident.cancel = "confirmed"
    book.move(incident, Status.CANCELLED)
    book.tell(incident, "cancelled", "Cancelled before it reached the provider", leg=leg, urgent=True)


def after_unknown(book: Ledger, leg: Leg, incident: Incident, row: Outbox, why: str) -> None:
    """Never repeat it blindly: look where that is possible, else follow the policy of the kind (law 4)."""
    in_doubt(book, leg, incident, row, why, book.now)
    if row.state == "pending":
        release(row, book.now, book.in_seconds(doubt.LOOKUP_AT_S[0]))


def in_doubt(book: Ledger, leg: Leg, incident: Incident, row: Outbox, why: str, ended_at: datetime) -> None:
    """The call ended at `ended_at` without an answer. Where a look-up is possible, the row stays leased for it."""
    leg.outcome = "unknown"
    leg.unknown_at = ended_at
    leg.complete_lookups = 0
    row.last_error = why[:500]
    if surplus.takes_over(book, leg, incident, Unknown(why)):
        finish(row, book.now, "done", why[:500])
        return
    if registry.get(book.account(leg.account_id).provider).lookup is None:
        row.next_attempt_at = ended_at + timedelta(seconds=retry.create_delay(row.attempts, None, random.random()))  # noqa: S311 - jitter
        decide_without_lookup(book, leg, incident, row, why)


def decide_without_lookup(book: Ledger, leg: Leg, incident: Incident, row: Outbox, why: str) -> None:
    """Send again for life safety, else hold for a person."""
    wanted = doubt.policy(Kind(incident.kind), book.platform(incident.platform_id).policies.get("create_unknown", {}))
    finish(row, book.now, "done", "outcome unknown")
    if (
        wanted is doubt.Policy.RESEND
        and incident.cancel in (None, "refused")
        and row.expires_at
        and row.expires_at > book.now
    ):
        legs.resend(book, incident, leg, why, after=row)
    else:
        legs.unconfirmed(book, incident, leg)


def late(book: Ledger, lease: Lease, leg: Leg, incident: Incident, outcome: Outcome) -> None:
    """A late owner's answer: it clears its own doubt, or turns up as a surplus; else it is only kept."""
    if not isinstance(outcome, Accepted) or leg.provider_alarm_id is not None:
        return
    own_attempt = leg.sending_token == lease.token
    if leg.outcome in ("sending", "unknown") and own_attempt and joining.twin(book, leg, outcome.provider_id) is None:
        legs.accept(book, leg, incident, outcome.provider_id, how="Response requested (the answer came late)")
    else:
        surplus.append(book, leg, incident, outcome)
