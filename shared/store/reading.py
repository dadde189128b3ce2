"""What the door shows of incidents and notices: reads of one platform's own rows, nothing personal in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, select, text, tuple_, update
from sqlalchemy.orm import Session

from shared.store.models import Audit, Incident, IncidentLeg, Leg, Notice, ProviderAccount, Timeline


@dataclass(frozen=True)
class Target:
    """An incident as far as an action on it needs to know."""

    id: str
    incident_ref: str
    site_ref: str | None
    status: str
    account_id: str | None
    provider: str | None
    moving: bool
    cancel: str | None


@dataclass(frozen=True)
class IncidentFilter:
    """Which incidents to list; `before` continues after the last one that was shown (received_at, id)."""

    statuses: Sequence[str] = ()
    site_ref: str | None = None
    since: datetime | None = None
    # Closed, and nobody filed a report.
    unreported: bool = False
    before: tuple[datetime, str] | None = None
    limit: int = 50


@dataclass(frozen=True)
class IncidentView:
    """One incident with all that is shown of it."""

    incident: Incident
    provider: str | None
    successor_id: str | None
    legs: Sequence[Row[IncidentLeg, Leg, str]]
    timeline: Sequence[Timeline]


def target(session: Session, platform_id: str, incident_id: str) -> Target | None:
    """The incident of an action; None when the platform has no such incident."""
    row = session.execute(
        select(
            Incident.id,
            Incident.incident_ref,
            Incident.site_ref,
            Incident.status,
            Incident.account_id,
            ProviderAccount.provider,
            Incident.moving,
            Incident.cancel,
        )
        .outerjoin(ProviderAccount, ProviderAccount.id == Incident.account_id)
        .where(Incident.id == incident_id, Incident.platform_id == platform_id)
    ).first()
    return None if row is None else Target(*row)


def incidents(session: Session, platform_id: str, wanted: IncidentFilter) -> Sequence[Row[Incident, str | None]]:
    """Incidents with their provider, newest first; one more than `limit` when there are more."""
    query: Select[Incident, str | None] = (
        select(Incident, ProviderAccount.provider)
        .outerjoin(ProviderAccount, ProviderAccount.id == Incident.account_id)
        .where(Incident.platform_id == platform_id)
        .order_by(Incident.received_at.desc(), Incident.id.desc())
        .limit(wanted.limit + 1)
    )
    if wanted.statuses:
        query = query.where(Incident.status.in_(wanted.statuses))
    if wanted.site_ref is not None:
        query = query.where(Incident.site_ref == wanted.site_ref)
    if wanted.since is not None:
        query = query.where(Incident.received_at >= wanted.since)
    if wanted.unreported:
        query = query.where(text("incident.status = 'closed' AND incident.report_url IS NULL"))
    if wanted.before is not None:
        query = query.where(tuple_(Incident.received_at, Incident.id) < wanted.before)
    return session.execute(query).all()


def incident(session: Session, platform_id: str, incident_id: str) -> IncidentView | None:
    """One incident with legs and timeline; None when the platform has no such incident."""
    found = session.execute(
        select(Incident, ProviderAccount.provider)
        .outerjoin(ProviderAccount, ProviderAccount.id == Incident.account_id)
        .where(Incident.id == incident_id, Incident.platform_id == platform_id)
    ).first()
    if found is None:
        return None
    legs = session.execute(
        select(IncidentLeg, Leg, ProviderAccount.provider)
        .join(Leg, Leg.id == IncidentLeg.leg_id)
        .join(ProviderAccount, ProviderAccount.id == Leg.account_id)
        .where(IncidentLeg.incident_id == incident_id)
        .order_by(Leg.id)
    ).all()
    timeline = session.scalars(select(Timeline).where(Timeline.incident_id == incident_id).order_by(Timeline.id)).all()
    successor = session.scalar(
        select(Incident.id).where(
            Incident.platform_id == platform_id,
            Incident.incident_ref == found[0].incident_ref,
            Incident.predecessor_id == incident_id,
        )
    )
    return IncidentView(found[0], found[1], successor, legs, timeline)


def notices(session: Session, platform_id: str, *, open_only: bool, before: int | None, limit: int) -> Sequence[Notice]:
    """Notices, newest first; one more than `limit` when there are more."""
    query = select(Notice).where(Notice.platform_id == platform_id).order_by(Notice.id.desc()).limit(limit + 1)
    if open_only:
        query = query.where(Notice.ended_at.is_(None))
    if before is not None:
        query = query.where(Notice.id < before)
    return session.scalars(query).all()


def acknowledge_notice(session: Session, platform_id: str, notice_id: int, by: str, actor: str) -> Notice | None:
    """Silence a notice; the first name stays. None when the platform has no such notice."""
    changed = session.execute(
        update(Notice)
        .where(and_(Notice.id == notice_id, Notice.platform_id == platform_id, Notice.acknowledged_at.is_(None)))
        .values(acknowledged_at=func.now(), acknowledged_by=by)
        .returning(Notice.subject)
    ).first()
    if changed is not None:
        note(session, platform_id, actor, action="notice.acknowledge", subject=changed[0], detail={"by": by})
    return session.scalar(select(Notice).where(Notice.id == notice_id, Notice.platform_id == platform_id))


def note(
    session: Session, platform_id: str, actor: str, *, action: str, subject: str, detail: dict[str, Any] | None = None
) -> None:
    """Write down who did what."""
    session.add(Audit(platform_id=platform_id, actor=actor, action=action, subject=subject, detail=detail))
