"""What the Python peers share: tables, the signature, storing an event, and applying it once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

# How far an alarm is; an incident only moves forward.
PROGRESS = {"requested": 0, "authorities_contacted": 1, "closed": 2}
STATUSES = {
    "alarm.psap_contacted": ("authorities_contacted", "PSAP contacted"),
    "alarm.closed": ("closed", "closed by the dispatcher"),
}


class Base(DeclarativeBase):
    """All tables."""


class Incident(Base):
    """An alarm that is under way."""

    __tablename__ = "incident"
    id: Mapped[int] = mapped_column(primary_key=True)
    alarm_id: Mapped[str]
    status: Mapped[str]
    seq: Mapped[int]
    updated_at: Mapped[datetime]


class Event(Base):
    """A webhook as it came."""

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str]
    alarm_id: Mapped[str]
    name: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]


class Timeline(Base):
    """A step of an incident."""

    __tablename__ = "timeline"
    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id"))
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"))
    status: Mapped[str]
    entry: Mapped[str]
    occurred_at: Mapped[datetime]


class WriteBack(Base):
    """What the platform is told."""

    __tablename__ = "writeback"
    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id"))
    seq: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)


@lru_cache(maxsize=1)
def sessions() -> sessionmaker[Session]:
    """The sessions of this process: made at first use, after any fork. As many connections as it has threads."""
    size = int(os.environ["POOL_SIZE"])
    engine = create_engine(os.environ["DATABASE_URL"], pool_size=size, max_overflow=0, pool_pre_ping=False)
    return sessionmaker(engine, expire_on_commit=False)


def is_authentic(raw: bytes, signature: str) -> bool:
    """Whether the provider signed these bytes."""
    wanted = base64.b64encode(hmac.digest(os.environ["WEBHOOK_SECRET"].encode(), raw, hashlib.sha256)).decode()
    return hmac.compare_digest(signature, wanted)


def store(session: Session, event: dict[str, Any]) -> int | None:
    """Insert an event; its row's id, or None when it is there already."""
    return session.scalar(
        insert(Event)
        .values(
            event_id=event["event_id"],
            alarm_id=event["meta"]["alarm_id"],
            name=event["event_type"],
            body=event,
            occurred_at=event["event_time"],
        )
        .on_conflict_do_nothing(index_elements=["event_id"])
        .returning(Event.id)
    )


def apply(session: Session, row_id: int) -> None:
    """Apply a stored event to its incident, once: a task that runs again changes nothing."""
    # Both rows are locked, and read as they are once the lock is held.
    found = select(Event, Incident).join(Incident, Incident.alarm_id == Event.alarm_id).where(Event.id == row_id)
    event, incident = session.execute(found.with_for_update()).one()
    if event.applied_at is not None:
        return
    status, entry = STATUSES[event.name]
    if PROGRESS[status] > PROGRESS[incident.status]:
        incident.status = status
    incident.seq += 1
    incident.updated_at = event.applied_at = datetime.now(UTC)
    session.add(
        Timeline(
            incident_id=incident.id,
            event_id=event.id,
            status=incident.status,
            entry=entry,
            occurred_at=event.occurred_at,
        )
    )
    session.add(
        WriteBack(
            incident_id=incident.id,
            seq=incident.seq,
            body={
                "seq": incident.seq,
                "incident_id": incident.id,
                "alarm_id": incident.alarm_id,
                "event": event.name,
                "status": incident.status,
                "entry": entry,
                "occurred_at": event.occurred_at.isoformat(),
            },
        )
    )
