"""An incident's rows as the request that a provider understands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.domain import alarm, context
from shared.domain.kinds import Kind
from shared.store.models import Incident, Site
from workers.services import positions
from workers.services.ledger import Ledger


def site_value(row: Site) -> alarm.Site:
    """A site row as a value."""
    place = alarm.Coordinates(row.lat, row.lng) if row.lat is not None and row.lng is not None else None
    return alarm.Site(
        reference=row.reference,
        name=row.name,
        address=address_value(row.address),
        coordinates=place,
        account_number=row.account_number,
        provider_site_id=row.provider_site_id,
        notes=row.notes,
        gate_instructions=row.gate_instructions,
    )


def why_blocked(row: Site | None) -> str | None:
    """Why no alarm of this site may be sent: nobody can say to which record, and so where, somebody would be sent."""
    if row is None:
        return None
    if row.deleted_at is not None:
        return f"the site {row.reference} was deleted"
    if row.conflict:
        return f"the site's reference is ambiguous at the provider: {row.conflict}"
    if row.sync_state == "conflict":
        return f"the site's reference is in conflict at the provider: {row.sync_error}"
    return None


def address_value(given: dict[str, Any] | None) -> alarm.Address | None:
    """An address as it was saved, None when there is none."""
    if not given:
        return None
    return alarm.Address(**{key: given.get(key) or "" for key in ("line1", "line2", "city", "state", "zip", "country")})


def person_value(given: dict[str, Any] | None) -> alarm.Person | None:
    """A person as posted or saved."""
    if not given:
        return None
    verified = given.get("phone_verified_at")
    return alarm.Person(
        name=given["name"],
        phone=given["phone"],
        pin=given.get("pin"),
        phone_verified_at=datetime.fromisoformat(verified) if verified else None,
    )


def build(book: Ledger, incident: Incident, *, possible_double: bool) -> alarm.DispatchRequest:
    """All that a provider may need, from the alarm itself and else from its site."""
    details = book.details(incident)
    row = book.site(incident.site_id)
    contacts = book.box.open(row.contacts) if row is not None and row.contacts else []
    site = None if row is None else site_value(row)
    person = person_value(details.get("person")) or person_value(contacts[0] if contacts else None)
    location = details.get("location") or {}
    return alarm.DispatchRequest(
        incident_id=incident.id,
        incident_ref=incident.incident_ref,
        kind=Kind(incident.kind),
        services=frozenset(incident.services),
        occurred_at=incident.occurred_at,
        test=incident.test,
        triggered_by=details.get("triggered_by") or "device",
        context=context.lines(
            kind=Kind(incident.kind),
            incident_ref=incident.incident_ref,
            test=incident.test,
            details=details,
            site=site,
            contacts=contacts,
            possible_double=possible_double,
        ),
        device=device_value(details.get("device")),
        person=person,
        site=site,
        address=address_value(location.get("address")) or (site.address if site else None),
        coordinates=positions.place_to_send(book, incident),
    )


def device_value(given: dict[str, Any] | None) -> alarm.Device | None:
    """A device as posted."""
    if not given:
        return None
    return alarm.Device(**{k: given.get(k) or "" for k in ("attribute", "value", "name", "model", "manufacturer")})
