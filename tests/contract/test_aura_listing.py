"""AURA's directory as a stream: envelopes, pages, records of any kind, and what is no listing at all."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.alarm import Site
from shared.domain.drift import Listed, compare
from shared.domain.outcome import Accepted, SiteStored
from shared.providers.base import ReadFailed, Sites
from tests.contract.rig import SITE, Rig

LOCATIONS = "/panic-api/v2/predefinedLocations"
RECORD = {"id": 7, "externalReferenceId": "r-7", "latitude": "1.5", "longitude": "2.5"}


def directory(aura: Rig) -> Sites:
    """The capability."""
    assert aura.provider.sites is not None
    return aura.provider.sites


def listing(aura: Rig, body: Any = None) -> list[Listed]:
    """What is listed; the body is the sandbox's own unless one is given."""
    if body is not None:
        aura.control(fail=[{"path": LOCATIONS, "method": "GET", "status": 200, "body": body, "times": 1}])
    return list(directory(aura).list_sites(aura.call(), aura.account))


def test_own_record_is_listed_as_it_was_put(aura: Rig) -> None:
    """So that a comparison with our own version finds nothing."""
    (record,) = listing(aura)
    expected = directory(aura).as_listed(aura.account, SITE)
    assert (record.reference, record.name, record.address) == (SITE.reference, expected.name, expected.address)
    assert record.in_coverage is True
    assert compare(None, [record], moved_m=50)


@pytest.mark.parametrize("name", ["predefinedLocations", "locations", "data", "items"])
def test_listing_is_read_from_an_envelope(aura: Rig, name: str) -> None:
    """Beside other keys, before and after."""
    (record,) = listing(aura, {"message": "success", "total": {"items": 1}, name: [RECORD], "next": None})
    assert (record.reference, record.provider_site_id, record.place) == ("r-7", "7", (1.5, 2.5))


@pytest.mark.parametrize("body", [[], {"data": []}])
def test_listing_is_empty_when_the_array_is(aura: Rig, body: Any) -> None:
    """Which is an answer."""
    assert listing(aura, body) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "{}",
        '{"data": {}}',
        '{"other": []}',
        "[1]",
        "[[]]",
        '[{"id": 1}',
        '[{"id": 1}]x',
        "<html>",
        '[{"a": 1}]',
    ],
)
def test_listing_fails_when_it_is_none(aura: Rig, body: str) -> None:
    """Never an empty list, which would read as "all sites are gone"."""
    with pytest.raises(ReadFailed):
        listing(aura, body)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"deletedAt": "2026-01-01T00:00:00Z"}, {"deleted": True}),
        ({"isDeleted": True}, {"deleted": True}),
        ({"deleted": 1}, {"deleted": True}),
        ({"deletedAt": None, "isDeleted": False}, {"deleted": False}),
        ({"latitude": "abc"}, {"place": None}),
        ({"latitude": None}, {"place": None}),
        ({"latitude": 1.5, "longitude": 2.5}, {"place": (1.5, 2.5)}),
        ({"latitude": "95"}, {"place": None}),
        ({"externalReferenceId": None}, {"reference": ""}),
        ({"externalReferenceId": "a\x00b"}, {"reference": "a\ufffdb"}),
        ({"locationIdentifier": "Depot", "locationDescription": None}, {"name": "Depot"}),
        ({"securityCoverage": False}, {"in_coverage": False}),
        ({"securityCoverage": "yes"}, {"in_coverage": None}),
    ],
)
def test_record_is_understood_when_it_is_odd(aura: Rig, change: dict[str, Any], expected: dict[str, Any]) -> None:
    """Whoever made it."""
    (record,) = listing(aura, [RECORD | change])
    assert {name: getattr(record, name) for name in expected} == expected


def test_listing_renews_its_token_once(aura: Rig) -> None:
    """As every call."""
    listing(aura)
    aura.control(expire_token=True)
    assert len(listing(aura)) == 1


def test_site_tells_of_its_coverage_when_it_is_stored(aura: Rig) -> None:
    """As the answer has it."""
    outcome = directory(aura).put_site(aura.call(), aura.account, SITE, look_first=True)
    assert isinstance(outcome, SiteStored)
    assert outcome.coverage == {"security": True, "medical": None}


def test_site_is_deleted_by_its_reference_when_its_id_is_unknown(aura: Rig) -> None:
    """And once more, which changes nothing."""
    for _ in range(2):
        assert isinstance(directory(aura).delete_site(aura.call(), aura.account, SITE), Accepted)
        assert listing(aura) == []


def test_site_is_created_anew_when_its_known_id_is_gone(aura: Rig) -> None:
    """The save is what was asked for; 404 only says that the id is old."""
    known = Site(**{**SITE.__dict__, "provider_site_id": "1"})
    (twin,) = listing(aura)
    found = directory(aura).put_site(aura.call(), aura.account, known, look_first=False)
    assert isinstance(found, Accepted)
    assert found.provider_id == twin.provider_site_id
