"""Noonlight's words and ours: services, device attributes, webhook names and statuses."""

from __future__ import annotations

from shared.domain.kinds import Kind
from shared.domain.lifecycle import Status

# Keys of `services` in POST /alarms; the default without any is police (docs.noonlight.com, Standard Alarms).
SERVICES = frozenset({"police", "fire", "medical", "other"})

_STATE_CODES = """
AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC
ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY
"""
STATES = frozenset(_STATE_CODES.split())

# Attribute and values of an event's `meta`, as the client `pynoonlight` 0.4.5 validates them; the reference page is
# not public.
ATTRIBUTES: dict[str, frozenset[str]] = {
    "smoke": frozenset({"detected", "clear"}),
    "camera": frozenset({"unknown"}),
    "lock": frozenset({"locked", "unlocked", "door_open", "door_closed"}),
    "contact": frozenset({"open", "closed"}),
    "motion": frozenset({"detected", "cleared"}),
    "water_leak": frozenset({"detected", "cleared"}),
    "freeze": frozenset({"detected", "cleared"}),
    "network_connection": frozenset({"lost", "established"}),
}

# What a kind says by itself when the platform named no device. No public word exists for CO, glass, panic, tamper or
# medical.
KIND_ATTRIBUTES: dict[Kind, tuple[str, str]] = {
    Kind.SMOKE: ("smoke", "detected"),
    Kind.WATER_LEAK: ("water_leak", "detected"),
    Kind.FREEZE: ("freeze", "detected"),
}

# docs.noonlight.com, Dispatch webhook, "Events": "at minimum" these three; an entry carries no personal data.
WEBHOOKS: dict[str, tuple[Status, str]] = {
    "alarm.psap_contacted": (Status.AUTHORITIES_CONTACTED, "PSAP contacted"),
    "alarm.status.canceled": (Status.CANCELLED, "cancelled with the dispatcher"),
    "alarm.closed": (Status.CLOSED, "closed by the dispatcher"),
}

# The only documented words of GET /alarms/{id}/status.
STATUSES: dict[str, Status] = {"ACTIVE": Status.REQUESTED, "CANCELED": Status.CANCELLED}


def attribute_of(kind: Kind, attribute: str, value: str) -> tuple[str, str] | None:
    """The event attribute and value for a device's report, else for the kind; None where no word fits."""
    named = attribute.strip().lower(), value.strip().lower()
    if named[1] in ATTRIBUTES.get(named[0], frozenset()):
        return named
    return KIND_ATTRIBUTES.get(kind)
