"""A panel hangs on a wall and its key can be read out of it: what it can do to its own site, and not to any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from deploy.embedded import Embedded
from shared.store.keys import create_key
from tests.integration.incident_stage import calm
from tests.town import ADDRESS, PERSON, QUICK, Town, open_town


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


def site(town: Town, line1: str = "1 Main St") -> str:
    """A house with a contact."""
    ref = f"house {uuid4().hex[:8]}"
    body = {"name": "Home", "provider": "noonlight", "address": ADDRESS | {"line1": line1}, "contacts": [PERSON]}
    assert requests.put(f"{town.url}/v1/sites/{ref}", json=body, headers=_bearer(town.key), timeout=10).ok
    return ref


def panel_of(town: Town, site_ref: str) -> str:
    """The key of the panel there."""
    with town.sessions.begin() as session:
        _, key = create_key(session, "default", f"panel of {site_ref}", ["panel"], site_ref=site_ref)
    return key


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def post(town: Town, path: str, body: Any, key: str) -> dict[str, Any]:
    """What was taken."""
    answer = requests.post(f"{town.url}{path}", json=body, headers=_bearer(key), timeout=10)
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def test_alarm_is_sent_when_another_sites_panel_used_its_reference(town: Town) -> None:
    """Panels count from 1, each for itself: the second house gets its own responders, event ids and moments alike."""
    first, second = site(town, "1 First St"), site(town, "2 Second St")
    alarm = {"incident_ref": uuid4().hex, "kind": "burglary", "event_id": "1", "occurred_at": "2026-01-01T00:00:00Z"}
    one = post(town, "/v1/alarms", alarm, panel_of(town, first))
    two = post(town, "/v1/alarms", alarm, panel_of(town, second))

    assert one["incident_id"] != two["incident_id"]
    assert (one["repeat"], two["repeat"]) == (None, None)
    town.until(lambda: len(town.creates()) == 2)
    sent = "".join(entry["body"] for entry in town.creates())
    assert "1 First St" in sent
    assert "2 Second St" in sent


def test_repeats_stay_with_their_site_when_two_share_a_reference(town: Town) -> None:
    """However they alternate: no further incident, and no further dispatch."""
    panels = [panel_of(town, site(town)) for _ in range(2)]
    alarm = {"incident_ref": uuid4().hex, "kind": "burglary"}
    first = [post(town, "/v1/alarms", alarm, panel)["incident_id"] for panel in panels]
    again = [post(town, "/v1/alarms", alarm | {"zone": str(n)}, panel) for n in range(3) for panel in panels]

    assert [taken["incident_id"] for taken in again] == first * 3
    assert {taken["repeat"] for taken in again} == {"fold"}


def test_event_is_news_when_another_sites_event_has_its_id(town: Town) -> None:
    """An event id counts once per reference and site."""
    panels = [panel_of(town, site(town)) for _ in range(2)]
    alarm = {"incident_ref": uuid4().hex, "kind": "burglary"}
    taken = []
    for panel in panels:
        incident = post(town, "/v1/alarms", alarm, panel)["incident_id"]
        taken += [post(town, f"/v1/incidents/{incident}/events", {"zone": "9", "event_id": "7"}, panel) for _ in "12"]

    assert [one["repeat"] for one in taken] == [None, "same", None, "same"]


def test_alarm_of_a_platform_is_sent_when_its_reference_names_another_site(town: Town) -> None:
    """Folding it into the first house's incident would send nobody to the second."""
    alarm = {"incident_ref": uuid4().hex, "kind": "fire"}
    taken = [post(town, "/v1/alarms", alarm | {"site_ref": site(town)}, town.key) for _ in "12"]

    assert taken[0]["incident_id"] != taken[1]["incident_id"]
    town.until(lambda: len(town.creates()) == 2)


def test_panel_cannot_reach_an_incident_without_a_site(town: Town) -> None:
    """By guessing its reference: the panel's alarm is one of its own house."""
    ref = uuid4().hex
    home = {"provider": "noonlight", "person": PERSON, "location": {"address": ADDRESS}}
    persons = post(town, "/v1/alarms", {"incident_ref": ref, "kind": "panic", **home}, town.key)
    panels = post(town, "/v1/alarms", {"incident_ref": ref, "kind": "burglary"}, panel_of(town, site(town)))

    assert panels["incident_id"] != persons["incident_id"]
    town.until(lambda: town.status(panels["incident_id"]) == "requested")
    events = [
        row[0] for row in town.rows("SELECT event FROM timeline WHERE incident_id = :i", i=persons["incident_id"])
    ]
    assert "event" not in events


def test_panel_sends_responders_to_its_own_site_only(town: Town) -> None:
    """A location in its alarm is left out: with a stolen key nobody sends police to an address of his choice."""
    elsewhere = {"address": ADDRESS | {"line1": "666 Elsewhere Ave"}}
    alarm = {"incident_ref": uuid4().hex, "kind": "burglary", "location": elsewhere}
    taken = post(town, "/v1/alarms", alarm, panel_of(town, site(town, "1 Right St")))

    town.until(lambda: town.status(taken["incident_id"]) == "requested")
    (create,) = town.creates()
    assert "1 Right St" in create["body"]
    assert "Elsewhere" not in create["body"]


def test_panel_cannot_guess_a_pin(town: Town) -> None:
    """After five refusals it cancels nothing of this incident, the right PIN included; the operator still does."""
    house = site(town)
    panel = panel_of(town, house)
    incident = post(town, "/v1/alarms", {"incident_ref": uuid4().hex, "kind": "burglary", "person": PERSON}, panel)[
        "incident_id"
    ]
    town.until(lambda: town.status(incident) == "requested")

    def cancel(pin: str, key: str) -> None:
        post(town, f"/v1/incidents/{incident}/cancel", {"reason": "panel_reset", "pin": pin}, key)
        town.settle()

    for guess in range(5):
        cancel(f"{guess:04}", panel)
    cancel(PERSON["pin"], panel)
    assert town.one("SELECT cancel FROM incident WHERE id = :i", i=incident) == "refused"
    last = town.rows("SELECT entry FROM timeline WHERE incident_id = :i ORDER BY id DESC LIMIT 1", i=incident)[0].entry
    assert "too often" in last

    cancel(PERSON["pin"], town.key)
    assert town.one("SELECT cancel FROM incident WHERE id = :i", i=incident) in ("requested", "confirmed")
