"""Open alarms are asked for by the clock, webhooks or not: the duty `status.poll`, and the list that it reads."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from shared.domain.cadence import Cadence, pause
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status
from shared.providers import registry
from shared.providers.base import Account, Listing, Provider, ReadFailed, Reading
from shared.store.models import Leg, Outbox, ProviderAccount
from shared.store.outbox import Lease, add_single, fenced, finish
from workers.deps import Deps
from workers.services import calling, following, unheard
from workers.services.ledger import Ledger

AT_ONCE = 500
# After all write-backs: what is asked for again in a minute holds up nothing.
PRIORITY = 50
FOLLOWED = ("accepted", "surplus")

# Of an account whose list is being read nothing is due.
_DUE = text("""
    SELECT d.id FROM dispatch d JOIN provider_account a ON a.id = d.account_id
    WHERE d.poll_at <= now() AND (a.poll_at IS NULL OR a.poll_at <= now())
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.single = 'watch:' || a.id AND o.state = 'pending')
    ORDER BY d.poll_at LIMIT :most FOR UPDATE OF d SKIP LOCKED
""")
_STILL_OPEN = text("""
    INSERT INTO notice (platform_id, subject, incident_id, kind, text, once)
    SELECT i.platform_id, 'follow:' || d.id, i.id, 'still_open', :words, true
    FROM dispatch d JOIN incident i ON i.id = d.incident_id
    WHERE d.id = ANY(:legs) AND d.outcome IN ('accepted', 'surplus') AND d.status <> ALL(:ends)
        AND d.answered_at < now() - make_interval(secs => :after_s)
    ON CONFLICT (subject) WHERE ended_at IS NULL DO NOTHING
""")
_OVER = text("""
    UPDATE notice n SET ended_at = now() FROM dispatch d
    WHERE n.ended_at IS NULL AND n.kind = 'still_open' AND d.id = split_part(n.subject, ':', 2)::bigint
        AND (d.poll_at IS NULL OR d.outcome NOT IN ('accepted', 'surplus'))
""")


@dataclass(frozen=True)
class Watched:
    """How an account's alarms are asked for. `webhook_age_s` is None when no webhook ever came."""

    account: Account
    provider: Provider
    cadence: Cadence
    webhook_age_s: float | None

    def follows(self, leg: Leg) -> bool:
        """Whether there is anything left to learn of the leg."""
        ends = {status.value for status in self.cadence.ends}
        return leg.outcome in FOLLOWED and leg.provider_alarm_id is not None and leg.status not in ends

    def pause_s(self, book: Ledger, leg: Leg) -> float:
        """Seconds until its next poll."""
        age = (book.now - (leg.answered_at or leg.created_at)).total_seconds()
        return pause(self.cadence, age, self.webhook_age_s, random.random())  # noqa: S311 - jitter


def watched(book: Ledger, account_id: str) -> Watched:
    """An account as polling needs it."""
    account = book.account(account_id)
    provider = registry.get(account.provider)
    seen = book.session.scalar(select(ProviderAccount.webhook_seen_at).where(ProviderAccount.id == account_id))
    age = None if seen is None else (book.now - seen).total_seconds()
    return Watched(account, provider, provider.cadence(account), age)


def begin(deps: Deps) -> None:
    """The duty: rows for what is due, and what a person must be told of. It calls nobody."""
    with deps.sessions.begin() as session:
        book = Ledger(session, deps)
        due = _ask(book)
    book.ring_out()
    # Not under the legs' locks: a notice names its incident, and whoever has that may be waiting for the leg.
    with deps.sessions.begin() as session:
        book = Ledger(session, deps)
        for account_id, leg_ids in due.items():
            _tell_of_old(book, account_id, leg_ids)
        session.execute(_OVER)
        unheard.end_notices(book)


def _ask(book: Ledger) -> dict[str, list[int]]:
    ids = list(book.session.scalars(_DUE, {"most": AT_ONCE}))
    due: dict[str, list[int]] = {}
    accounts: dict[str, Watched] = {}
    for leg in book.session.scalars(select(Leg).where(Leg.id.in_(ids)).order_by(Leg.id)):
        account_id = leg.account_id
        if account_id not in accounts:
            accounts[account_id] = watched(book, account_id)
        one = accounts[account_id]
        if not one.follows(leg):
            leg.poll_at = None
            continue
        if one.provider.lookup is None:
            _ask_for_leg(book, leg, "read")
            leg.poll_at = book.in_seconds(one.pause_s(book, leg))
        elif account_id not in due:
            _add(book, "watch", account_id, f"watch:{account_id}")
        due.setdefault(account_id, []).append(leg.id)
    return due


