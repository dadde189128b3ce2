"""The tables, one file per idea."""

from __future__ import annotations

from shared.store.models.base import Base
from shared.store.models.certificate import Certificate
from shared.store.models.following import OwnNote
from shared.store.models.incident import LIVE_OUTCOMES, Incident, IncidentLeg, Leg, Timeline
from shared.store.models.intake import Inbox, RepeatKey
from shared.store.models.location import LocationFix
from shared.store.models.outbox import Attempt, Outbox
from shared.store.models.reconciliation import Drift, ListedSite, ReconciliationRun
from shared.store.models.site import Site
from shared.store.models.site_import import SiteImport
from shared.store.models.tenancy import ApiKey, Platform, ProviderAccount
from shared.store.models.upkeep import Audit, Heartbeat, Job, Notice
from shared.store.models.verification import Verification

__all__ = [
    "LIVE_OUTCOMES",
    "ApiKey",
    "Attempt",
    "Audit",
    "Base",
    "Certificate",
    "Drift",
    "Heartbeat",
    "Inbox",
    "Incident",
    "IncidentLeg",
    "Job",
    "Leg",
    "ListedSite",
    "LocationFix",
    "Notice",
    "Outbox",
    "OwnNote",
    "Platform",
    "ProviderAccount",
    "ReconciliationRun",
    "RepeatKey",
    "Site",
    "SiteImport",
    "Timeline",
    "Verification",
]
