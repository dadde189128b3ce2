"""The platform's location source: asked while a moving alarm is active, by its own row and on its own destination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import calm
from tests.integration.moving_stage import HERE, fix, located, moving, time_passes, told
from tests.town import QUICK, Town, open_town


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town without what the test before left; its alarms would be polled as well."""
    calm(street)
    street.change("UPDATE incident SET status = 'closed', ended_at = now()")
    return street


def poll(town: Town) -> None:
    """The duty and the next poll are due now."""
    town.change("UPDATE job SET next_run_at = now(), lease_until = NULL WHERE name = 'location.poll'")
    town.turn(Lane.PERIODIC)
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'poll' AND state = 'pending'")
    town.turn(Lane.OUTGOING)
    town.settle()


def poll_answered(town: Town, times: int = 1) -> None:
    """So many polls, each asked and recorded."""
    for _ in range(times):
        before = len(asked(town))

        def done(before: int = before) -> bool:
            poll(town)
            leased = "SELECT count(*) FROM outbox WHERE kind = 'poll' AND state = 'pending' AND lease_until IS NOT NULL"
            return len(asked(town)) > before and not town.one(leased)

        town.until(done)


def set_position(town: Town, ref: str, position: Any) -> None:
    """What the source answers for a reference."""
    town.platform("_location", incident_ref=ref, position=position)


def asked(town: Town) -> list[dict[str, Any]]:
    """What the source was asked."""
    return [entry for entry in town.platform("_log") if entry["path"].startswith("/locations/")]


def test_position_is_polled_while_the_alarm_is_active(town: Town) -> None:
    """None yet, then one, then a list; nothing after the end. The reference is percent-encoded whole."""
    ref = f"moving / {uuid4().hex[:6]} ü"
    with located(town):
        incident = moving(town, ref=ref)
        time_passes(town)
        poll(town)
        assert {entry["status"] for entry in asked(town)} == {404}
        assert asked(town)[0]["headers"].get("authorization") != f"Bearer {town.key}"
        set_position(town, ref, fix(50, age_s=2))
        poll_answered(town)
        assert told(town) == [50]
        set_position(town, ref, [fix(70, age_s=1), fix(60, age_s=1.5)])
        poll_answered(town)
        time_passes(town)
        assert told(town) == [50, 70]
        town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.closed")
        town.until(lambda: town.status(incident) == "closed")
        before = len(asked(town))
        poll(town)
        poll(town)
        assert len(asked(town)) == before
    assert "location_source_failed" not in town.events(incident)


def test_one_row_polls_an_alarm_however_often_the_duty_runs(town: Town) -> None:
    """And only moving alarms of a platform with a source have one."""
    count = "SELECT count(*) FROM outbox WHERE kind = 'poll' AND state = 'pending'"
    moving(town)
    poll(town)
    assert town.one(count) == 0
    with located(town):
        town.alarm("panic")
        for _ in range(3):
            poll(town)
        assert town.one(count) == 1
    poll(town)
    assert town.one(count) == 0


@pytest.mark.parametrize(
    "position",
    [
        {"lat": -104.99, "lng": 39.7},
        {"lat": "38.6", "lng": -90},
        {"lng": -90.1},
        [1],
        {"lat": 1, "lng": 2, "time": "x"},
    ],
)
def test_operator_reads_once_when_the_source_fails_five_times(town: Town, position: Any) -> None:
    """In a row; a success begins anew."""
    ref = f"ref-{uuid4().hex[:8]}"
    with located(town):
        incident = moving(town, ref=ref)
        set_position(town, ref, position)
        poll_answered(town, 2)
        assert "location_source_failed" not in town.events(incident)
        set_position(town, ref, None)
        poll_answered(town)
        set_position(town, ref, position)
        poll_answered(town, 7)
        assert town.events(incident).count("location_source_failed") == 1


def test_source_that_refuses_us_is_a_failure(town: Town) -> None:
    """A wrong token."""
    with located(town, location_source_secret="wrong"):
        incident = moving(town)
        poll_answered(town, 5)
        assert {entry["status"] for entry in asked(town)} == {401}
        (told_words,) = town.rows(
            "SELECT entry FROM timeline WHERE event = 'location_source_failed'  AND incident_id = :i", i=incident
        )
        assert told_words[0] == "The location source failed 5 times in a row: HTTP 401"


def test_write_backs_go_on_when_the_source_hangs(town: Town) -> None:
    """It is a destination of its own."""
    ref = f"ref-{uuid4().hex[:8]}"
    town.platform("_control", hang=[{"path": "/locations/*", "seconds": 30}])
    with located(town):
        town.alarm("panic", location=HERE, ref=ref)
        poll(town)
        town.until(lambda: [body for body in town.writebacks(ref) if body["event"] == "requested"])
    destinations = town.rows("SELECT DISTINCT destination FROM outbox WHERE kind = 'poll'")
    assert [row[0] for row in destinations] == ["source:default"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/{incident_ref}",
        "https://10.0.0.1/{incident_ref}",
        "https://169.254.169.254/{incident_ref}",
        "https://{incident_ref}.example.com/",
        "https://example.com/{phone}",
        "https://example.com/{incident_ref",
        "https://me:secret@example.com/{incident_ref}",
        "file:///etc/passwd",
        "https://not-listed.example.com/{incident_ref}",
    ],
)
def test_source_is_refused_when_it_is_not_a_public_https_address(town: Town, url: str) -> None:
    """By the guard of the write-backs; the host may not depend on the alarm."""
    headers = {"Authorization": f"Bearer {town.key}"}
    answer = requests.put(f"{town.url}/v1/platform", json={"location_source_url": url}, headers=headers, timeout=20)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "location_source_url"


def test_secret_of_the_source_is_sealed_and_never_shown(town: Town) -> None:
    """Only that there is one."""
    headers = {"Authorization": f"Bearer {town.key}"}
    with located(town, location_source_secret="open-sesame"):
        shown = requests.get(f"{town.url}/v1/platform", headers=headers, timeout=20)
        assert shown.json()["has_location_source_secret"] is True
        assert "open-sesame" not in shown.text
        assert b"open-sesame" not in bytes(town.one("SELECT location_source_secret FROM platform"))
