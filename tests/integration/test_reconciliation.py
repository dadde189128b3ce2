"""Our sites beside the provider's listing: what is found, told once, cleared, repaired, and what a bad listing does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.town import QUICK, Town, open_town
from workers.services import reconciling

LOCATIONS = "/panic-api/v2/predefinedLocations"


@pytest.fixture(scope="module")
def shared_town(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **QUICK, listing_idle_s=1.0, listing_s=5.0) as town:
        yield town


@pytest.fixture
def town(shared_town: Town) -> Town:
    """The town with nothing registered on either side."""
    for provider in (shared_town.aura, shared_town.platform):
        provider("_reset")
    shared_town.policy()
    shared_town.change("TRUNCATE drift, reconciliation_run, notice RESTART IDENTITY CASCADE")
    shared_town.change(
        "UPDATE site SET deleted_at = now(), sync_state = 'deleted', conflict = '', updated_at = '2026-01-01'"
    )
    shared_town.change("UPDATE site SET provider_site_id = NULL, synced_at = NULL")
    return shared_town


def reconcile(town: Town) -> dict[str, Any]:
    """Ask as the platform does, work it, and let the write-backs leave."""
    answer = town.post("/v1/site-reconciliations", {})
    assert answer.status_code == 202, answer.text
    (asked,) = answer.json()["reconciliations"]
    assert reconciling.work_wanted(town.deps)
    town.settle()
    return get(town, f"/v1/site-reconciliations/{asked['id']}")


def get(town: Town, path: str) -> dict[str, Any]:
    """Read as the platform does."""
    answer = requests.get(f"{town.url}{path}", headers={"Authorization": f"Bearer {town.key}"}, timeout=20)
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json()
    return found


def portal(town: Town, *changes: dict[str, Any]) -> None:
    """Somebody changes sites at the provider behind our back."""
    town.aura("_control", portal=list(changes))


def told(town: Town) -> list[tuple[str, str, str]]:
    """State, kind and site of each drift that was written back."""
    items = town.platform("_writebacks")["items"]
    bodies = [item["body"] for item in items if item["body"]["event"] == "site.drift"]
    return [(body["state"], body["kind"], body["site_ref"]) for body in bodies]


def kinds(town: Town) -> dict[str, str]:
    """Open drift by site."""
    found = get(town, "/v1/site-drift")["drift"]
    return {row["site_ref"]: row["kind"] for row in found}


def test_reconciliation_finds_nothing_when_both_sides_agree(town: Town) -> None:
    """Counts of both sides, and no word to anybody."""
    for _ in range(3):
        town.guarded_site()
    run = reconcile(town)

    assert (run["state"], run["sites"], run["listed"], run["drift"]) == ("done", 3, 3, {})
    assert told(town) == []


def test_each_kind_of_drift_is_found_and_told_once(town: Town) -> None:
    """All nine, one site each; a second run says nothing again."""
    names = (
        "missing",
        "renamed",
        "moved",
        "readdressed",
        "deleted",
        "duplicate_reference",
        "changed_id",
        "out_of_coverage",
    )
    site = {name: town.guarded_site(f"{name}-{uuid4().hex[:6]}") for name in names}
    twin = {"externalReferenceId": site["duplicate_reference"], "latitude": "1", "longitude": "1"}
    portal(
        town,
        {"reference": site["missing"], "remove": True},
        {"reference": site["renamed"], "set": {"locationDescription": "Something else"}},
        {"reference": site["moved"], "set": {"latitude": "-33.9300000"}},
        {"reference": site["readdressed"], "set": {"formattedAddress": "9 Other Road, Cape Town"}},
        {"reference": site["deleted"], "set": {"deletedAt": "2026-01-01T00:00:00Z"}},
        {"add": twin},
        {"reference": site["out_of_coverage"], "set": {"securityCoverage": False}},
        {"add": {"externalReferenceId": "stranger-1", "latitude": "1", "longitude": "1"}},
    )
    town.change("UPDATE site SET provider_site_id = '77' WHERE reference = :r", r=site["changed_id"])
    run = reconcile(town)
    reconcile(town)

    assert run["drift"] == dict.fromkeys([*names, "extra"], 1)
    assert kinds(town) == {reference: kind for kind, reference in site.items()} | {"stranger-1": "extra"}
    assert sorted(told(town)) == sorted(
        [("found", kind, ref) for kind, ref in site.items()] + [("found", "extra", "stranger-1")]
    )
    shown = get(town, f"/v1/sites/{site['out_of_coverage']}")
    assert "the provider says: no security coverage here" in shown["warnings"]
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "site_drift"])


def test_clearing_is_told_once_when_the_difference_is_over(town: Town) -> None:
    """The next complete run says so, and the notice of the grave ones ends."""
    site = town.guarded_site()
    portal(
        town, {"add": {"externalReferenceId": site, "latitude": "1", "longitude": "1", "locationDescription": "twin"}}
    )
    reconcile(town)
    assert town.one("SELECT count(*) FROM notice WHERE kind = 'site_drift' AND ended_at IS NULL") == 1
    ids = [row["id"] for row in town.aura("_state")["locations"] if row["locationDescription"] == "twin"]
    assert len(ids) == 1
    portal(town, {"reference": site, "remove": True})  # the first, ours: the twin is what is left
    run = reconcile(town)
    reconcile(town)

    assert run["cleared"] == 1
    assert [entry for entry in told(town) if entry[1] == "duplicate_reference"] == [
        ("found", "duplicate_reference", site),
        ("cleared", "duplicate_reference", site),
    ]
    assert "changed_id" in run["drift"]
    assert town.one("SELECT count(*) FROM notice WHERE kind = 'site_drift' AND ended_at IS NULL") == 0


def test_alarm_is_not_sent_to_a_guess_when_its_reference_is_ambiguous(town: Town) -> None:
    """Failed at once, told with the reason; after the twin is gone it goes out again."""
    site = town.guarded_site()
    portal(town, {"add": {"externalReferenceId": site, "latitude": "1", "longitude": "1"}})
    reconcile(town)
    incident = town.site_alarm(site, "panic")
    town.turn(Lane.INTAKE)

    assert town.status(incident) == "failed"
    assert town.creates("aura") == []
    assert "ambiguous" in town.incident(incident)["reason"]
    shown = get(town, f"/v1/sites/{site}")
    assert shown["sync_state"] == "conflict"

    portal(town, {"reference": site, "remove": True})
    town.change("UPDATE site SET provider_site_id = NULL WHERE reference = :r", r=site)
    reconcile(town)
    again = town.site_alarm(site, "panic")
    town.until(lambda: town.status(again) == "requested")


@pytest.mark.parametrize("fault", ["fail", "truncate", "hang", "no_array"])
def test_nothing_is_compared_when_the_listing_is_not_whole(town: Town, fault: str) -> None:
    """No drift, no clearing, no repair; the run says why."""
    town.policy(drift="repair")
    site = town.guarded_site()
    portal(town, {"reference": site, "set": {"locationDescription": "Renamed"}})
    town.policy()
    reconcile(town)
    town.policy(drift="repair")
    portal(town, {"reference": site, "remove": True})
    rule: dict[str, Any] = {"path": LOCATIONS, "method": "GET", "times": 1}
    if fault == "fail":
        town.aura("_control", fail=[rule | {"status": 502}])
    elif fault == "no_array":
        town.aura("_control", fail=[rule | {"status": 200, "body": {"data": {}}}])
    elif fault == "hang":
        town.aura("_control", hang=[rule | {"seconds": 3}])
    else:
        town.aura("_control", truncate=[rule])
    run = reconcile(town)

    assert (run["state"], run["opened"], run["cleared"], run["repairs"]) == ("failed", 0, 0, 0)
    assert run["reason"].startswith("the listing failed")
    assert [row["kind"] for row in get(town, "/v1/site-drift")["drift"]] == ["renamed"]
    assert town.one("SELECT count(*) FROM listed_site") == 0


def test_our_version_is_sent_again_when_the_policy_says_repair(town: Town) -> None:
    """Missing, renamed and moved are put right; extra and deleted ones are left to a person."""
    town.policy(drift="repair")
    missing, renamed, deleted = (town.guarded_site() for _ in range(3))
    portal(
        town,
        {"reference": missing, "remove": True},
        {"reference": renamed, "set": {"locationDescription": "Other", "latitude": "-30.0"}},
        {"reference": deleted, "set": {"deletedAt": "2026-01-01T00:00:00Z"}},
        {"add": {"externalReferenceId": "stranger", "latitude": "1", "longitude": "1"}},
    )
    run = reconcile(town)
    after = reconcile(town)

    assert run["repairs"] == 3
    assert after["drift"] == {"deleted": 1, "extra": 1}
    living = {row["externalReferenceId"] for row in town.aura("_state")["locations"] if not row.get("deletedAt")}
    assert living == {missing, renamed, "stranger"}


def test_nothing_is_repaired_when_too_many_sites_are_not_listed(town: Town) -> None:
    """It looks like a listing that was cut; the drift itself is told."""
    town.policy(drift="repair")
    sites = [town.guarded_site() for _ in range(22)]
    portal(town, *({"reference": site, "remove": True} for site in sites[:21]))
    town.aura("_control", fail=[])
    run = reconcile(town)

    assert (run["repairs"], run["drift"]) == (0, {"missing": 21})
    assert "21 of 22" in run["withheld"]


def test_site_on_its_way_is_not_judged(town: Town) -> None:
    """Its drift is neither found nor cleared."""
    site = town.guarded_site()
    portal(town, {"reference": site, "set": {"locationDescription": "Other"}})
    reconcile(town)
    town.change("UPDATE site SET sync_state = 'pending' WHERE reference = :r", r=site)
    portal(town, {"reference": site, "remove": True})
    run = reconcile(town)

    assert (run["drift"], run["cleared"]) == ({}, 0)
    assert kinds(town) == {site: "renamed"}


@pytest.mark.parametrize("paging", ["page", "offset"])
def test_listing_is_whole_when_it_comes_in_pages(town: Town, paging: str) -> None:
    """Three pages and an empty one."""
    for _ in range(5):
        town.guarded_site()
    town.aura("_control", paging=paging, page_size=2, envelope="data")
    town.change(
        "UPDATE provider_account SET options = options || CAST(:o AS jsonb)",
        o=f'{{"paging": "{paging}", "page_size": 2}}',
    )
    run = reconcile(town)
    town.change("UPDATE provider_account SET options = options - 'paging' - 'page_size'")

    assert (run["state"], run["listed"], run["drift"]) == ("done", 5, {})


def test_run_is_taken_up_again_when_its_owner_vanished(town: Town) -> None:
    """From the beginning; the late owner changes nothing."""
    town.guarded_site()
    town.post("/v1/site-reconciliations", {})
    town.change(
        "UPDATE reconciliation_run SET state = 'running', token = 1, started_at = now(), "
        "lease_until = now() + interval '1 h'"
    )
    assert not reconciling.work_wanted(town.deps)
    town.change("UPDATE reconciliation_run SET lease_until = now() - interval '1 s'")
    assert reconciling.work_wanted(town.deps)

    (run,) = get(town, "/v1/site-reconciliations")["reconciliations"]
    assert (run["state"], run["listed"]) == ("done", 1)


def test_run_is_asked_for_when_the_last_one_is_an_hour_old(town: Town) -> None:
    """By the duty of the lane, which works it in a thread of its own."""
    town.guarded_site()
    reconcile(town)
    town.change("UPDATE reconciliation_run SET asked_at = now() - interval '61 min'")
    town.change("UPDATE job SET next_run_at = now() WHERE name = 'sites.reconcile'")
    town.until(lambda: len(get(town, "/v1/site-reconciliations")["reconciliations"]) == 2)

    town.until(lambda: get(town, "/v1/site-reconciliations")["reconciliations"][0]["state"] == "done")
    assert get(town, "/v1/site-reconciliations")["reconciliations"][0]["cause"] == "interval"
