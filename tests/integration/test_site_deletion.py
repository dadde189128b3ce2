"""A site is taken out: here, at its provider, and never under a living incident."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.town import QUICK, Town, open_town

LOCATIONS = "/panic-api/v2/predefinedLocations"


@pytest.fixture(scope="module")
def shared_town(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(shared_town: Town) -> Town:
    """The town with an empty provider."""
    shared_town.aura("_reset")
    return shared_town


def ask(town: Town, method: str, site: str) -> requests.Response:
    """As the platform."""
    headers = {"Authorization": f"Bearer {town.key}"}
    return requests.request(method, f"{town.url}/v1/sites/{site}", headers=headers, timeout=20)


def listed(town: Town) -> list[str]:
    """The references that the provider has."""
    return [row["externalReferenceId"] for row in town.aura("_state")["locations"]]


def state(town: Town, site: str) -> str:
    """How far the provider has it."""
    return str(town.one("SELECT sync_state FROM site WHERE reference = :r", r=site))


def test_site_is_deleted_here_and_at_the_provider(town: Town) -> None:
    """202 while it goes out, 404 afterwards; contacts are wiped at once."""
    site = town.guarded_site()
    answer = ask(town, "DELETE", site)
    assert (answer.status_code, answer.json()["sync_state"]) == (202, "deleting")
    assert town.one("SELECT contacts IS NULL AND gate_instructions = '' FROM site WHERE reference = :r", r=site)
    town.until(lambda: state(town, site) == "deleted")

    assert listed(town) == []
    assert ask(town, "GET", site).status_code == 404
    assert ask(town, "DELETE", site).status_code == 404


def test_site_is_not_deleted_while_an_incident_lives(town: Town) -> None:
    """409, and after its end 202."""
    site = town.guarded_site()
    incident = town.site_alarm(site)
    assert ask(town, "DELETE", site).status_code == 409
    town.until(lambda: town.status(incident) == "requested")
    assert ask(town, "DELETE", site).status_code == 409
    town.post(f"/v1/incidents/{incident}/close", {"by": "Ann Operator"})
    town.settle()
    assert ask(town, "DELETE", site).status_code == 202


def test_alarm_fails_at_once_when_its_site_was_deleted(town: Town) -> None:
    """Also when it was read before the deletion and stored after it."""
    site = town.guarded_site()
    racing = town.site_alarm(site, "panic")
    town.change("UPDATE site SET deleted_at = now(), sync_state = 'deleting' WHERE reference = :r", r=site)
    later = town.site_alarm(site, "panic")
    town.turn(Lane.INTAKE)

    assert {town.status(racing), town.status(later)} == {"failed"}
    assert "was deleted" in town.incident(racing)["reason"]
    assert town.creates("aura") == []


def test_site_comes_back_when_it_is_saved_after_its_deletion(town: Town) -> None:
    """Saved while the deletion is on its way, or after it: a record of its own in the end."""
    site = town.guarded_site()
    ask(town, "DELETE", site)
    town.guarded_site(site, synced=False)
    town.until(lambda: state(town, site) == "synced")
    assert listed(town) == [site]

    ask(town, "DELETE", site)
    town.until(lambda: state(town, site) == "deleted")
    town.guarded_site(site)
    assert listed(town) == [site]
    assert ask(town, "GET", site).status_code == 200


def test_deletion_is_tried_again_when_the_provider_is_away(town: Town) -> None:
    """A lost answer costs nothing: what is gone is deleted."""
    site = town.guarded_site()
    town.aura("_control", drop_answer=[{"path": f"{LOCATIONS}/*", "method": "DELETE", "times": 1}])
    ask(town, "DELETE", site)
    town.turn(Lane.OUTGOING)
    assert state(town, site) == "deleting"
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'site' AND state = 'pending'")
    town.until(lambda: state(town, site) == "deleted")


def test_person_is_told_when_the_provider_refuses_the_deletion(town: Town) -> None:
    """Once; the site stays in deletion, and its row can be replayed."""
    site = town.guarded_site()
    town.aura("_control", fail=[{"path": f"{LOCATIONS}/*", "method": "DELETE", "status": 403, "times": 1}])
    town.aura("_control", fail=[{"path": f"{LOCATIONS}/*", "method": "DELETE", "status": 400, "times": 1}])
    ask(town, "DELETE", site)
    town.until(lambda: [n for n in town.escalations() if f"Site {site} could not be deleted" in n["text"]])

    assert state(town, site) == "deleting"
    assert town.one("SELECT state FROM outbox WHERE kind = 'site' ORDER BY id DESC LIMIT 1") == "dead"


def test_coverage_is_a_warning_when_the_provider_does_not_cover_a_site(town: Town) -> None:
    """As it was answered when the site was stored; an alarm goes out all the same."""
    site = town.guarded_site()
    shown = ask(town, "GET", site).json()
    assert shown["coverage"] == {"security": True, "medical": None}
    assert shown["warnings"] == ["medical coverage is not known"]


def test_save_is_refused_when_another_site_has_the_provider_s_record(town: Town) -> None:
    """Exactly one each way: the provider answers a create with the id of a site that we know."""
    first = town.guarded_site()
    known = town.one("SELECT provider_site_id FROM site WHERE reference = :r", r=first)
    body = {"id": int(known), "externalReferenceId": "x"}
    town.aura("_control", fail=[{"path": LOCATIONS, "method": "POST", "status": 201, "body": body, "times": 1}])
    second = town.guarded_site(synced=False)
    town.until(lambda: state(town, second) == "conflict")

    assert town.one("SELECT provider_site_id FROM site WHERE reference = :r", r=second) is None
