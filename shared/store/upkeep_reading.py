"""How the house stands, as figures and warnings: reads for /metrics and /readyz."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

# An incident whose leg was accepted is served, also after the provider ended that leg.
_GAUGES = text("""
    SELECT
        (SELECT coalesce(extract(epoch FROM now() - min(i.received_at)), 0) FROM incident i
            WHERE NOT (i.status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded'))
            AND i.acknowledged_by IS NULL
            AND NOT EXISTS (SELECT 1 FROM incident_leg l WHERE l.incident_id = i.id AND l.outcome = 'accepted')
        ) AS oldest_unserved_s,
        (SELECT count(*) FROM inbox WHERE state = 'pending') AS inbox_pending,
        (SELECT count(*) FROM inbox WHERE state IN ('set_aside', 'unmatched')) AS set_aside,
        (SELECT count(*) FROM outbox WHERE state = 'dead') AS dead,
        (SELECT count(*) FROM notice WHERE ended_at IS NULL AND acknowledged_at IS NULL) AS notices,
        (SELECT coalesce(sum((detail->>'acted')::bigint), 0) FROM heartbeat WHERE name LIKE 'watchman%')
            AS watchman_acted,
        (SELECT coalesce(sum(polled_steps), 0) FROM provider_account) AS polled_steps,
        (SELECT jsonb_object_agg(lane, due) FROM (
            SELECT lane, count(*) AS due FROM outbox WHERE state = 'pending' AND next_attempt_at <= now()
            GROUP BY lane) AS lanes) AS due,
        (SELECT jsonb_object_agg(name, extract(epoch FROM now() - at)) FROM heartbeat) AS heartbeats,
        (SELECT jsonb_object_agg(account_id, attempts) FROM outbox WHERE single LIKE 'probe:%' AND state = 'pending')
            AS failed_probes
""")
_NO_LANES = {"intake": 0, "dispatch": 0, "outgoing": 0, "periodic": 0}


def gauges(session: Session) -> dict[str, Any]:
    """The figures of this moment; ages in seconds."""
    row = session.execute(_GAUGES).one()._asdict()
    row["due"] = _NO_LANES | {"intake": row["inbox_pending"]} | (row["due"] or {})
    row["heartbeats"] = row["heartbeats"] or {}
    row["failed_probes"] = row["failed_probes"] or {}
    return row


def heartbeat_ages(session: Session) -> dict[str, float]:
    """Seconds since each process's last sign of life."""
    rows = session.execute(text("SELECT name, extract(epoch FROM now() - at) FROM heartbeat")).all()
    return {name: float(age) for name, age in rows}


def dead_accounts(session: Session) -> dict[str, int]:
    """Accounts that failed two probes in a row or more, and how many."""
    rows = session.execute(
        text("""
            SELECT account_id, attempts FROM outbox
            WHERE single LIKE 'probe:%' AND state = 'pending' AND attempts >= 2 ORDER BY account_id
        """)
    ).all()
    return {account_id: int(attempts) for account_id, attempts in rows}
