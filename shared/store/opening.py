"""A new create, in one statement: its leg, the link to its incident, and its row in the dispatch lane."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane
from shared.store.models import Incident

_OPEN = text(f"""
    WITH leg AS (
        INSERT INTO dispatch (incident_id, account_id, site_id, services, test, outcome, possible_double, created_at)
        VALUES (:incident_id, :account_id, :site_id, :services, :test, 'pending', :possible_double, now())
        RETURNING id
    ), link AS (
        INSERT INTO incident_leg (incident_id, leg_id, outcome, linked_at)
        SELECT :incident_id, id, 'pending', now() FROM leg
    )
    INSERT INTO outbox (lane, kind, destination, platform_id, account_id, incident_id, leg_id, site_id, priority,
        expires_at, attempts, lost_leases, next_attempt_at)
    SELECT '{Lane.DISPATCH.value}', 'create', 'account:' || CAST(:account_id AS text), :platform_id, :account_id,
        :incident_id, id, :site_id, :priority, :expires_at, :attempts, :lost_leases, :due
    FROM leg
    RETURNING leg_id, id
""")  # noqa: S608 - a constant


@dataclass(frozen=True)
class Opened:
    """The ids of what was made."""

    leg_id: int
    row_id: int


def open_leg(
    session: Session,
    incident: Incident,
    *,
    priority: int,
    possible_double: bool,
    expires_at: datetime | None,
    due: datetime,
    attempts: int = 0,
    lost_leases: int = 0,
) -> Opened:
    """Make them. The caller has flushed what ended the leg before; raises IntegrityError while that one lives."""
    made = session.execute(
        _OPEN,
        {
            "incident_id": incident.id,
            "platform_id": incident.platform_id,
            "account_id": incident.account_id,
            "site_id": incident.site_id,
            "services": list(incident.services),
            "test": incident.test,
            "possible_double": possible_double,
            "priority": priority,
            "expires_at": expires_at,
            "attempts": attempts,
            "lost_leases": lost_leases,
            "due": due,
        },
    ).one()
    return Opened(made.leg_id, made.id)