def _ask_for_leg(book: Ledger, leg: Leg, kind: str) -> None:
    _add(book, kind, leg.account_id, f"{kind}:{leg.id}", leg_id=leg.id, body={"poll": True})


def _add(book: Ledger, kind: str, account_id: str, single: str, **values: Any) -> None:
    # No incident is named: its row would be locked for the foreign key, see `begin`.
    values |= {"lane": Lane.OUTGOING.value, "kind": kind, "account_id": account_id, "priority": PRIORITY}
    with book.session.no_autoflush:
        made = add_single(book.session, destination=f"account:{account_id}", single=single, **values)
    if made is not None:
        book.ring(Lane.OUTGOING)


def _tell_of_old(book: Ledger, account_id: str, leg_ids: list[int]) -> None:
    cadence = registry.get(book.account(account_id).provider).cadence(book.account(account_id))
    hours = f"{cadence.told_after_s / 3600:g} h"
    words = f"Open at the provider for {hours}, and not closed: look what became of it"
    if not cadence.sees_close:
        words = f"Open for {hours}; this provider does not let a close be read: once it is over, close it here"
    ends = [status.value for status in cadence.ends]
    values = {"legs": leg_ids, "words": words, "ends": ends, "after_s": cadence.told_after_s}
    book.session.execute(_STILL_OPEN, values)


def watch(deps: Deps, lease: Lease) -> None:
    """Read the list of one account's active alarms; what changed or left it is read singly, all when it is refused."""
    with deps.sessions() as session:
        account_id = session.get_one(Outbox, lease.id).account_id
        assert account_id is not None
        account = Ledger(session, deps).account(account_id)
    lookup = registry.get(account.provider).lookup
    if lookup is None or not calling.may_start(deps, lease):
        return
    listing: Listing | None = None
    why = ""
    try:
        listing = lookup.active(calling.frame(deps, lease), account)
    except ReadFailed as failed:
        why = failed.outcome.reason
    book = deps.record(lambda session: _settle(session, deps, lease, listing, why))
    book.ring_out()


def _settle(session: Session, deps: Deps, lease: Lease, listing: Listing | None, why: str) -> Ledger:
    book = Ledger(session, deps)
    row = fenced(session, lease)
    if row is None or row.account_id is None:
        return book
    row.attempts += 1
    finish(row, book.now, "done", why[:500])
    one = watched(book, row.account_id)
    listed = {reading.provider_alarm_id: reading for reading in listing.alarms} if listing is not None else {}
    followed = session.scalars(
        select(Leg)
        .where(Leg.account_id == row.account_id, Leg.poll_at.is_not(None))
        .order_by(Leg.id)
        .with_for_update(skip_locked=True)
    ).all()
    # One list serves all: whoever is due within half a turn comes along, so that the lists keep their distance.
    soon = book.in_seconds(one.cadence.every_s / 2)
    pauses = [one.cadence.later_s]
    for leg in followed:
        due = leg.poll_at is not None and leg.poll_at <= soon
        if not one.follows(leg):
            leg.poll_at = None
            continue
        if _must_read(leg, listed, due=due):
            _ask_for_leg(book, leg, "read")
        if due:
            pauses.append(one.pause_s(book, leg))
            leg.poll_at = book.in_seconds(pauses[-1])
            if one.provider.note_stream is not None:
                _ask_for_leg(book, leg, "stream")
    session.execute(
        update(ProviderAccount)
        .where(ProviderAccount.id == row.account_id)
        .values(poll_at=book.in_seconds(min(pauses)))
        .execution_options(synchronize_session=False)
    )
    return book


def _must_read(leg: Leg, listed: Mapping[str, Reading], *, due: bool) -> bool:
    """It moved; or its turn has come, and it left the list, says a word that nobody knows, or no list was to be had."""
    assert leg.provider_alarm_id is not None
    reading = listed.get(leg.provider_alarm_id)
    if reading is None or reading.status is None:
        return due
    current = Status(leg.status) if leg.status else None
    return following.would_move(current, reading)
