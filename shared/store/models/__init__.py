"""The tables, one file per idea."""

from __future__ import annotations

from shared.store.models.base import Base
from shared.store.models.incident import LIVE_OUTCOMES, Incident, IncidentLeg, Leg, Timeline
from shared.store.models.intake import Inbox, RepeatKey
from shared.store.models.outbox import Attempt, Outbox
from shared.store.models.site import Site
from shared.store.models.tenancy import ApiKey, Platform, ProviderAccount
from shared.store.models.upkeep import Audit, Heartbeat, Job, Notice

__all__ = [
    "LIVE_OUTCOMES",
    "ApiKey",
    "Attempt",
    "Audit",
    "Base",
    "Heartbeat",
    "Inbox",
    "Incident",
    "IncidentLeg",
    "Job",
    "Leg",
    "Notice",
    "Outbox",
    "Platform",
    "ProviderAccount",
    "RepeatKey",
    "Site",
    "Timeline",
]
