"""What an alarm is made of, as values that every provider understands."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.kinds import Kind


@dataclass(frozen=True)
class Address:
    """A postal address of a fixed site."""

    line1: str
    city: str
    state: str
    zip: str
    line2: str = ""
    country: str = ""


@dataclass(frozen=True)
class Coordinates:
    """A position in degrees (WGS 84); `accuracy` in metres."""

    lat: float
    lng: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Person:
    """Whom the provider calls. Hidden from `repr`, since a traceback may print it."""

    name: str = field(repr=False)
    phone: str = field(repr=False)
    pin: str | None = field(default=None, repr=False)
    phone_verified_at: datetime | None = None


@dataclass(frozen=True)
class Device:
    """The sensor that tripped, as the platform describes it."""

    attribute: str = ""
    value: str = ""
    name: str = ""
    model: str = ""
    manufacturer: str = ""


@dataclass(frozen=True)
class Signal:
    """One event of an incident: the triggering one, or a further one. `media` are links to pictures or clips."""

    kind: Kind
    occurred_at: datetime
    trigger: bool
    triggered_by: str = "device"
    device: Device | None = None
    media: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Site:
    """A protected place as a provider needs it; `reference` is the platform's own stable id."""

    reference: str
    name: str = field(repr=False)
    address: Address | None = field(default=None, repr=False)
    coordinates: Coordinates | None = field(default=None, repr=False)
    account_number: str = ""
    provider_site_id: str | None = None
    notes: str = field(default="", repr=False)
    gate_instructions: str = field(default="", repr=False)


@dataclass(frozen=True)
class DispatchRequest:
    """All that a provider may need to send somebody.

    `context` are labelled lines for the dispatcher, most important first, already free of control characters.
    """

    incident_id: str
    incident_ref: str
    kind: Kind
    services: frozenset[str]
    occurred_at: datetime
    test: bool
    triggered_by: str
    context: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    device: Device | None = None
    person: Person | None = field(default=None, repr=False)
    site: Site | None = field(default=None, repr=False)
    address: Address | None = field(default=None, repr=False)
    coordinates: Coordinates | None = field(default=None, repr=False)
