"""What moved, of many incidents and legs, written by one statement for each table.

By itself the ORM sends a statement for each run of rows in which the same columns changed: a hundred for a batch of
the inbox.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_dict, instance_state, set_committed_value

from shared.store.models import Incident, Leg

_INCIDENT = ("status", "moments", "seq", "ended_at", "details")
# Sealed details may be long, and change only when a PIN is wiped: null leaves them as they are.
_INCIDENTS = text("""
    UPDATE incident i SET status = v.status, moments = v.moments, seq = v.seq, ended_at = v.ended_at,
        details = coalesce(convert_to(v.details, 'UTF8'), i.details)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS v(id text, status text, moments jsonb, seq integer, ended_at timestamptz, details text)
    WHERE i.id = v.id
""")
_LEG = ("outcome", "status", "arrived", "authorities")
_LEGS = text("""
    UPDATE dispatch d SET outcome = v.outcome, status = v.status, arrived = v.arrived, authorities = v.authorities
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS v(id bigint, outcome text, status text, arrived boolean, authorities boolean)
    WHERE d.id = v.id
""")


def write(session: Session) -> None:
    """Write those rows of the session that only moved; what changed in other ways is left to its flush.

    The caller holds their locks.
    """
    changed = session.dirty
    with session.no_autoflush:
        _write(session, _INCIDENTS, _INCIDENT, [row for row in changed if isinstance(row, Incident)])
        _write(session, _LEGS, _LEG, [row for row in changed if isinstance(row, Leg)])


def _write(session: Session, statement: TextClause, columns: Sequence[str], rows: Sequence[Incident | Leg]) -> None:
    moved = [row for row in rows if _only(columns, row)]
    if len(moved) < 2:
        return
    values = [_values(columns, row) for row in moved]
    session.execute(statement, {"rows": json.dumps(values, separators=(",", ":"), default=_as_text)})
    for row in moved:
        now = instance_dict(row)
        for name in columns:
            set_committed_value(row, name, now[name])


def _only(columns: Sequence[str], row: Incident | Leg) -> bool:
    """Whether something of it changed, and nothing but these columns (a row that was just made is not read back)."""
    now = instance_dict(row)
    changed = [name for name, before in instance_state(row).committed_state.items() if before != now[name]]
    return bool(changed) and now.keys() >= set(columns) and all(name in columns for name in changed)


def _values(columns: Sequence[str], row: Incident | Leg) -> dict[str, Any]:
    now, before = instance_dict(row), instance_state(row).committed_state
    return {name: now[name] for name in ("id", *columns) if name != "details" or name in before}


def _as_text(value: datetime | bytes) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value.isoformat()
