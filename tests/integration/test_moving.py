"""A person who moves: what the provider is told of it, how often, and when no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.embedded import Embedded
from tests.integration.incident_stage import calm, cancel
from tests.integration.moving_stage import HERE, LAT, LNG, fix, moving, push, time_passes, told
from tests.town import ADDRESS, QUICK, Town, open_town

LOCATIONS = "/dispatch/v1/alarms/*/locations"


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


def test_position_is_sent_when_window_opens(town: Town) -> None:
    """50 m after 3 s waits; the newest of what waits goes at 10 s, alone."""
    incident = moving(town)
    assert push(town, incident, fix(50)).status_code == 202
    push(town, incident, fix(80))
    assert told(town) == []
    time_passes(town)
    assert told(town) == [80]
    assert town.events(incident).count("location_sent") == 1


def test_position_is_not_sent_when_it_is_near_the_last(town: Town) -> None:
    """10 m and 10 s: however long it takes, 9 m are none; the create's own position counts."""
    incident = moving(town)
    time_passes(town, 60)
    push(town, incident, fix(9))
    assert told(town) == []
    push(town, incident, fix(18))
    push(town, incident, fix(25))
    time_passes(town, 60)
    push(town, incident, fix(27))
    time_passes(town)
    assert told(town) == [18]


def test_position_is_sent_on_either_when_the_platform_reads_it_so(town: Town) -> None:
    """Lax: 10 m at once, and whatever came after 10 s."""
    town.policy(location_throttle="lax")
    incident = moving(town)
    push(town, incident, fix(12))
    push(town, incident, fix(15))
    assert told(town) == [12]
    time_passes(town)
    assert told(town) == [12, 15]


def test_coarse_positions_are_held_back_and_said_once(town: Town) -> None:
    """76 m, or nobody knows; an exact one goes."""
    incident = moving(town)
    time_passes(town)
    push(town, incident, fix(100, accuracy=76), fix(200, accuracy=None))
    push(town, incident, fix(300, accuracy=500))
    assert told(town) == []
    assert town.events(incident).count("location_coarse") == 1
    push(town, incident, fix(100, accuracy=75))
    assert told(town) == [100]


def test_older_position_is_dropped_when_it_comes_late(town: Town) -> None:
    """By the device's time, in one push and in two."""
    incident = moving(town)
    time_passes(town)
    push(town, incident, fix(40, age_s=5), fix(90, age_s=1), fix(60, age_s=3))
    time_passes(town)
    push(town, incident, fix(10, age_s=20))
    time_passes(town)
    assert told(town) == [90]


def test_exchanged_numbers_are_not_sent(town: Town) -> None:
    """Said once; the right ones afterwards are."""
    incident = town.alarm("panic", location={"coordinates": {"lat": 40.7128, "lng": -74.006, "accuracy": 5}})
    town.until(lambda: town.status(incident) == "requested")
    time_passes(town)
    push(town, incident, {"lat": -74.007, "lng": 40.7138, "accuracy": 5})
    assert town.alarms()[0]["locations"] == []
    assert town.events(incident).count("location_swapped") == 1
    push(town, incident, {"lat": 40.7138, "lng": -74.007, "accuracy": 5})
    assert [point["lat"] for point in town.alarms()[0]["locations"]] == [40.7138]


def test_right_position_is_sent_when_the_first_one_had_its_numbers_exchanged(town: Town) -> None:
    """The alarm goes out, doubted aloud; a person is told; the next fix mends it."""
    incident = town.alarm("panic", location={"coordinates": {"lat": -74.006, "lng": 40.7128, "accuracy": 5}})
    town.until(lambda: town.status(incident) == "requested")
    assert "coverage_doubtful" in town.events(incident)
    assert town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND kind = 'coverage_doubtful'", i=incident)
    time_passes(town)
    push(town, incident, {"lat": 40.7128, "lng": -74.006, "accuracy": 5})
    assert [point["lat"] for point in town.alarms()[0]["locations"]] == [40.7128]


def test_position_is_refused_when_the_alarm_is_static(town: Town) -> None:
    """An address does not move; nor does an AURA site, whose provider says why."""
    home = town.alarm("burglary", location={"address": ADDRESS})
    answer = town.post(f"/v1/incidents/{home}/locations", fix(20))
    assert (answer.status_code, answer.json()["type"]) == (409, "/docs#conflict")
    guarded = town.site_alarm(town.guarded_site(), "panic")
    answer = town.post(f"/v1/incidents/{guarded}/locations", fix(20))
    assert (answer.status_code, answer.json()["type"]) == (409, "/docs#provider-cannot")
    assert "does not move" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, [], {"lat": -104.99, "lng": 39.7}, [{"lat": 1, "lng": 2, "x": 3}], "here", 5])
