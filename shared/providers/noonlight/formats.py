"""Checks before sending, and the bodies that pass them: Noonlight validates strictly, and only when the alarm fires."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import phonenumbers

from shared.domain.alarm import Address, Coordinates, DispatchRequest, Person
from shared.providers.answers import one_line
from shared.providers.base import Account
from shared.providers.noonlight.mapping import SERVICES

_ENTRY_MAX = 500
_STATE = re.compile(r"[A-Za-z]{2}")
# Sent when a platform names no accuracy, which the API wants (seen in one client); ours, and said in `entry` as
# unknown.
_UNKNOWN_ACCURACY_M = 100


def problems(account: Account, request: DispatchRequest) -> list[str]:
    """Why the provider would refuse the request; empty when it is fine. The texts quote no value."""
    found = _service_problems(account, request) + _own_person_problems(request)
    address = address_of(request)
    if address is not None:
        return found + address_problems(address)
    if request.site is not None:
        return [*found, "a fixed site needs an address"]
    if request.coordinates is not None:
        return found + _coordinate_problems(request.coordinates)
    return [*found, "an address or coordinates are needed"]


def create_body(account: Account, request: DispatchRequest) -> dict[str, Any]:
    """The body of POST /alarms for a request that has no problems. Only documented keys: unknown ones are refused."""
    person = request.person
    assert person is not None
    body: dict[str, Any] = {
        **person_body(person),
        "location": _location(request),
        "services": dict.fromkeys(sorted(request.services), True),
        "instructions": {"entry": entry(account, request)},
        "owner_id": request.incident_id,
    }
    workflow = account.options.get("workflow")
    if workflow:
        # Two public clients disagree on the shape of the workflow id.
        flat = account.options.get("workflow_style", "object") == "flat"
        body |= {"workflow_id": workflow} if flat else {"workflow": {"id": workflow}}
    return body


def entry(account: Account, request: DispatchRequest) -> str:
    """The dispatcher's lines, TEST first, cut at `entry_max` characters (the provider's limit is not public).

    One line with bars: whether the provider takes a line break is not documented.
    """
    lines = [(one_line(label).upper(), one_line(text)) for label, text in request.context if one_line(text)]
    reference = one_line(request.incident_ref)
    if reference and not any(reference in text for _, text in lines):
        lines.insert(0, ("REFERENCE", reference))
    if _sends_coordinates(request) and request.coordinates and request.coordinates.accuracy is None:
        lines.insert(0, ("POSITION", "accuracy unknown"))
    if request.test:
        test = next((line for line in lines if line[0] == "TEST"), ("TEST", "test alarm, do not dispatch"))
        lines = [test, *(line for line in lines if line[0] != "TEST")]
    text = " | ".join(f"{label}: {text}" for label, text in lines)
    limit = int(account.options.get("entry_max", _ENTRY_MAX))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def phone_digits(phone: str) -> str | None:
    """`1XXXXXXXXXX`, or None when no North American number of this length exists.

    Only what is *possible* is asked: numbers of the 555 range, the provider's own example among them, are not *valid*
    ones. An extension is dropped, since the field has no room for it.
    """
    try:
        number = phonenumbers.parse(phone, "US")
    except phonenumbers.NumberParseException:
        return None
    national = str(number.national_number)
    if number.country_code != 1 or len(national) != 10 or not phonenumbers.is_possible_number(number):
        return None
    return f"1{national}"


def zip5(text: str) -> str | None:
    """The five digits of a ZIP or ZIP+4 (the API refuses ZIP+4), else None."""
    match = re.fullmatch(r"([0-9]{5})(?:[- ]?[0-9]{4})?", text.strip())
    return match[1] if match else None


def person_body(person: Person) -> dict[str, Any]:
    """A person as the create and the people call take one."""
    pin = {"pin": person.pin} if person.pin else {}
    return {"name": one_line(person.name), "phone": phone_digits(person.phone)} | pin


def address_body(address: Address) -> dict[str, Any]:
    """An address that has no problems, with a ZIP of five digits."""
    body = {"line1": one_line(address.line1), "city": one_line(address.city)}
    if one_line(address.line2):
        body["line2"] = one_line(address.line2)
    return body | {"state": address.state.strip().upper(), "zip": zip5(address.zip)}


def coordinates_body(point: Coordinates) -> dict[str, float]:
    """A position; the accuracy is required."""
    accuracy = _UNKNOWN_ACCURACY_M if point.accuracy is None else point.accuracy
    return {"lat": point.lat, "lng": point.lng, "accuracy": accuracy}


def address_of(request: DispatchRequest) -> Address | None:
    """The address to send to: the alarm's own, else that of its site."""
    return request.address or (request.site.address if request.site else None)


def _sends_coordinates(request: DispatchRequest) -> bool:
    return address_of(request) is None


def _location(request: DispatchRequest) -> dict[str, Any]:
    address = address_of(request)
    if address is not None:
        return {"address": address_body(address)}
    assert request.coordinates is not None
    return {"coordinates": coordinates_body(request.coordinates)}


def _service_problems(account: Account, request: DispatchRequest) -> list[str]:
    if not request.services:
        return ["no service is asked for"]
    if not request.services <= SERVICES:
        return ["services must be among police, fire, medical and other"]
    if "other" in request.services and not account.options.get("allow_other"):
        return ["the service other is not agreed for this account (option allow_other)"]
    return []


def _own_person_problems(request: DispatchRequest) -> list[str]:
    if request.person is None:
        return ["a person with a name and a phone is needed"]
    return person_problems(request.person)


def person_problems(person: Person) -> list[str]:
    """Why the provider would refuse a person."""
    found = []
    if not one_line(person.name):
        found.append("the person's name is empty")
    if phone_digits(person.phone) is None:
        found.append("the phone is no North American number")
    return found


def address_problems(address: Address) -> list[str]:
    """Why the provider would refuse an address, its coverage apart."""
    checks: Sequence[tuple[bool, str]] = (
        (bool(one_line(address.line1)), "the address has no line1"),
        (bool(one_line(address.city)), "the address has no city"),
        (bool(_STATE.fullmatch(address.state.strip())), "the state is no two-letter code"),
        (zip5(address.zip) is not None, "the ZIP code is not five digits"),
    )
    return [text for fine, text in checks if not fine]


def _coordinate_problems(point: Coordinates) -> list[str]:
    sane = math.isfinite(point.lat) and math.isfinite(point.lng) and abs(point.lat) <= 90 and abs(point.lng) <= 180
    if not sane or (point.lat == 0 and point.lng == 0):
        return ["the coordinates are not a place"]
    if point.accuracy is not None and not (math.isfinite(point.accuracy) and point.accuracy >= 0):
        return ["the accuracy is not a distance in metres"]
    return []
