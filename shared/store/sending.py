"""The moment before the first byte of a create: what is locked, and what is committed as `sending` (law 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from shared.store.models import Incident, Leg, Outbox, Site
from shared.store.outbox import Lease, ours

_MARK = text("""
    WITH leg AS (
        UPDATE dispatch SET outcome = 'sending', sending_at = now(), sending_token = :token WHERE id = :leg_id
    ), tried AS (
        UPDATE outbox SET attempts = attempts + 1 WHERE id = :row_id
    ), asked AS (
        UPDATE incident SET status = 'requesting',
            moments = moments || jsonb_build_object('requesting', CAST(:now AS text))
        WHERE id = :incident_id AND status = 'received'
    )
    INSERT INTO attempt (outbox_id, leg_id, token) VALUES (:row_id, :leg_id, :token) RETURNING id
""")


_IN_THE_WAY = text("""
    SELECT EXISTS (
        SELECT 1 FROM inbox WHERE incident_id = :incident_id AND source = 'cancel' AND state = 'pending'
    ) AS cancel_waits, EXISTS (
        SELECT 1 FROM dispatch WHERE site_id = :site_id AND account_id = :account_id AND id <> :leg_id
            AND outcome IN ('sending', 'unknown') AND sending_at > now() - interval '30 seconds'
    ) AS site_is_busy
""")


@dataclass(frozen=True)
class Held:
    """All that a send depends on, locked."""

    now: datetime
    incident: Incident
    leg: Leg
    site: Site | None


@dataclass(frozen=True)
class InTheWay:
    """What may hold a create back that is nobody's fault: a cancel that is still in the inbox, and another create of
    the leg's site that is in flight, or in doubt for less than 30 s.
    """

    cancel_waits: bool
    site_is_busy: bool


def in_the_way(session: Session, leg: Leg) -> InTheWay:
    """Read in one statement. A leg without a site meets no other create there."""
    found = session.execute(
        _IN_THE_WAY,
        {
            "incident_id": leg.incident_id,
            "site_id": leg.site_id,
            "account_id": leg.account_id,
            "leg_id": leg.id,
        },
    ).one()
    return InTheWay(found.cancel_waits, found.site_is_busy)


def hold(session: Session, lease: Lease, leg_id: int, site_id: int | None) -> Held | None:
    """Lock incident, site, row and leg, in this order; None unless the lease holds by token and database clock.

    One statement: each row is the newest that there is once its lock is had. What is not locked here (other legs of the
    site, the inbox) must be read by a later statement, since this one's view of it is older than the locks.
    """
    with_site = [] if site_id is None else [Site]
    columns: list[Any] = [func.now(), Incident, Leg, *with_site]
    query: Select[Any] = select(*columns).select_from(Outbox)
    query = query.join(Incident, Incident.id == Outbox.incident_id).join(Leg, Leg.id == leg_id)
    if with_site:
        query = query.join(Site, Site.id == site_id)
    found = session.execute(
        query.where(*ours(lease))
        .with_for_update(of=[Incident, *with_site, Outbox, Leg])
        .execution_options(populate_existing=True)
    ).first()
    return None if found is None else Held(found[0], found[1], found[2], found[3] if with_site else None)


def mark(session: Session, lease: Lease, held: Held) -> int:
    """Write down that the leg is being sent, and the attempt, whose id is returned. The caller holds the locks."""
    return int(
        session.execute(
            _MARK,
            {
                "leg_id": held.leg.id,
                "row_id": lease.id,
                "incident_id": held.incident.id,
                "token": lease.token,
                "now": held.now.isoformat(),
            },
        ).scalar_one()
    )
