"""AURA's directory of Fixed Locations: one record per reference, created or fully replaced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.domain.alarm import Site
from shared.domain.drift import Listed
from shared.domain.outcome import Accepted, Outcome, Permanent, SiteStored, Temporary
from shared.providers.answers import classify, lost, object_of, one_line, quoted, text_id
from shared.providers.aura.listing import coverage_of, find, listed
from shared.providers.aura.paths import is_addressable
from shared.providers.aura.session import send
from shared.providers.aura.token import TokenFailed
from shared.providers.base import Account, Call, ReadFailed
from shared.providers.http import Answer, AnswerLost, NotSent


class Directory:
    """The capability `Sites`."""

    def check_site(self, account: Account, site: Site) -> Sequence[str]:
        """Reasons for which AURA would refuse the site, or could never be asked about it."""
        checks = (
            (bool(site.reference) and site.reference.isprintable(), "the site has no usable reference"),
            (is_addressable(site.reference), "the reference cannot stand in a URL"),
            (bool(site.name.strip()), "the site has no name"),
            (_is_place(site), "the site needs coordinates of a place"),
        )
        return [text for fine, text in checks if not fine]

    def put_site(self, call: Call, account: Account, site: Site, *, look_first: bool) -> Outcome:
        """Create, or replace by AURA's id. An id that is unknown or gone is found by a complete listing.

        Two records of one reference are a conflict: nobody can say to which of them a responder would be sent.
        """
        found = self.check_site(account, site)
        if found:
            return Permanent("; ".join(found))
        body = record_of(account, site)
        try:
            if site.provider_site_id:
                outcome = self._replace(call, account, site.provider_site_id, body)
                if not (isinstance(outcome, Permanent) and outcome.http_status == 404):
                    return outcome
                look_first = True
            if look_first:
                twins = find(call, account, site.reference)
                if twins:
                    return self._settle(call, account, twins, body)
            return self._create(call, account, site, body)
        except TokenFailed as error:
            return error.outcome
        except ReadFailed as error:
            return Temporary(f"the listing failed: {error.outcome.reason}", http_status=error.outcome.http_status)
        except NotSent as error:
            return Temporary(error.reason)

    def delete_site(self, call: Call, account: Account, site: Site) -> Outcome:
        """DELETE by AURA's id, found by a complete listing where we do not know it; repeating it is safe."""
        try:
            ids = [site.provider_site_id] if site.provider_site_id else find(call, account, site.reference)
            if len(ids) > 1:
                return Permanent(f"conflict: {len(ids)} records carry this reference")
            return self._delete(call, account, ids[0]) if ids else Accepted()
        except TokenFailed as error:
            return error.outcome
        except ReadFailed as error:
            return Temporary(f"the listing failed: {error.outcome.reason}", http_status=error.outcome.http_status)
        except (NotSent, AnswerLost) as error:
            return Temporary(error.reason)

    def as_listed(self, account: Account, site: Site) -> Listed:
        """The record that `put_site` makes of the site."""
        point = site.coordinates
        return Listed(
            reference=site.reference,
            provider_site_id=site.provider_site_id or "",
            name=one_line(site.name),
            address=_address(site),
            place=None if point is None else (point.lat, point.lng),
        )

    def list_sites(self, call: Call, account: Account) -> Iterator[Listed]:
        """GET predefinedLocations, page by page where the account's options say so."""
        return listed(call, account)

    def _delete(self, call: Call, account: Account, site_id: str) -> Outcome:
        answer = send(call, account, "DELETE", "site", id=site_id)
        if 200 <= answer.status < 300 or answer.status == 404:
            return Accepted(http_status=answer.status)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        return classify(answer) or _refused(answer, ())

    def _create(self, call: Call, account: Account, site: Site, body: Mapping[str, Any]) -> Outcome:
        try:
            answer = send(call, account, "POST", "sites", body)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if answer.status == 409:
            return self._settle(call, account, find(call, account, site.reference), body)
        if answer.status >= 500:
            return lost(f"server error (HTTP {answer.status})", answer.status)
        return _stored(answer, "", body)

    def _replace(self, call: Call, account: Account, site_id: str, body: Mapping[str, Any]) -> Outcome:
        """PUT is a full replacement, so that repeating it is safe."""
        try:
            answer = send(call, account, "PUT", "site", body, id=site_id)
        except AnswerLost as error:
            return Temporary(error.reason, http_status=error.status)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        return _stored(answer, site_id, body)

    def _settle(self, call: Call, account: Account, twins: list[str], body: Mapping[str, Any]) -> Outcome:
        if len(twins) == 1:
            return self._replace(call, account, twins[0], body)
        if twins:
            return Permanent(f"conflict: {len(twins)} records carry this reference")
        return Permanent("conflict: refused as a duplicate, and no record carries this reference", http_status=409)


def _stored(answer: Answer, known_id: str, body: Mapping[str, Any]) -> Outcome:
    if 200 <= answer.status < 300:
        site_id = text_id(object_of(answer).get("id")) or known_id
        if not site_id:
            return lost("answered without an id", answer.status)
        return SiteStored(site_id, http_status=answer.status, coverage=coverage_of(object_of(answer)))
    return classify(answer) or _refused(answer, body)


def _refused(answer: Answer, body: object) -> Permanent:
    words = quoted(object_of(answer).get("message", ""), body) or "no reason given"
    return Permanent(f"refused (HTTP {answer.status}): {words}", http_status=answer.status)


def record_of(account: Account, site: Site) -> dict[str, Any]:
    """The fields of Create fixed location; latitude and longitude are strings there.

    `locationIdentifier` must be unique, which a name is not: the reference goes there, the name into
    `locationDescription`.
    """
    point = site.coordinates
    assert point is not None
    body = {
        "externalReferenceId": site.reference,
        "locationIdentifier": site.reference,
        "locationDescription": one_line(site.name),
        "latitude": f"{point.lat:.7f}",
        "longitude": f"{point.lng:.7f}",
    }
    if site.address is not None:
        body["formattedAddress"] = _address(site)
    labelled = (("GATE", site.gate_instructions), ("NOTES", site.notes))
    notes = " | ".join(f"{label}: {one_line(text)}" for label, text in labelled if text.strip())
    if notes:
        body["locationAdditionalInformation"] = notes
    kind = account.options.get("callout_location_type_id")
    return body | ({"calloutLocationTypeId": kind} if kind is not None else {})


def _address(site: Site) -> str:
    """The one line that `formattedAddress` takes; "" for a site without an address."""
    a = site.address
    parts = () if a is None else (a.line1, a.line2, a.city, a.state, a.zip, a.country)
    return ", ".join(one_line(part) for part in parts if part.strip())


def _is_place(site: Site) -> bool:
    point = site.coordinates
    if point is None or not (math.isfinite(point.lat) and math.isfinite(point.lng)):
        return False
    return abs(point.lat) <= 90 and abs(point.lng) <= 180 and (point.lat, point.lng) != (0, 0)
