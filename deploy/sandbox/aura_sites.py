"""AURA's Fixed Locations (`predefinedLocations`): created, replaced, listed, deleted by AURA's numeric id."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

_OPTIONAL = (
    "calloutLocationTypeId",
    "customerId",
    "locationDescription",
    "locationAdditionalInformation",
    "formattedAddress",
    "w3w",
)


def id_counter() -> itertools.count[int]:
    """Ids that start somewhere new in each run, so that none meets a row of an earlier run."""
    return itertools.count(10_000_000 + secrets.randbelow(1_000_000_000))


class Sites:
    """The locations of one customer source; the service's lock guards it."""

    def __init__(self) -> None:
        self._ids = id_counter()
        self._customer_source = 1 + secrets.randbelow(1000)
        self.clear()

    def clear(self) -> None:
        self._by_id: dict[int, dict[str, Any]] = {}
        self._by_reference: dict[str, dict[int, None]] = {}

    def all(self) -> list[dict[str, Any]]:
        return list(self._by_id.values())

    def get(self, site_id: str) -> dict[str, Any] | None:
        return self._by_id.get(int(site_id)) if site_id.isdecimal() and len(site_id) < 19 else None

    def by_reference(self, reference: str) -> dict[str, Any] | None:
        """The first living one with exactly this externalReferenceId."""
        named = (self._by_id[site_id] for site_id in self._by_reference.get(reference, {}))
        return next((site for site in named if not site.get("deletedAt")), None)

    def add(self, fields: dict[str, Any], now: str) -> dict[str, Any]:
        site_id = next(self._ids)
        site: dict[str, Any] = {"id": site_id, "createdAt": now, "externalReferenceId": None}
        self._by_id[site_id] = site
        self.replace(site, fields, now)
        return site

    def replace(self, site: dict[str, Any], fields: dict[str, Any], now: str) -> None:
        """Full replacement, with what AURA adds: coverage, and odd keys that hold a dot."""
        more = {
            "customerSourceId": self._customer_source,
            "securityCoverage": True,
            "medicalCoverage": None,
            "inCoverageLastCheckedAt": now,
            "updatedAt": now,
            "calloutLocationType.id": fields.get("calloutLocationTypeId"),
            "calloutLocationType.value": None,
        }
        self.set(site, {**dict.fromkeys(_OPTIONAL), **fields, **more})

    def set(self, site: dict[str, Any], fields: dict[str, Any]) -> None:
        """Change single fields as they are given, as somebody in the portal might."""
        self._by_reference.get(site["externalReferenceId"], {}).pop(site["id"], None)
        site.update(fields)
        self._by_reference.setdefault(site["externalReferenceId"], {})[site["id"]] = None

    def remove(self, site: dict[str, Any]) -> None:
        del self._by_id[site["id"]]
        self._by_reference.get(site["externalReferenceId"], {}).pop(site["id"], None)

    def play_portal(self, changes: list[dict[str, Any]], now: str) -> None:
        """What happens behind the adapter's back. ValueError for what is none of the three below.

        `{"add": {...}}`, `{"reference": r, "set": {...}}`, `{"reference": r, "remove": true}`.
        """
        for change in changes:
            site = self.by_reference(change.get("reference", ""))
            if isinstance(change.get("add"), dict):
                self.set(self.add({"externalReferenceId": None}, now), change["add"])
            elif site is not None and isinstance(change.get("set"), dict):
                self.set(site, change["set"])
            elif site is not None and change.get("remove") is True:
                self.remove(site)
            else:
                raise ValueError("portal changes are add, or set or remove of a known reference")