def test_junk_is_refused_at_the_door(town: Town, body: object) -> None:
    """Denver with its numbers exchanged is no latitude."""
    incident = moving(town)
    assert town.post(f"/v1/incidents/{incident}/locations", body).status_code == 422


@pytest.mark.parametrize("end", ["cancel", "alarm.closed"])
def test_positions_stop_at_the_end(town: Town, end: str) -> None:
    """What was held back is not sent any more, and the door says so."""
    incident = moving(town)
    push(town, incident, fix(50))
    if end == "cancel":
        cancel(town, incident, pin="4711")
    else:
        town.noonlight("_step", id=town.alarms()[0]["id"], event=end)
    town.until(lambda: town.status(incident) in ("cancelled", "closed"))
    time_passes(town)
    assert push(town, incident, fix(90)).status_code == 409
    assert told(town) == []
    assert town.noonlight("_log?path=" + LOCATIONS) == []


def test_create_carries_the_newest_position_when_it_was_late(town: Town) -> None:
    """Noonlight was away for a moment; the person had gone on."""
    town.noonlight("_control", fail=[{"path": "/dispatch/v1/alarms", "status": 429, "body": {}, "times": 1}])
    incident = town.alarm("panic", location=HERE)
    town.turn()
    push(town, incident, fix(500))
    town.until(lambda: town.status(incident) == "requested")
    sent = town.alarms()[0]["request"]["location"]["coordinates"]
    assert sent["lat"] == pytest.approx(fix(500)["lat"])
    time_passes(town)
    assert told(town) == []


@pytest.mark.parametrize("fault", ["fail", "drop_answer"])
def test_newest_position_is_sent_when_the_provider_answers_again(town: Town, fault: str) -> None:
    """A position may come twice: a lost answer is tried again too, by then with the newest."""
    incident = moving(town)
    time_passes(town)
    rule = {"path": LOCATIONS, "times": 1}
    rule |= {"status": 503, "body": "away"} if fault == "fail" else {}
    town.noonlight("_control", **{fault: [rule]})
    push(town, incident, fix(50))
    push(town, incident, fix(90))
    time_passes(town, 60)
    assert told(town)[-1] == 90
    assert town.noonlight("_log?path=" + LOCATIONS)[0]["faults"] == [fault]
    assert "location_undelivered" not in town.events(incident)


def test_operator_reads_once_when_the_provider_takes_no_position(town: Town) -> None:
    """Refused for good: said, and the next one is still tried."""
    incident = moving(town)
    town.noonlight("_control", fail=[{"path": LOCATIONS, "status": 400, "body": {"code": 400, "message": "no"}}])
    for metres in (50, 90, 130):
        time_passes(town)
        push(town, incident, fix(metres))
    assert len(town.noonlight("_log?path=" + LOCATIONS)) == 3
    assert town.events(incident).count("location_refused") == 1


def test_resent_alarm_goes_to_where_the_person_is_now(town: Town) -> None:
    """A new alarm at the provider, at the newest position."""
    town.noonlight("_control", drop_answer=[{"path": "/dispatch/v1/alarms", "times": 1}])
    incident = town.alarm("burglary", location=HERE)
    town.turn()
    push(town, incident, fix(700))
    town.post(f"/v1/incidents/{incident}/resend", {"by": "Op"})
    town.until(lambda: town.status(incident) == "requested")
    first, second = (alarm["request"]["location"]["coordinates"]["lat"] for alarm in town.alarms())
    assert (first, second) == (LAT, pytest.approx(fix(700)["lat"]))


def test_no_position_stands_in_clear_in_the_database(town: Town) -> None:
    """Where somebody is, is sealed."""
    incident = moving(town)
    push(town, incident, fix(50))
    kept = town.rows("SELECT * FROM location_fix WHERE incident_id = :i", i=incident)
    assert kept
    assert str(LNG) not in repr(kept)


def test_position_of_a_repeated_alarm_is_passed_on(town: Town) -> None:
    """A platform that posts the alarm anew with where the person is now."""
    incident = moving(town, ref="again-1")
    time_passes(town)
    again = town.alarm("panic", ref="again-1", location={"coordinates": fix(60)})
    town.settle()
    assert again == incident
    assert told(town) == [60]
