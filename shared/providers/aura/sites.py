"""AURA's directory of Fixed Locations: one record per reference, created or fully replaced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from shared.domain.alarm import Site
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify, lost, object_of, one_line, parse_json, quoted, raise_for_read, text_id
from shared.providers.aura.paths import is_addressable
from shared.providers.aura.session import send
from shared.providers.aura.token import TokenFailed
from shared.providers.base import Account, Call, ReadFailed
from shared.providers.http import Answer, AnswerLost, NotSent

_LISTING_CAP = 50_000_000
_PAGE_SIZE = 100
_PAGES_MAX = 1000
_DELETED = ("deletedAt", "isDeleted", "deleted")


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
        """Create, or replace by AURA's id. The id is found by a complete listing where we do not know it.

        Two records of one reference are a conflict: nobody can say to which of them a responder would be sent.
        """
        found = self.check_site(account, site)
        if found:
            return Permanent("; ".join(found))
        body = _body(account, site)
        try:
            if site.provider_site_id:
                return self._replace(call, account, site.provider_site_id, body)
            if look_first:
                twins = _find(call, account, site.reference)
                if twins:
                    return self._settle(call, account, twins, body)
            return self._create(call, account, site, body)
        except TokenFailed as error:
            return error.outcome
        except ReadFailed as error:
            return Temporary(f"the listing failed: {error.outcome.reason}", http_status=error.outcome.http_status)
        except NotSent as error:
            return Temporary(error.reason)

    def _create(self, call: Call, account: Account, site: Site, body: Mapping[str, Any]) -> Outcome:
        try:
            answer = send(call, account, "POST", "sites", body)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if answer.status == 409:
            return self._settle(call, account, _find(call, account, site.reference), body)
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
        return Accepted(site_id, http_status=answer.status)
    words = quoted(object_of(answer).get("message", ""), body) or "no reason given"
    return classify(answer) or Permanent(f"refused (HTTP {answer.status}): {words}", http_status=answer.status)


def _body(account: Account, site: Site) -> dict[str, Any]:
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
        a = site.address
        parts = (a.line1, a.line2, a.city, a.state, a.zip, a.country)
        body["formattedAddress"] = ", ".join(one_line(part) for part in parts if part.strip())
    labelled = (("GATE", site.gate_instructions), ("NOTES", site.notes))
    notes = " | ".join(f"{label}: {one_line(text)}" for label, text in labelled if text.strip())
    if notes:
        body["locationAdditionalInformation"] = notes
    kind = account.options.get("callout_location_type_id")
    return body | ({"calloutLocationTypeId": kind} if kind is not None else {})


def _find(call: Call, account: Account, reference: str) -> list[str]:
    """AURA's ids of the live records of exactly this reference. Raises ReadFailed when the listing is not whole."""
    found: dict[str, None] = {}
    for record in _records(call, account):
        if record.get("externalReferenceId") == reference and not any(record.get(name) for name in _DELETED):
            found[text_id(record.get("id"))] = None
    if "" in found:
        raise ReadFailed(Temporary("a record has no id"))
    return list(found)


def _records(call: Call, account: Account) -> Iterator[Mapping[str, Any]]:
    """Every record. Paging is not public: option `paging` is none (default), page or offset, beside `page_size`."""
    paging = account.options.get("paging", "none")
    size = int(account.options.get("page_size", _PAGE_SIZE))
    seen: set[str] = set()
    for page in range(_PAGES_MAX):
        starts = {"page": ("page", page + 1), "offset": ("offset", page * size)}
        query = f"?{urlencode([starts[paging], ('limit', size)])}" if paging in starts else ""
        records = _page(call, account, query)
        yield from records
        fresh = {text_id(record.get("id")) for record in records} - seen
        if not query or not fresh:
            return
        seen |= fresh
    raise ReadFailed(Temporary("the listing has no end"))


def _page(call: Call, account: Account, query: str) -> list[Mapping[str, Any]]:
    try:
        answer = send(call, account, "GET", "sites", cap=_LISTING_CAP, query=query)
    except (NotSent, AnswerLost) as error:
        raise ReadFailed(Temporary(error.reason)) from None
    raise_for_read(answer)
    try:
        value = parse_json(answer.body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        names = ("predefinedLocations", "locations", "data", "items")
        value = next((value[name] for name in names if isinstance(value.get(name), list)), None)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise ReadFailed(Temporary("the listing is unreadable", http_status=answer.status))
    return value


def _is_place(site: Site) -> bool:
    point = site.coordinates
    if point is None or not (math.isfinite(point.lat) and math.isfinite(point.lng)):
        return False
    return abs(point.lat) <= 90 and abs(point.lng) <= 180 and (point.lat, point.lng) != (0, 0)
