"""A text of ours on its way into an alarm's messages: each part is written down first, so that its echo is known."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.crypto import digest
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.providers.answers import one_line
from shared.providers.base import Account, Call
from shared.store.models import OwnNote
from shared.store.outbox import Lease
from workers.deps import RECORD_PATIENCE_S, Deps


def mark(text: str) -> str:
    """What recognises a text of ours however its line breaks came back."""
    return digest(one_line(text).encode("utf-8", "surrogatepass"))


def send(
    deps: Deps,
    lease: Lease,
    call: Call,
    account: Account,
    leg_id: int,
    provider_alarm_id: str,
    text: str,
    *,
    patience_s: float = RECORD_PATIENCE_S,
) -> Outcome:
    """Send what was not sent before; the first part that is not accepted ends it. The id is the last part's."""
    notes = registry.get(account.provider).notes
    parts = [] if notes is None else notes.parts(account, text)
    if notes is None or not parts:
        return Permanent("this provider takes no notes" if notes is None else "the note is empty")
    sent = deps.record(lambda session: _write_down(session, lease.id, leg_id, parts), patience_s=patience_s)
    outcome: Outcome = Accepted(sent.get(len(parts) - 1, ""))
    for number in range(len(parts)):
        if number not in sent:
            outcome = notes.send_note(call, account, provider_alarm_id, parts[number])
            if not isinstance(outcome, Accepted):
                return outcome
            _remember(deps, lease.id, number, outcome.provider_id, patience_s)
    return outcome


def _write_down(session: Session, row_id: int, leg_id: int, parts: Sequence[str]) -> dict[int, str]:
    """Note each part; the ids of those that an earlier try of the row has sent."""
    rows = [{"outbox_id": row_id, "part": n, "leg_id": leg_id, "digest": mark(part)} for n, part in enumerate(parts)]
    session.execute(insert(OwnNote).values(rows).on_conflict_do_nothing())
    found = session.execute(
        select(OwnNote.part, OwnNote.note_id).where(OwnNote.outbox_id == row_id, OwnNote.note_id.is_not(None))
    )
    return {part: note_id or "" for part, note_id in found}


def _remember(deps: Deps, row_id: int, part: int, note_id: str, patience_s: float) -> None:
    own = (OwnNote.outbox_id == row_id, OwnNote.part == part)
    deps.record(
        lambda session: session.execute(update(OwnNote).where(*own).values(note_id=note_id)), patience_s=patience_s
    )
