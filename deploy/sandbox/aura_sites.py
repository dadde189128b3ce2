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
        self._by_id: dict[int, dict[str, Any]] = {}

    def clear(self) -> None:
        self._by_id.clear()

    def all(self) -> list[dict[str, Any]]:
        return list(self._by_id.values())

    def get(self, site_id: str) -> dict[str, Any] | None:
        return self._by_id.get(int(site_id)) if site_id.isdecimal() and len(site_id) < 19 else None

    def by_reference(self, reference: str) -> dict[str, Any] | None:
        """The first with exactly this externalReferenceId."""
        return next((s for s in self._by_id.values() if s["externalReferenceId"] == reference), None)

    def add(self, fields: dict[str, Any], now: str) -> dict[str, Any]:
        site_id = next(self._ids)
        site: dict[str, Any] = {"id": site_id, "createdAt": now}
        self._by_id[site_id] = site
        self.replace(site, fields, now)
        return site

    def replace(self, site: dict[str, Any], fields: dict[str, Any], now: str) -> None:
        """Full replacement, with what AURA adds: coverage, and odd keys that hold a dot."""
        site.update(dict.fromkeys(_OPTIONAL))
        site.update(fields)
        site.update(
            {
                "customerSourceId": self._customer_source,
                "securityCoverage": True,
                "medicalCoverage": None,
                "inCoverageLastCheckedAt": now,
                "updatedAt": now,
                "calloutLocationType.id": fields.get("calloutLocationTypeId"),
                "calloutLocationType.value": None,
            }
        )

    def remove(self, site: dict[str, Any]) -> None:
        del self._by_id[site["id"]]
