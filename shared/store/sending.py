"""The moment before the first byte of a create: what is locked, and what is committed as `sending` (law 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Select, bindparam, func, literal_column, select, text
from sqlalchemy.orm import Session, load_only

from shared.store.models import Incident, Leg, Outbox, Site
from shared.store.outbox import Lease

# Conditions on a row of `dispatch`, for statements of any kind.
_CANCEL_WAITS = """EXISTS (
    SELECT 1 FROM inbox c WHERE c.incident_id = dispatch.incident_id AND c.source = 'cancel' AND c.state = 'pending'
)"""
_SITE_IS_BUSY = """EXISTS (
    SELECT 1 FROM dispatch o WHERE o.site_id = dispatch.site_id AND o.account_id = dispatch.account_id
        AND o.id <> dispatch.id AND o.outcome IN ('sending', 'unknown')
        AND o.sending_at > now() - interval '30 seconds'
)"""
# All or nothing, and judged when the locks are had already.
_MARK = text(f"""
    WITH free AS (
        SELECT id FROM dispatch WHERE id = :leg_id AND NOT {_CANCEL_WAITS} AND NOT (:one_by_one AND {_SITE_IS_BUSY})
    ), leg AS (
        UPDATE dispatch SET outcome = 'sending', sending_at = now(), sending_token = :token
        FROM free WHERE dispatch.id = free.id
    ), tried AS (
        UPDATE outbox SET attempts = attempts + 1 FROM free WHERE outbox.id = :row_id
    ), asked AS (
        UPDATE incident SET status = 'requesting',
            moments = moments || jsonb_build_object('requesting', CAST(:now AS text))
        FROM free WHERE incident.id = :incident_id AND incident.status = 'received'
    )
    INSERT INTO attempt (outbox_id, leg_id, token) SELECT :row_id, id, :token FROM free RETURNING id
""")  # noqa: S608 - constants

# What may hold a create back that is nobody's fault: a cancel that is still in the inbox, and another create of the
# leg's site that is in flight, or in doubt for less than 30 s. A leg without a site meets none.
CANCEL_WAITS = literal_column(_CANCEL_WAITS, Boolean)
SITE_IS_BUSY = literal_column(_SITE_IS_BUSY, Boolean)

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


def in_the_way(session: Session, leg: Leg) -> tuple[bool, bool]:
    """Whether a cancel waits in the inbox, and whether the site is busy."""
    found = session.execute(select(CANCEL_WAITS, SITE_IS_BUSY).select_from(Leg).where(Leg.id == leg.id)).one()
    return found[0], found[1]


def hold(session: Session, lease: Lease, leg_id: int, *, with_site: bool) -> Held | None:
    """Lock incident, site, row and leg, in this order; None unless the lease holds by token and database clock.

    One statement: each row is the newest that there is once its lock is had. What is not locked here (other legs of the
    site, the inbox) must be read by a later statement, since this one's view of it is older than the locks.
    """
    found = session.execute(
        _HOLD_WITH_SITE if with_site else _HOLD, {"row_id": lease.id, "token": lease.token, "leg_id": leg_id}
    ).first()
    return None if found is None else Held(found[0], found[1], found[2], found[3] if with_site else None)


def mark(session: Session, lease: Lease, held: Held, *, one_by_one: bool) -> int | None:
    """Write down that the leg is being sent, and the attempt, whose id is returned. The caller holds the locks.

    None, and nothing is written, when a cancel waits in the inbox, or when creates go one by one and the site is busy.
    """
    found: int | None = session.execute(
        _MARK,
        {
            "leg_id": held.leg.id,
            "row_id": lease.id,
            "incident_id": held.leg.incident_id,
            "token": lease.token,
            "now": held.now.isoformat(),
            "one_by_one": one_by_one,
        },
    ).scalar()
    return found
