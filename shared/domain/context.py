"""What a dispatcher needs to read, as labelled lines, most important first."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.alarm import Site
from shared.domain.kinds import RULES, Kind

MAX_LINE = 400


def clean(text: str) -> str:
    """One line without control characters, so that nothing can pose as another label."""
    flat = "".join(" " if unicodedata.category(ch)[0] in "CZ" else ch for ch in text)
    return " ".join(flat.split())[:MAX_LINE]


def lines(
    *,
    kind: Kind,
    incident_ref: str,
    test: bool,
    details: Mapping[str, Any],
    site: Site | None,
    contacts: Sequence[Mapping[str, Any]],
    possible_double: bool,
) -> tuple[tuple[str, str], ...]:
    """The labelled lines of an alarm; a provider that has little room cuts at the end."""
    device = details.get("device") or {}
    found: list[tuple[str, str]] = []
    if test:
        found.append(("TEST", "this is a test, send nobody"))
    if possible_double:
        found.append(("NOTE", "possible repeat of a request whose answer was lost"))
    found += [("ALARM", RULES[kind].words), ("REF", incident_ref)]
    found += [(label, str(details.get(key) or "")) for label, key in (("ZONE", "zone"), ("MESSAGE", "message"))]
    found.append(("DEVICE", " ".join(str(device.get(key) or "") for key in ("name", "attribute", "value"))))
    if site is not None:
        found += [("GATE", site.gate_instructions), ("SITE", site.notes), ("ACCOUNT", site.account_number)]
    for contact in contacts:
        unverified = "" if contact.get("phone_verified_at") else " (phone not verified)"
        text = f"{contact.get('name', '')} {contact.get('phone', '')}{unverified} {contact.get('note') or ''}"
        found.append(("CONTACT", text))
    person = details.get("person") or {}
    if person and not person.get("phone_verified_at"):
        found.append(("PHONE", "the caller's phone number is not verified"))
    return tuple((label, clean(text)) for label, text in found if clean(text))
