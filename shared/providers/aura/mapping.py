"""AURA's words and ours: webhook names, the free-form statuses of a read, and where a callout hides its details."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.lifecycle import Status
from shared.providers.answers import text_id
from shared.providers.base import Account

# Webhooks (docs.aurasos.com/overview/core-concepts/webhooks). None: an entry that moves nothing.
WEBHOOKS: dict[str, tuple[Status | None, str]] = {
    "NEW_CALLOUT": (Status.REQUESTED, "response requested"),
    "RESPONDER_MANUALLY_DISPATCHED": (Status.DISPATCHED, "responder dispatched"),
    "RESPONDER_ACKNOWLEDGED_CALLOUT": (Status.ACKNOWLEDGED, "responder acknowledged"),
    # Deprecated for the name above; old registrations still send it.
    "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA": (Status.ACKNOWLEDGED, "responder acknowledged"),
    "RESPONDER_ARRIVED_ON_SCENE": (Status.ON_SCENE, "responder on location"),
    "RESPONDER_COMPLETED": (Status.COMPLETED, "response complete"),
    "CALLOUT_OWNED": (None, "taken by the control room"),
    "CALLOUT_EVENTS_CHANGED": (None, "the callout's messages changed"),
    "CALLOUT_SOFT_CANCELLED_BY_CUSTOMER": (Status.CANCELLED, "response cancelled by the customer"),
    "CALLOUT_NO_LONGER_REQUIRES_RESPONSE": (Status.CANCELLED, "response no longer required"),
    "CALLOUT_CLOSED": (Status.CLOSED, "closed"),
}
REREAD = frozenset({"CALLOUT_EVENTS_CHANGED"})
# A custom HTTP status: the callout is closed, and the body holds its latest state (Callout lifecycle).
OVER_STATUS = 285

# `status` is free-form text in mixed case; these values are named by the docs, compared after `normal`.
STATUSES: dict[str, Status] = {
    "created": Status.REQUESTED,
    "responder dispatched": Status.DISPATCHED,
    "responder arrived": Status.ON_SCENE,
    "responder completed": Status.COMPLETED,
    "responder cancelled": Status.CANCELLED,
    "closed": Status.CLOSED,
}

# The ETA's field name is not public: the first of these that holds a number is taken, in the unit of the option
# `eta_unit`.
_ETA_FIELDS = ("etaSeconds", "etaMinutes", "eta", "ETA", "estimatedTimeOfArrival")
_ETA_UNITS = {"seconds": 1, "minutes": 60}
_TIMES = ("updatedAt", "createdAt", "dispatchTime")


def normal(word: object) -> str:
    """Trimmed, case-folded, with single spaces for spaces and underscores."""
    return " ".join(str(word).replace("_", " ").casefold().split())


def status_of(word: object) -> Status | None:
    """Our status for a word of a read; None for a word that nobody knows."""
    return STATUSES.get(normal(word))


def callout_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The callout of an answer or a delivery: wrapped (current docs) or flat (earlier ones)."""
    inner = document.get("callout")
    return inner if isinstance(inner, Mapping) else document


def newest_incident(*documents: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest entry of the first `incidentInformation` found, by its own times; the first one where none has any."""
    for document in documents:
        entries = document.get("incidentInformation")
        found = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
        if found:
            return max(found, key=_time_of)
        if isinstance(entries, Mapping):
            return entries
    return {}


def raw_status(callout: Mapping[str, Any]) -> str:
    """`status` of the callout, else of its newest incident; "" when neither has one."""
    for holder in (callout, newest_incident(callout)):
        word = holder.get("status")
        if isinstance(word, Mapping):
            word = word.get("value")
        if isinstance(word, str) and word.strip():
            return word
    return ""


def site_of(*documents: Mapping[str, Any]) -> str | None:
    """The id of the Fixed Location that a callout belongs to."""
    for holder in (*documents, newest_incident(*documents)):
        found = text_id(holder.get("predefinedLocationId"))
        if found:
            return found
    return None


def eta_seconds(account: Account, *documents: Mapping[str, Any]) -> int | None:
    """The ETA in seconds; None unless the account names the unit (`eta_unit`: seconds or minutes), which is not public.

    The option `eta_fields` replaces the candidate names.
    """
    factor = _ETA_UNITS.get(str(account.options.get("eta_unit", "")))
    if factor is None:
        return None
    names = account.options.get("eta_fields", _ETA_FIELDS)
    for holder in (newest_incident(*documents), *documents):
        for number in _numbers(holder, names):
            return round(number * factor)
    return None


def _numbers(holder: Mapping[str, Any], names: Any) -> Iterator[float]:
    for name in names:
        try:
            number = float(holder.get(name, "nan"))
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number) and 0 <= number <= 100_000:
            yield number


def _time_of(incident: Mapping[str, Any]) -> str:
    return next((value for name in _TIMES if isinstance(value := incident.get(name), str)), "")
