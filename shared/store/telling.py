"""What a transaction has told, written at its end by one statement: the history, and the write-backs of it.

Its text is constant, with JSON for parameters: the driver neither parses nor plans it anew for each number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane


@dataclass(frozen=True)
class Entry:
    """One step on the timeline of an incident. `occurred_at` is ISO 8601."""

    incident_id: str
    leg_id: int | None
    event: str
    source: str
    status: str
    entry: str
    effect: str | None
    detail: dict[str, Any] | None
    occurred_at: str


@dataclass(frozen=True)
class WriteBack:
    """One step as the operator's system will read it; `urgent` and `worse` as in the outbox."""

    destination: str
    platform_id: str
    incident_id: str
    priority: int
    seq: int
    urgent: bool
    worse: bool
    body: dict[str, Any]


_EFFECTS = text("""
    SELECT incident_id, effect FROM timeline WHERE incident_id = ANY(:incident_ids) AND effect IS NOT NULL
""")

# In the order in which they were told: the timeline is read by its id.
_TELL = text(f"""
    WITH told AS (
        INSERT INTO timeline (incident_id, leg_id, event, source, status, entry, effect, detail, occurred_at,
            recorded_at)
        SELECT incident_id, leg_id, event, source, status, entry, effect, detail, occurred_at, :now
        FROM ROWS FROM (jsonb_to_recordset(CAST(:entries AS jsonb)) AS (incident_id text, leg_id bigint, event text,
            source text, status text, entry text, effect text, detail jsonb, occurred_at timestamptz)) WITH ORDINALITY
        ORDER BY ordinality
    )
    INSERT INTO outbox (lane, kind, destination, platform_id, incident_id, priority, seq, urgent, worse, body,
        next_attempt_at)
    SELECT '{Lane.OUTGOING.value}', 'writeback', destination, platform_id, incident_id, priority, seq, urgent, worse,
        body, :now
    FROM ROWS FROM (jsonb_to_recordset(CAST(:write_backs AS jsonb)) AS (destination text, platform_id text,
        incident_id text, priority smallint, seq integer, urgent boolean, worse boolean, body jsonb)) WITH ORDINALITY
    ORDER BY ordinality
""")  # noqa: S608 - a constant


def effects(session: Session, incident_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The effects that are on these timelines, each with its incident."""
    for row in session.execute(_EFFECTS, {"incident_ids": incident_ids}):
        yield row.incident_id, row.effect


def tell(session: Session, entries: Sequence[Entry], write_backs: Sequence[WriteBack], now: datetime) -> None:
    """Append to timelines, and queue write-backs, due now. The caller holds the incidents' locks."""
    session.execute(_TELL, {"entries": _json(entries), "write_backs": _json(write_backs), "now": now})


def _json(rows: Sequence[Entry] | Sequence[WriteBack]) -> str:
    return json.dumps([vars(row) for row in rows], separators=(",", ":"))
