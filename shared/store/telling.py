"""What a transaction has told, written at its end: one statement for the history, one for the write-backs.

A constant text with one JSON parameter: the driver neither parses nor prepares it anew for each number of rows.
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
_APPEND = text("""
    INSERT INTO timeline (incident_id, leg_id, event, source, status, entry, effect, detail, occurred_at, recorded_at)
    SELECT incident_id, leg_id, event, source, status, entry, effect, nullif(detail, 'null'), occurred_at, :now
    FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (incident_id text, leg_id bigint, event text,
        source text, status text, entry text, effect text, detail jsonb, occurred_at timestamptz)) WITH ORDINALITY
    ORDER BY ordinality
""")

_WRITE_BACK = text(f"""
    INSERT INTO outbox (lane, kind, destination, platform_id, incident_id, priority, seq, urgent, worse, body,
        next_attempt_at)
    SELECT '{Lane.OUTGOING.value}', 'writeback', destination, platform_id, incident_id, priority, seq, urgent, worse,
        body, :now
    FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (destination text, platform_id text, incident_id text,
        priority smallint, seq integer, urgent boolean, worse boolean, body jsonb)) WITH ORDINALITY
    ORDER BY ordinality
""")  # noqa: S608 - a constant


def effects(session: Session, incident_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The effects that are on these timelines, each with its incident."""
    for row in session.execute(_EFFECTS, {"incident_ids": incident_ids}):
        yield row.incident_id, row.effect


def append(session: Session, entries: Sequence[Entry], now: datetime) -> None:
    """Append to timelines. The caller holds the incidents' locks."""
    session.execute(_APPEND, {"rows": _json(entries), "now": now})


def write_back(session: Session, rows: Sequence[WriteBack], now: datetime) -> None:
    """Queue write-backs, due now."""
    session.execute(_WRITE_BACK, {"rows": _json(rows), "now": now})


def _json(rows: Sequence[Entry] | Sequence[WriteBack]) -> str:
    return json.dumps([vars(row) for row in rows], separators=(",", ":"))
