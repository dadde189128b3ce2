"""What the devices said, at the provider: the trigger first, news in batches, links, and what there is no word for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import calm
from tests.town import ADDRESS, QUICK, Town, open_town

EVENTS = "/dispatch/v1/alarms/*/events"
SMOKE = {"attribute": "smoke", "value": "detected", "name": "Kitchen", "model": "S1", "manufacturer": "Acme"}


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


def calls(town: Town) -> list[list[dict[str, Any]]]:
    """The arrays that the provider got."""
    return [json.loads(entry["body"]) for entry in town.noonlight("_log?path=" + EVENTS)]


def requested(town: Town, kind: str, **more: Any) -> str:
    """An alarm with its response requested, its trigger not sent yet."""
    incident = town.alarm(kind, **more)
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    assert town.status(incident) == "requested"
    return incident


def news(town: Town, incident: str, **body: Any) -> None:
    """A further signal."""
    answer = town.post(f"/v1/incidents/{incident}/events", body)
    assert answer.status_code == 202, answer.text


def ago(seconds: float) -> str:
    """A moment."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_news_goes_in_one_call_oldest_first(town: Town) -> None:
    """The trigger before all, then by the moment at which each happened, with its own kind and device."""
    incident = requested(town, "smoke", device=SMOKE)
    news(town, incident, device={"attribute": "motion", "value": "detected", "name": "Hall"}, occurred_at=ago(5))
    news(town, incident, device={"attribute": "door", "value": "opened", "name": "Front"}, occurred_at=ago(9))
    news(town, incident, kind="freeze", occurred_at=ago(7))
    town.settle()
    (sent,) = calls(town)
    assert [(event["event_type"].rpartition(".")[2], event["meta"]["attribute"]) for event in sent] == [
        ("activated_alarm", "smoke"),
        ("value_changed", "contact"),
        ("value_changed", "freeze"),
        ("value_changed", "motion"),
    ]
    assert sent[0]["meta"]["device_model"] == "S1"
    assert [event["event_time"] for event in sent[1:]] == sorted(event["event_time"] for event in sent[1:])
    assert "event_not_sent" not in town.events(incident)


def test_no_news_is_lost_or_doubled_when_there_is_more_than_one_batch(town: Town) -> None:
    """Forty-five signals, twenty in a call."""
    incident = requested(town, "smoke", device=SMOKE)
    for number in range(45):
        news(town, incident, device={"attribute": "motion", "value": "detected", "name": f"Room {number}"})
    town.settle()
    assert [len(call) for call in calls(town)] == [20, 20, 6]
    names = [event["meta"]["device_name"] for call in calls(town) for event in call]
    assert sorted(names) == sorted(["Kitchen", *(f"Room {number}" for number in range(45))])


def test_batch_is_sent_again_whole_when_it_certainly_was_not_taken(town: Town) -> None:
    """And what came meanwhile goes along."""
    town.noonlight("_control", fail=[{"path": EVENTS, "status": 429, "body": {}, "times": 1}])
    incident = requested(town, "smoke", device=SMOKE)
    news(town, incident, device={"attribute": "motion", "value": "detected", "name": "Hall"})
    town.settle()
    news(town, incident, device={"attribute": "lock", "value": "unlocked", "name": "Back"})
    town.turn(Lane.INTAKE)
    town.until(lambda: [event["meta"]["device_name"] for event in town.alarms()[0]["events"]])
    town.settle()
    stored = [event["meta"]["device_name"] for event in town.alarms()[0]["events"]]
    assert sorted(stored) == ["Back", "Hall", "Kitchen"]
    assert stored[0] in ("Kitchen", "Back")


def test_links_are_shown_as_those_of_a_camera(town: Town) -> None:
    """Of the alarm and of news; the console shows media for that attribute only."""
    link = "https://media.example.com/clip.mp4"
    incident = requested(town, "smoke", device=SMOKE, media=[{"url": link, "type": "video/mp4"}])
    news(town, incident, media=[{"url": link + "?2"}, {"url": link + "?3"}])
    town.settle()
    sent = [event for call in calls(town) for event in call]
    shown = [(event["meta"]["attribute"], event["meta"].get("media")) for event in sent]
    assert shown == [("smoke", None), *(("camera", link + tail) for tail in ("", "?2", "?3"))]


