"""An alarm of a site that the provider does not know yet waits for its registration, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import another_worker, await_request, await_that, calm, requested
from tests.town import QUICK, Town, open_town

LOCATIONS = "/panic-api/v2/predefinedLocations"


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    return open_for_all


def _reason(town: Town, incident: str) -> str:
    return str(town.one("SELECT reason FROM incident WHERE id = :i", i=incident))


def _is_told(town: Town, incident: str) -> None:
    """In both ways."""
    town.until(lambda: [n for n in town.escalations() if n["kind"] == "failed" and n["incident_id"] == incident])
    ref = town.incident(incident)["incident_ref"]
    town.until(lambda: [body for body in town.writebacks(ref) if body["word"] == "DISPATCH FAILED"])


def test_alarm_is_sent_when_its_new_site_is_registered_ahead_of_it(town: Town) -> None:
    """PUT and alarm in one breath: registration first, in the dispatch lane, then the create at once."""
    site = town.guarded_site(synced=False)
    incident = town.site_alarm(site, "panic")
    town.until(lambda: town.status(incident) == "requested", lanes=(Lane.INTAKE, Lane.DISPATCH), within_s=3)

    made = [entry["path"] for entry in town.aura("_log") if entry["method"] == "POST" and "token" not in entry["path"]]
    assert made == [LOCATIONS, f"{LOCATIONS}/externalRef/{site}/callouts"]


def test_alarm_waits_when_registration_is_still_on_its_way(town: Town) -> None:
    """The create leaves only after the site's answer."""
    site = town.guarded_site(synced=False)
    town.aura("_control", hang=[{"path": LOCATIONS, "method": "POST", "seconds": 1.0, "times": 1}])
    with another_worker(town, Lane.DISPATCH, Lane.OUTGOING):
        await_request(town, "aura", "POST", LOCATIONS)
        incident = town.site_alarm(site, "panic")
        town.turn(Lane.INTAKE)
        assert town.creates("aura") == []
        await_that(lambda: town.status(incident) == "requested")

    assert town.one("SELECT count(*) FROM dispatch WHERE incident_id = :i", i=incident) == 1


def test_alarm_fails_and_is_told_when_registration_takes_ten_seconds(town: Town) -> None:
    """Not before; and a person's resend works once the site is known."""
    site = town.guarded_site(synced=False)
    town.aura("_control", fail=[{"path": LOCATIONS, "method": "POST", "status": 503}])
    incident = town.site_alarm(site, "panic")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    assert town.status(incident) == "received"

    town.change("UPDATE dispatch SET created_at = created_at - interval '10 s' WHERE incident_id = :i", i=incident)
    town.until(lambda: town.status(incident) == "failed", within_s=3)
    _is_told(town, incident)
    assert "does not know the site" in _reason(town, incident)
    assert town.creates("aura") == []

    town.aura("_control", fail=[])
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'site' AND state = 'pending'")
    town.post(f"/v1/incidents/{incident}/resend", {"by": "Ann Operator"})
    town.until(lambda: town.status(incident) == "requested")
    assert not town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=incident)


def test_alarm_fails_at_once_when_its_site_is_unknown_here(town: Town) -> None:
    """Accepted, failed, and told with the reason."""
    incident = town.site_alarm(f"nowhere-{uuid4().hex[:6]}", "panic")
    town.turn(Lane.INTAKE)

    assert town.status(incident) == "failed"
    assert "not known here" in _reason(town, incident)
    _is_told(town, incident)


def test_alarm_fails_at_once_when_provider_refuses_the_reference(town: Town) -> None:
    """400 on the create: it had the site once, and has it no more."""
    site = town.guarded_site()
    town.aura("_reset")
    incident = town.site_alarm(site, "panic")
    town.until(lambda: town.status(incident) == "failed", within_s=3)

    assert "externalReferenceId" in _reason(town, incident)
    assert len(town.creates("aura")) == 1
    _is_told(town, incident)


def test_alarm_fails_at_once_when_provider_refuses_the_registration(town: Town) -> None:
    """The wait ends with the refusal, not with the ten seconds."""
    site = town.guarded_site(synced=False)
    town.aura("_control", fail=[{"path": LOCATIONS, "method": "POST", "status": 400, "body": {"message": "no"}}])
    incident = town.site_alarm(site, "panic")
    town.until(lambda: town.status(incident) == "failed", within_s=3)

    _is_told(town, incident)
    assert town.creates("aura") == []


def test_alarm_is_sent_when_an_update_of_its_site_is_pending(town: Town) -> None:
    """The provider knows the site; its new name can wait."""
    site = town.guarded_site()
    town.aura("_control", fail=[{"path": f"{LOCATIONS}/*", "method": "PUT", "status": 503}])
    headers = {"Authorization": f"Bearer {town.key}"}
    body = {
        "provider": "aura",
        "name": "New name",
        "address": {"line1": "1 Long Street", "city": "Cape Town", "state": "WC", "zip": "8001"},
        "coordinates": {"lat": -33.92, "lng": 18.42},
    }
    assert requests.put(f"{town.url}/v1/sites/{site}", json=body, headers=headers, timeout=20).ok
    town.turn(Lane.OUTGOING)

    requested(town, site, "panic")
    assert town.one("SELECT sync_state FROM site WHERE reference = :r", r=site) == "pending"


def test_waiting_alarm_is_cancelled_when_its_site_is_not_registered_yet(town: Town) -> None:
    """Nothing had been sent."""
    site = town.guarded_site(synced=False)
    town.aura("_control", fail=[{"path": LOCATIONS, "method": "POST", "status": 503}])
    incident = town.site_alarm(site, "burglary")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm"})
    town.until(lambda: town.status(incident) == "cancelled")
    town.aura("_control", fail=[])
    town.settle()

    assert town.creates("aura") == []
