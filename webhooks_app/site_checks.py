"""Would an alarm at this site be taken by its provider? Asked when the site is saved."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from shared.domain.alarm import Address, Coordinates, DispatchRequest, Person, Site
from shared.domain.kinds import Kind, services_for
from shared.providers import registry
from shared.providers.base import Account, Provider
from webhooks_app.bodies import ContactBody, SiteBody
from webhooks_app.errors import INVALID, Problem

_REFERENCE = re.compile(r"[^\x00-\x1f\x7f\ufffd]{1,200}")


def check_reference(site_ref: str) -> None:
    """Refuse what cannot be a reference; U+FFFD stands for bytes that were no UTF-8."""
    if not _REFERENCE.fullmatch(site_ref):
        reason = "must be 1 to 200 characters of percent-encoded UTF-8 without control characters"
        raise Problem(INVALID, "The reference cannot be used.", [("site_ref", reason)])


def keeps_directory(account: Account) -> bool:
    """True when the provider must learn of the site through its API."""
    return registry.get(account.provider).sites is not None and account.site_mode == "rest"


def problems(account: Account, site_ref: str, body: SiteBody, *, refuse_unverified: bool) -> list[tuple[str, str]]:
    """What is wrong, by field."""
    provider = registry.get(account.provider)
    site = _site(site_ref, body)
    found: list[tuple[str, str]] = []
    if site.address is None and site.coordinates is None:
        found.append(("address", "a site needs an address or coordinates"))
    elif provider.sites is not None:
        found += [(_field(reason), reason) for reason in provider.sites.check_site(account, site)]
    else:
        found += [(_field(reason), reason) for reason in _place_problems(provider, account, site)]
    for place, contact in enumerate(body.contacts):
        field = f"contacts.{place}"
        found += [(field, reason) for reason in _contact_problems(provider, account, site, contact)]
        if refuse_unverified and contact.phone_verified_at is None:
            found.append((f"{field}.phone_verified_at", "this platform takes verified phones only"))
    return found


def _site(site_ref: str, body: SiteBody) -> Site:
    return Site(
        reference=site_ref,
        name=body.name,
        address=Address(**body.address.model_dump()) if body.address else None,
        coordinates=Coordinates(**body.coordinates.model_dump()) if body.coordinates else None,
        account_number=body.account_number,
        notes=body.notes,
        gate_instructions=body.gate_instructions,
    )


def _sample(site: Site) -> DispatchRequest:
    """An alarm as this site might raise it; only ever checked, never sent."""
    return DispatchRequest(
        incident_id="inc_check",
        incident_ref="check",
        kind=Kind.BURGLARY,
        services=services_for(Kind.BURGLARY, {}),
        occurred_at=datetime.now(UTC),
        test=True,
        triggered_by="device",
        site=site,
        address=site.address,
        coordinates=site.coordinates,
    )


def _place_problems(provider: Provider, account: Account, site: Site) -> list[str]:
    """What the provider says of the place, and would not say of an alarm that has none; doubtful coverage included."""
    sample = _sample(site)
    nowhere = replace(sample, site=replace(site, address=None, coordinates=None), address=None, coordinates=None)
    usual = set(provider.dispatch.check(account, nowhere))
    refused = [reason for reason in provider.dispatch.check(account, sample) if reason not in usual]
    return refused + [reason for reason in provider.dispatch.doubts(account, sample) if reason not in refused]


def _contact_problems(provider: Provider, account: Account, site: Site, contact: ContactBody) -> list[str]:
    """What the provider says of this person, and would not say of an alarm that names nobody."""
    sample = _sample(site)
    person = Person(contact.name, contact.phone, contact.pin, contact.phone_verified_at)
    usual = set(provider.dispatch.check(account, sample))
    named = provider.dispatch.check(account, replace(sample, person=person))
    return [reason for reason in named if reason not in usual]


def _field(reason: str) -> str:
    """The field that a provider's reason speaks of."""
    fields = {
        "reference": "site_ref", "coordinates": "coordinates", "zip": "address.zip", "state": "address.state",
        "city": "address.city", "line1": "address.line1", "us": "address.country", "name": "name",
    }  # fmt: skip
    words = re.findall(r"[a-z0-9]+", reason.lower())
    return next((fields[word] for word in words if word in fields), "address")
