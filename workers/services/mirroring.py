"""What others wrote about an alarm comes to the operator once; what we wrote ourselves never comes back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain.outcome import Accepted, Outcome
from shared.providers import registry
from shared.providers.answers import one_line
from shared.providers.base import Message, ReadFailed
from shared.store.models import Leg, Outbox, OwnNote
from shared.store.outbox import Lease
from workers.deps import Deps
from workers.services import calling, legs, noting, reading
from workers.services.ledger import Ledger

TEXT_MAX = 1_000


def mirror(deps: Deps, lease: Lease) -> None:
    """Read the messages of one leased row's leg."""
    with deps.sessions() as session:
        leg_id = session.get_one(Outbox, lease.id).leg_id
        assert leg_id is not None
        leg = session.get_one(Leg, leg_id)
        account = Ledger(session, deps).account(leg.account_id)
        provider_alarm_id = leg.provider_alarm_id
    stream = registry.get(account.provider).note_stream
    if stream is None or provider_alarm_id is None or not calling.may_start(deps, lease):
        return
    if not deps.record(lambda session: reading.begin(session, lease)):
        return
    found: Sequence[Message] = ()
    outcome: Outcome = Accepted()
    try:
        found = stream.messages(calling.frame(deps, lease), account, provider_alarm_id)
    except ReadFailed as failed:
        outcome = failed.outcome

    def work(session: Session) -> Ledger:
        book = Ledger(session, deps)
        if found:
            _tell(book, leg_id, found, account.provider)
        reading.settle(book, lease, outcome)
        return book

    book = deps.record(work)
    book.ring_out()


def _tell(book: Ledger, leg_id: int, found: Sequence[Message], source: str) -> None:
    leg = book.session.get_one(Leg, leg_id)
    incidents = book.lock(legs.incident_ids(book.session, leg_id) or [leg.incident_id])
    ours = _OwnNotes(book, leg_id)
    for message in found:
        if ours.has(message):
            continue
        sender = re.sub(r"[^\w .-]", "", one_line(message.sender))[:40]
        text = one_line(message.text)
        text = text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
        words = f"Note from {sender or 'the responders'}: {text}"
        for incident in incidents:
            effect = f"note:{message.id}"
            book.tell(incident, "note", words, source=source, leg=leg, occurred_at=message.at, effect=effect)


class _OwnNotes:
    """Our notes to one leg by id; one whose answer was lost or is on its way is known by its text, and takes its id."""

    def __init__(self, book: Ledger, leg_id: int) -> None:
        rows = book.session.scalars(select(OwnNote).where(OwnNote.leg_id == leg_id).with_for_update()).all()
        self._ids = {row.note_id for row in rows if row.note_id}
        self._open = [row for row in rows if not row.note_id]

    def has(self, message: Message) -> bool:
        """Whether we wrote it."""
        if message.id in self._ids:
            return True
        own = next((row for row in self._open if row.digest == noting.mark(message.text)), None)
        if own is None:
            return False
        self._open.remove(own)
        own.note_id = message.id
        return True
