"""More people, and more about the person: in one call, never twice, and the operator reads how it came out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import another_worker, await_request, calm, cancel
from tests.town import ADDRESS, PERSON, QUICK, Town, open_town

SUE = {"name": "Sue Smith", "phone": "14445550003", "pin": "9"}
SAM = {"name": "Sam Smith", "phone": "+1 555 444 0002"}
PEOPLE = "/dispatch/v1/alarms/*/people"


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town without what the test before left."""
    calm(street)
    return street


def requested(town: Town, **more: Any) -> str:
    """An alarm with its response requested, and all that goes along sent."""
    incident = town.alarm("panic", **more)
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    return incident


def added(town: Town) -> list[str]:
    """The names that the provider has beside the alarm's own."""
    return [one["name"] for alarm in town.alarms() for one in alarm["people"] or []]


def calls(town: Town) -> int:
    """How many people calls reached the provider."""
    return len(town.noonlight("_log?path=" + PEOPLE))


def patch(town: Town, incident: str, body: dict[str, Any]) -> requests.Response:
    """Say more of the person."""
    headers = {"Authorization": f"Bearer {town.key}"}
    answer = requests.patch(f"{town.url}/v1/incidents/{incident}/person", json=body, headers=headers, timeout=20)
    town.settle()
    return answer


def house(town: Town, reference: str, *contacts: dict[str, Any]) -> None:
    """A site at Noonlight."""
    body = {"provider": "noonlight", "name": "Home", "address": ADDRESS, "contacts": list(contacts)}
    headers = {"Authorization": f"Bearer {town.key}"}
    answer = requests.put(f"{town.url}/v1/sites/{reference}", json=body, headers=headers, timeout=20)
    assert answer.status_code in (200, 201), answer.text


def test_own_people_go_in_one_call_after_the_create(town: Town) -> None:
    """The seed's body: name, digits, PIN where there is one."""
    incident = requested(town, people=[SUE, SAM])
    (entry,) = town.noonlight("_log?path=" + PEOPLE)
    assert entry["body"] == (
        '[{"name":"Sue Smith","phone":"14445550003","pin":"9"},{"name":"Sam Smith","phone":"15554440002"}]'
    )
    assert "people_sent" in town.events(incident)


def test_contacts_beyond_the_first_go_when_the_alarm_names_nobody(town: Town) -> None:
    """The first is the alarm's person; an alarm with a person of its own has all contacts beside it."""
    house(town, "home-1", PERSON, SUE, SAM)
    incident = town.site_alarm("home-1", "panic")
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    assert added(town) == ["Sue Smith", "Sam Smith"]
    calm(town)
    incident = town.site_alarm("home-1", "panic", person={"name": "Guest", "phone": "12025550143"})
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    assert added(town) == ["Jane Example", "Sue Smith", "Sam Smith"]
    calm(town)
    incident = town.site_alarm("home-1", "panic", people=[])
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    assert calls(town) == 0


def test_people_can_be_added_until_the_call_has_left(town: Town) -> None:
    """Nobody was named, so it has not left; then one call, then 409."""
    incident = requested(town)
    assert calls(town) == 0
    assert town.post(f"/v1/incidents/{incident}/people", [SUE, SAM]).status_code == 202
    town.settle()
    assert added(town) == ["Sue Smith", "Sam Smith"]
    answer = town.post(f"/v1/incidents/{incident}/people", SUE)
    assert (answer.status_code, answer.json()["type"]) == (409, "/docs#conflict")
    assert calls(town) == 1


def test_person_who_was_accepted_at_the_door_goes_along_when_the_call_is_due(town: Town) -> None:
    """The wish lies in the inbox when the call is about to leave: it waits for it."""
    incident = town.alarm("panic", people=[SUE])
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    assert town.status(incident) == "requested"
    assert town.post(f"/v1/incidents/{incident}/people", SAM).status_code == 202
    town.turn(Lane.OUTGOING)
    assert calls(town) == 0
    town.until(lambda: calls(town))
    assert added(town) == ["Sue Smith", "Sam Smith"]


def test_every_202_is_a_person_at_the_provider_when_posts_race_with_the_call(town: Town) -> None:
    """From eight threads against a worker; each 409 is nobody."""
    incident = town.alarm("panic", people=[SUE])
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    with another_worker(town, Lane.INTAKE, Lane.OUTGOING), ThreadPoolExecutor(8) as pool:
        names = [f"Person {number}" for number in range(24)]
        posts = pool.map(
            lambda name: town.post(f"/v1/incidents/{incident}/people", {"name": name, "phone": "15554440002"}), names
        )
        taken = [name for name, post in zip(names, posts, strict=True) if post.status_code == 202]
    town.settle()
    town.until(lambda: calls(town))
    assert sorted(added(town)) == sorted(["Sue Smith", *taken])
    assert calls(town) == 1
    assert "people_not_sent" not in town.events(incident)


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        ({"drop_answer": [{"path": PEOPLE, "times": 1}]}, "people_unconfirmed"),
        ({"fail": [{"path": PEOPLE, "status": 502, "body": "", "times": 1}]}, "people_unconfirmed"),
        (
            {"fail": [{"path": PEOPLE, "status": 400, "body": {"code": 400, "message": "no"}, "times": 1}]},
            "people_not_sent",
        ),
        ({"fail": [{"path": PEOPLE, "status": 429, "body": {}, "times": 1}]}, "people_not_sent"),
    ],
)
def test_call_is_not_repeated_when_it_may_have_arrived(town: Town, fault: dict[str, Any], event: str) -> None:
    """Once per alarm: whatever the answer, or none. The operator reads it, and the door says 409."""
    town.noonlight("_control", **fault)
    incident = requested(town, people=[SUE])
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")
    town.settle()
    assert calls(town) == 1
    assert town.events(incident).count(event) == 1
    assert town.post(f"/v1/incidents/{incident}/people", SAM).status_code == 409


