"""Noonlight's words and ours: services, device attributes, webhook names and statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


# What panels and platforms call the same things. Nothing is translated into something that is only near.
_SAME_ATTRIBUTE = {
    "door": "contact", "window": "contact", "door_contact": "contact", "window_contact": "contact",
    "smoke_detector": "smoke", "motion_sensor": "motion", "pir": "motion", "video": "camera",
    "leak": "water_leak", "flood": "water_leak", "network": "network_connection", "connection": "network_connection",
}  # fmt: skip
_SAME_VALUE = {
    "opened": "open",
    "close": "closed",
    "clear": "cleared",
    "disconnected": "lost",
    "connected": "established",
}


def attribute_of(own: Mapping[str, Sequence[str]], kind: Kind, attribute: str, value: str) -> tuple[str, str] | None:
    """The event attribute and value for a device's report, else for the kind; None where no word fits.

    `own` is the account's option `attribute_map`, by `attribute:value`, `attribute` or `kind:<kind>`: what was agreed
    with the provider goes before our table.
    """
    name, said = _word(attribute), _word(value)
    for key in (f"{name}:{said}", name, f"kind:{kind.value}"):
        if key in own and (name or key.startswith("kind:")):
            return own[key][0], own[key][1]
    name = _SAME_ATTRIBUTE.get(name, name)
    if name == "camera":
        return name, "unknown"  # the only value there is
    for word in (said, _SAME_VALUE.get(said, said), "clear" if said == "cleared" else said):
        if word in ATTRIBUTES.get(name, frozenset()):
            return name, word
    return KIND_ATTRIBUTES.get(kind)


def is_attribute_map(value: Any) -> bool:
    """Whether an option names attributes and values that the provider has."""
    return isinstance(value, dict) and all(
        isinstance(words, list) and len(words) == 2 and words[1] in ATTRIBUTES.get(str(words[0]), frozenset())
        for words in value.values()
    )


def _word(text: str) -> str:
    return "_".join(text.strip().lower().split())
