"""The bodies that Noonlight Dispatch accepts: only documented keys, as its validation is JSON-schema-like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.sandbox.formats import Check, array, boolean, integer, number, one_of, record, text

_PHONE = text(r"1\d{10}", "should be a supported phone format")
_PIN = text()
_TIME = text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", "should be an ISO-8601 UTC time")

ADDRESS = record(
    {
        "line1": text(),
        "city": text(),
        "state": text(r"[A-Z]{2}", "should be a two-letter state code"),
        "zip": text(r"\d{5}", "Must provide valid location"),
    },
    {"line2": text()},
)
COORDINATES = record(
    {"lat": number(-90, 90), "lng": number(-180, 180), "accuracy": number(0, 1_000_000)},
)


def _location(value: Any, path: str) -> Iterator[str]:
    """An address or coordinates, never both: which one would win is not documented."""
    yield from record({}, {"address": ADDRESS, "coordinates": COORDINATES})(value, path)
    if isinstance(value, dict) and len(value.keys() & {"address", "coordinates"}) != 1:
        yield f"{path} should hold either address or coordinates"


_WORKFLOW = record({"id": text()})
_NEEDED = {"name": text(), "phone": _PHONE, "location": _location}
_OPTIONAL = {
    "pin": _PIN,
    "services": record({}, dict.fromkeys(("police", "fire", "medical", "other"), boolean)),
    "instructions": record({"entry": text()}),
    "owner_id": text(),
}
ALARM = record(_NEEDED, {**_OPTIONAL, "workflow": _WORKFLOW})
# The shape that another public client sends.
FLAT_ALARM = record(_NEEDED, {**_OPTIONAL, "workflow_id": text()})
CANCEL = record({"status": one_of("CANCELED")}, {"pin": _PIN})
LOCATION_UPDATE = record({"coordinates": COORDINATES})
PEOPLE = array(record({"name": text(), "phone": _PHONE}, {"pin": _PIN}))
CERTIFICATE = record({"address": ADDRESS})

_VALUES = {
    "smoke": ("detected", "clear"),
    "camera": ("unknown",),
    "lock": ("locked", "unlocked", "door_open", "door_closed"),
    "contact": ("open", "closed"),
    "motion": ("detected", "cleared"),
    "water_leak": ("detected", "cleared"),
    "freeze": ("detected", "cleared"),
    "network_connection": ("lost", "established"),
}


def _meta(value: Any, path: str) -> Iterator[str]:
    """Attribute and value belong together, and only a camera shows media (a public client's own checks)."""
    device: dict[str, Check] = dict.fromkeys(("device_model", "device_name", "device_manufacturer"), text())
    yield from record(
        {"attribute": one_of(*_VALUES), "value": text(), **device}, {"device_id": text(), "media": text()}
    )(value, path)
    if isinstance(value, dict) and value.get("attribute") in _VALUES:
        yield from one_of(*_VALUES[value["attribute"]])(value.get("value"), f"{path}.value")
        if "media" in value and value["attribute"] != "camera":
            yield f"{path}.media is shown for attribute camera only"


EVENTS = array(
    record(
        {
            "event_type": one_of(
                "alarm.device.activated_alarm", "alarm.person.activated_alarm", "alarm.device.value_changed"
            ),
            "event_time": _TIME,
            "meta": _meta,
        }
    )
)

_IMAGES = ("image/jpeg", "image/jpg", "image/png")
_VIDEOS = ("video/mp4", "application/x-mpegURL")
_POINT = record(dict.fromkeys(("x", "dx", "y", "dy"), integer))


def _attachments(value: Any, path: str) -> Iterator[str]:
    """Images, or one video."""
    yield from array(
        record(
            {"url": text(r"https?://\S+", "should be a URL"), "media_type": one_of(*_IMAGES, *_VIDEOS)},
            {"points_of_interest": array(_POINT)},
        )
    )(value, path)
    parts = value if isinstance(value, list) else []
    if len(parts) > 1 and any(isinstance(part, dict) and part.get("media_type") in _VIDEOS for part in parts):
        yield f"{path} should hold images or one video"


VERIFICATION = record(
    {"prompt": text(), "expiration": record({"timeout": integer}), "attachments": _attachments},
    dict.fromkeys(("id", "owner_id", "location_id", "device_id", "webhook_url"), text()),
)