@pytest.mark.parametrize(
    ("by", "name"), [("device", "alarm.device.activated_alarm"), ("person", "alarm.person.activated_alarm")]
)
def test_trigger_says_who_raised_the_alarm(town: Town, by: str, name: str) -> None:
    """From `triggered_by`."""
    requested(town, "smoke", triggered_by=by)
    town.settle()
    assert [event["event_type"] for event in calls(town)[0]] == [name]


@pytest.mark.parametrize("kind", ["panic", "co", "medical", "holdup", "gas", "fire"])
def test_kind_without_a_word_stands_in_the_instructions(town: Town, kind: str) -> None:
    """Nothing near is sent instead."""
    requested(town, kind)
    town.settle()
    entry = town.alarms()[0]["request"]["instructions"]["entry"]
    words = {"co": "carbon monoxide", "holdup": "hold-up"}.get(kind, kind)
    assert f"ALARM: {words}" in entry
    assert calls(town) == []


def test_operator_reads_what_there_was_no_word_for(town: Town) -> None:
    """One entry for two; the third went."""
    incident = requested(town, "smoke")
    town.settle()
    for kind in ("tamper", "co"):
        news(town, incident, kind=kind)
    news(town, incident, kind="water_leak")
    town.settle()
    (row,) = town.rows("SELECT entry FROM timeline WHERE incident_id = :i AND event = 'event_not_sent'", i=incident)
    assert row[0] == "2 further signals were not sent on: no word for co, tamper"
    assert [event["meta"]["attribute"] for event in calls(town)[-1]] == ["water_leak"]


def test_agreed_words_go_before_our_table(town: Town) -> None:
    """The account's option `attribute_map`: by attribute and value, by attribute, by kind."""
    agreed = '{"attribute_map": {"glass:broken": ["contact", "open"], "kind:co": ["smoke", "detected"]}}'
    town.change("UPDATE provider_account SET options = CAST(:o AS jsonb) WHERE provider = 'noonlight'", o=agreed)
    try:
        incident = requested(town, "co")
        news(town, incident, device={"attribute": "glass", "value": "broken"})
        town.settle()
        assert [event["meta"]["attribute"] for call in calls(town) for event in call] == ["smoke", "contact"]
    finally:
        town.change("UPDATE provider_account SET options = '{}' WHERE provider = 'noonlight'")


def test_burning_alarm_is_sent_when_its_coverage_is_doubtful(town: Town) -> None:
    """DC is not one of the 50 states: sent, shown, told; a site there is refused when it is saved."""
    ref = "doubtful-1"
    incident = town.alarm("fire", ref=ref, location={"address": ADDRESS | {"state": "DC", "city": "Washington"}})
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    assert len(town.creates()) == 1
    (entry,) = [body["entry"] for body in town.writebacks(ref) if body["event"] == "coverage_doubtful"]
    assert entry == "Coverage is doubtful, the alarm is sent all the same: the state is none of the covered ones"
    town.until(lambda: [one for one in town.escalations() if one["kind"] == "coverage_doubtful"])
    town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    open_notices = "SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL"
    town.change("UPDATE job SET next_run_at = now(), lease_until = NULL")
    town.until(lambda: not town.one(open_notices, i=incident))


def test_person_is_told_when_the_provider_refuses_a_doubtful_place(town: Town) -> None:
    """Sent, refused, failed: never dropped in silence."""
    town.noonlight(
        "_control", fail=[{"path": "/dispatch/v1/alarms", "status": 400, "body": {"code": 400, "message": "no"}}]
    )
    incident = town.alarm("panic", location={"coordinates": {"lat": -33.92, "lng": 18.42, "accuracy": 5}})
    town.until(lambda: town.status(incident) == "failed")
    assert town.events(incident) == ["received", "coverage_doubtful", "failed"]
