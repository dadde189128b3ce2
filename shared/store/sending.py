"""The moment before the first byte of a create: what is locked, and what is committed as `sending` (law 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, func, select, text
from sqlalchemy.orm import Session, load_only

from shared.store.models import Incident, Leg, Outbox, Site
from shared.store.outbox import Lease

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


# What of a leg decides whether and how it is sent.
LEG = load_only(
    Leg.incident_id,
    Leg.account_id,
    Leg.site_id,
    Leg.outcome,
    Leg.services,
    Leg.test,
    Leg.possible_double,
    raiseload=True,
)


def _hold(*with_site: type[Site]) -> Select[Any]:
    """Made once: building a statement takes longer than sending it."""
    columns: list[Any] = [func.now(), Incident.cancel, Leg, *with_site]
    query = select(*columns).select_from(Outbox)
    query = query.join(Incident, Incident.id == Outbox.incident_id).join(Leg, Leg.id == Outbox.leg_id)
    if with_site:
        query = query.join(Site, Site.id == Leg.site_id)
    return (
        query.where(Outbox.id == bindparam("row_id"), Outbox.token == bindparam("token"), Leg.id == bindparam("leg_id"))
        .where(Outbox.state == "pending", Outbox.lease_until >= func.now())
        .with_for_update(of=[Incident, *with_site, Outbox, Leg])
        .options(LEG)
        .execution_options(populate_existing=True)
    )


_HOLD = _hold()
_HOLD_WITH_SITE = _hold(Site)


@dataclass(frozen=True)
class Held:
    """What a send depends on, locked: the wish to cancel its incident, the leg, its site. `now`: the database's."""

    now: datetime
    cancel: str | None
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


def hold(session: Session, lease: Lease, leg_id: int, *, with_site: bool) -> Held | None:
    """Lock incident, site, row and leg, in this order; None unless the lease holds by token and database clock.

    One statement: each row is the newest that there is once its lock is had. What is not locked here (other legs of the
    site, the inbox) must be read by a later statement, since this one's view of it is older than the locks.
    """
    found = session.execute(
        _HOLD_WITH_SITE if with_site else _HOLD, {"row_id": lease.id, "token": lease.token, "leg_id": leg_id}
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
                "incident_id": held.leg.incident_id,
                "token": lease.token,
                "now": held.now.isoformat(),
            },
        ).scalar_one()
    )
