"""The bodies that AURA's current reference documents, and its webhook event names.

The reference does not say that unknown keys are refused; the sandbox refuses them, as each is a mistake of
ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.sandbox.formats import array, decimal_text, integer, one_of, record, text

TOKEN = record({"clientId": text(), "clientSecret": text()})
_LOCATION_TEXTS = ("locationDescription", "locationAdditionalInformation", "formattedAddress", "w3w")
LOCATION = record(
    {
        "externalReferenceId": text(),
        "locationIdentifier": text(),
        "latitude": decimal_text(-90, 90),
        "longitude": decimal_text(-180, 180),
    },
    {
        "calloutLocationTypeId": integer,
        "customerId": integer,
        **dict.fromkeys(_LOCATION_TEXTS, text()),
    },
)
PORTFOLIO_ROW = record(
    {
        "externalReferenceId": text(),
        "locationIdentifier": text(),
        "latitude": decimal_text(-90, 90),
        "longitude": decimal_text(-180, 180),
    },
    dict.fromkeys(_LOCATION_TEXTS, text()),
)
CALLOUT = record({}, {"installerIdentifier": text(), "responseTypeId": integer, "calloutClassificationId": integer})
CANCEL = record({}, {"safeCode": text(r"\d{4}", "must be 4 digits")})
CALLOUT_EVENT = record({"source": text(), "event": text()})

EVENT_STATUS: dict[str, str | None] = {
    "NEW_CALLOUT": None,
    "RESPONDER_MANUALLY_DISPATCHED": "Responder Dispatched",
    "RESPONDER_ACKNOWLEDGED_CALLOUT": "Responder Dispatched",
    "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA": "Responder Dispatched",
    "RESPONDER_ARRIVED_ON_SCENE": "Responder Arrived",
    "RESPONDER_COMPLETED": "Responder Completed",
    "CALLOUT_OWNED": None,
    "CALLOUT_EVENTS_CHANGED": None,
    "CALLOUT_SOFT_CANCELLED_BY_CUSTOMER": "Responder Cancelled",
    "CALLOUT_NO_LONGER_REQUIRES_RESPONSE": "Responder Cancelled",
    "CALLOUT_CLOSED": "closed",
}
"""Each callout event with the status that a read shows after it. The pairs are the sandbox's reading: AURA
says that an acknowledge is an automatic dispatch, and lists no status of its own for it."""


def _deliverable(value: Any, path: str) -> Iterator[str]:
    """HTTPS, as AURA asks; plain HTTP only on loopback, where a sandbox has no certificate."""
    pattern = r"https://\S+|http://(127\.0\.0\.1|localhost)(:\d+)?(/\S*)?"
    yield from text(pattern, "must be an HTTPS URL")(value, path)


def _headers(value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        yield f"{path} must map header names to strings"


deliverable = _deliverable
REGISTRATION = record(
    {"url": _deliverable, "events": array(one_of(*EVENT_STATUS))},
    {"method": one_of("webhook"), "headers": _headers},
)
