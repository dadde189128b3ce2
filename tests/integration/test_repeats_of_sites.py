"""Panels count from 1, each for itself: what recognises a site's repeats is its own, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from deploy.embedded import Embedded
from tests.town import QUICK, Town, open_town

PANELS = 40


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def ref() -> str:
    """The reference that panels share."""
    return f"ref-{uuid4().hex[:8]}"


def _alarm(town: Town, ref: str, site: str, event: str) -> dict[str, Any]:
    answer = town.post("/v1/alarms", {"incident_ref": ref, "kind": "burglary", "site_ref": site, "event_id": event})
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def _closed_long_ago(town: Town, ref: str, incident: str) -> None:
    town.until(lambda: town.status(incident) == "requested")
    assert town.post(f"/v1/incidents/{incident}/close", {"by": "ann", "reason": "over"}).status_code == 202
    town.until(lambda: town.status(incident) == "closed")
    town.change("UPDATE repeat_key SET seen_at = seen_at - interval '1 day' WHERE incident_ref = :r", r=ref)


def test_replay_after_the_end_is_known_when_another_site_had_an_event_of_that_number(town: Town, ref: str) -> None:
    """Else somebody would be sent a second time for what was over yesterday."""
    one, two = town.guarded_site(), town.guarded_site()
    first = _alarm(town, ref, one, "7")["incident_id"]
    assert _alarm(town, ref, two, "7")["incident_id"] != first
    _closed_long_ago(town, ref, first)
    again = _alarm(town, ref, one, "7")
    assert (again["incident_id"], again["repeat"]) == (first, "same")


def test_repeat_that_named_itself_anew_is_known_after_the_end_beside_another_sites_event(town: Town, ref: str) -> None:
    """The same by its content, under an event id that the other site has used as well."""
    one, two = town.guarded_site(), town.guarded_site()
    _alarm(town, ref, two, "7")
    first = _alarm(town, ref, one, "6")["incident_id"]
    assert _alarm(town, ref, one, "7")["repeat"] == "same"
    _closed_long_ago(town, ref, first)
    assert _alarm(town, ref, one, "7")["incident_id"] == first


def test_panic_is_taken_when_an_incident_of_another_site_is_no_longer_kept(town: Town, ref: str) -> None:
    """Its keys outlive it, and say nothing of this site's."""
    town.change(
        "INSERT INTO repeat_key (platform_id, incident_ref, site_ref, key, incident_id, seen_at)"
        " VALUES ('default', :r, 'elsewhere', 'e:7', 'inc_gone', now() - interval '200 days')",
        r=ref,
    )
    taken = _alarm(town, ref, town.guarded_site(), "7")
    assert taken["repeat"] is None
    assert town.one("SELECT count(*) FROM inbox WHERE incident_id = :i", i=taken["incident_id"]) == 1


def test_each_is_taken_when_many_sites_open_one_reference_at_once(town: Town, ref: str) -> None:
    """As after a power cut, when all panels begin to count anew."""
    with ThreadPoolExecutor(PANELS) as pool:
        taken = list(pool.map(lambda number: _alarm(town, ref, f"site-{number}", "1"), range(PANELS)))
    assert len({one["incident_id"] for one in taken}) == PANELS
    assert town.one("SELECT count(*) FROM incident WHERE incident_ref = :r", r=ref) == PANELS
