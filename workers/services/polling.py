"""Polls the platform's location source while a moving alarm is active: one row per alarm, which keeps its interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from shared.domain.lanes import Lane
from shared.platforms.endpoints import guard_of
from shared.platforms.location_source import Source, SourceFailed, fetch
from shared.providers import registry
from shared.store.models import Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling, locating
from workers.services.ledger import Ledger

FAILURES_BEFORE_TOLD = 5
# A destination of its own: a source that hangs holds up no write-back.
_BEGIN = text("""
    INSERT INTO outbox (lane, kind, destination, platform_id, account_id, incident_id, priority, single)
    SELECT :lane, 'poll', 'source:' || p.id, p.id, i.account_id, i.id, 12, 'poll:' || i.id
    FROM incident i
    JOIN platform p ON p.id = i.platform_id AND p.location_source_url <> ''
    JOIN provider_account a ON a.id = i.account_id AND a.provider = ANY(:able)
    WHERE i.moving AND i.status NOT IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded')
        AND (i.cancel IS NULL OR i.cancel = 'refused')
        AND i.received_at > now() - make_interval(secs => :most_s)
        AND NOT EXISTS (SELECT 1 FROM outbox d WHERE d.state = 'dead' AND d.kind = 'poll' AND d.incident_id = i.id)
    ON CONFLICT (single) WHERE state = 'pending' AND single IS NOT NULL DO NOTHING
    RETURNING id
""")
# The close of an alarm may never be seen; nobody moves for longer than this.
MOST_S = 86_400.0


@dataclass(frozen=True)
class Question:
    """One poll, loaded before the call."""

    incident_id: str
    interval_s: float
    source: Source
    values: dict[str, str] = field(repr=False)


def begin(deps: Deps) -> None:
    """The duty `location.poll`: a row for each active moving alarm of a platform with a source."""
    able = [name for name in registry.names() if registry.get(name).locations is not None]
    values = {"lane": Lane.OUTGOING.value, "able": able, "most_s": MOST_S}
    with deps.sessions.begin() as session:
        made = session.execute(_BEGIN, values).all()
    if made:
        deps.ringer.ring(Lane.OUTGOING)


def poll(deps: Deps, lease: Lease) -> None:
    """Ask once, and be due again after the platform's interval."""
    question = deps.record(lambda session: _load(Ledger(session, deps), lease))
    if question is None or not calling.may_start(deps, lease):
        return
    found: list[dict[str, Any]] = []
    failure = ""
    try:
        found = fetch(question.source, question.values, calling.deadline(deps, lease))
    except SourceFailed as failed:
        failure = failed.reason
    book = deps.record(lambda session: _settle(Ledger(session, deps), lease, question, found, failure))
    book.ring_out()


def _load(book: Ledger, lease: Lease) -> Question | None:
    incident = book.incident(book.session.get_one(Outbox, lease.id).incident_id or "")
    row = fenced(book.session, lease)
    if row is None:
        return None
    platform = book.platform(incident.platform_id)
    old = (book.now - incident.received_at).total_seconds() > MOST_S
    if locating.is_over(incident) or not platform.location_source_url or old:
        finish(row, book.now, "void", "nobody needs it any more")
        return None
    sealed = platform.location_source_secret
    settings = book.deps.settings
    token = book.box.open(sealed) if sealed else ""
    return Question(
        incident_id=incident.id,
        interval_s=platform.location_source_interval_s,
        source=Source(platform.location_source_url, token, guard_of(settings), settings.location_hosts),
        values={"incident_ref": incident.incident_ref, "incident_id": incident.id},
    )


def _settle(book: Ledger, lease: Lease, question: Question, found: list[dict[str, Any]], failure: str) -> Ledger:
    """`attempts` counts the failures in a row."""
    incident = book.incident(question.incident_id)
    row = fenced(book.session, lease)
    if row is None:
        return book
    row.attempts = row.attempts + 1 if failure else 0
    row.last_error = failure
    if row.attempts == FAILURES_BEFORE_TOLD:
        words = f"The location source failed {FAILURES_BEFORE_TOLD} times in a row: {failure}"
        book.tell(incident, "location_source_failed", words, worse=True)
    locating.take(book, incident, found, "poll", book.now)
    release(row, book.now, book.in_seconds(question.interval_s))
    return book