def test_call_is_repeated_when_it_certainly_was_not_sent(town: Town) -> None:
    """Nothing listened: no byte left, people may still be added, and both go."""
    incident = town.alarm("panic", people=[SUE])
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.change("UPDATE provider_account SET base_url = 'http://127.0.0.1:9' WHERE provider = 'noonlight'")
    town.turn(Lane.OUTGOING)
    assert town.one("SELECT attempts FROM outbox WHERE kind = 'people' AND state = 'pending'") == 1
    assert town.post(f"/v1/incidents/{incident}/people", SAM).status_code == 202
    town.change("UPDATE provider_account SET base_url = :u WHERE provider = 'noonlight'", u=town.sandbox.noonlight.url)
    town.until(lambda: calls(town))
    assert added(town) == ["Sue Smith", "Sam Smith"]
    assert town.events(incident).count("people_sent") == 1


def test_call_is_not_repeated_when_its_worker_was_lost(town: Town) -> None:
    """It had left by then, as far as anybody knows."""
    incident = town.alarm("panic", people=[SUE])
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.noonlight("_control", hang=[{"path": PEOPLE, "seconds": 20, "times": 1}])
    with another_worker(town, Lane.OUTGOING):
        await_request(town, "noonlight", "POST", "/people")
        town.change(
            "UPDATE outbox SET lease_until = now() - interval '1 second', token = token + 1 WHERE kind = 'people'"
        )
    town.until(lambda: "people_unconfirmed" in town.events(incident))
    assert calls(town) == 1


def test_unfit_person_is_left_out_and_said(town: Town) -> None:
    """One bad phone must not keep the others from being called; posted afterwards, it is refused."""
    incident = requested(town, people=[SUE, {"name": "Far", "phone": "+44 20 7946 0958"}])
    assert added(town) == ["Sue Smith"]
    words = town.one("SELECT entry FROM timeline WHERE incident_id = :i AND event = 'people_sent'", i=incident)
    assert (
        words == "1 person was added at the provider; 1 was left out, the provider does not take such a name or phone"
    )
    other = requested(town)
    answer = town.post(f"/v1/incidents/{other}/people", [SUE, {"name": "Far", "phone": "911"}])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "1.phone")


def test_provider_that_takes_no_people_says_why(town: Town) -> None:
    """AURA: people and persons alike."""
    incident = town.site_alarm(town.guarded_site(), "panic")
    assert town.post(f"/v1/incidents/{incident}/people", SUE).json()["type"] == "/docs#provider-cannot"
    assert patch(town, incident, {"height": 180}).json()["type"] == "/docs#provider-cannot"


def test_person_is_updated_with_all_that_is_known(town: Town) -> None:
    """As the facts have it: PUT for the owner, values as they came; name and phone go along, lest they be replaced."""
    incident = requested(town)
    assert patch(town, incident, {"height": 180, "date_of_birth": "1980-02-29"}).status_code == 202
    assert patch(town, incident, {"weight": "80 kg", "more": {"hair": "red", "diabetic": True}}).status_code == 202
    puts = [entry for entry in town.noonlight("_log") if entry["method"] == "PUT"]
    assert puts[-1]["path"].endswith(f"/people/{incident}")
    assert puts[-1]["body"] == (
        '{"name":"Jane Example","phone":"12025550142","pin":"4711",'
        '"height":180,"dob":"1980-02-29","weight":"80 kg","hair":"red","diabetic":true}'
    )
    assert town.events(incident).count("person_updated") == 2


def test_person_is_updated_after_the_create_when_it_was_said_before(town: Town) -> None:
    """While the create waits; and once more after a lost answer, since a PUT may come twice."""
    town.noonlight("_control", fail=[{"path": "/dispatch/v1/alarms", "status": 429, "body": {}, "times": 1}])
    incident = town.alarm("panic")
    town.turn()
    town.noonlight("_control", drop_answer=[{"path": PEOPLE + "/*", "times": 1}])
    assert patch(town, incident, {"height": 180}).status_code == 202
    town.until(lambda: "person_updated" in town.events(incident))
    assert len([entry for entry in town.noonlight("_log") if entry["method"] == "PUT"]) == 2


@pytest.mark.parametrize(
    "body", [{}, {"height": -1}, {"more": {"a b": 1}}, {"date_of_birth": "yesterday"}, {"hair": "red"}, {"height": [1]}]
)
def test_junk_about_a_person_is_refused(town: Town, body: dict[str, Any]) -> None:
    """What the provider has no name for goes into `more`."""
    assert patch(town, requested(town), body).status_code == 422


def test_nobody_is_added_when_it_is_over(town: Town) -> None:
    """409 at the door; what overtook the end is told."""
    incident = requested(town)
    cancel(town, incident, pin="4711")
    town.until(lambda: town.status(incident) == "cancelled")
    assert town.post(f"/v1/incidents/{incident}/people", SUE).status_code == 409
    assert patch(town, incident, {"height": 180}).status_code == 409


def test_pins_of_people_are_wiped_when_the_incident_is_closed(town: Town) -> None:
    """As that of the alarm's own person."""
    incident = requested(town, people=[SUE])
    town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    details = town.box.open(town.one("SELECT details FROM incident WHERE id = :i", i=incident))
    assert [one["pin"] for one in [details["person"], *details["people"]]] == [None, None]
