"""The sandbox's Noonlight over HTTP: codes, bodies, and the life of an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.sandbox import NoonlightConfig
from deploy.sandbox.noonlight import Noonlight

BODY = {
    "name": "John Smith",
    "phone": "15554440003",
    "pin": "1234",
    "location": {"address": {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}},
}
MOVING = {**BODY, "location": {"coordinates": {"lat": 32.3, "lng": -86.1, "accuracy": 5}}}


@pytest.fixture
def service() -> Iterator[Noonlight]:
    """A Noonlight of its own for each test."""
    started = Noonlight(NoonlightConfig(token="t"))
    started.start()
    yield started
    started.stop()


def call(service: Noonlight, method: str, path: str, body: Any = None, token: str = "t") -> requests.Response:
    """One request with the bearer token."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, service.url + path, json=body, headers=headers, timeout=10)


def create(service: Noonlight, body: Any = None) -> str:
    """The path of a new alarm."""
    answer = call(service, "POST", "/dispatch/v1/alarms", body or BODY)
    assert answer.status_code == 201, answer.text
    return f"/dispatch/v1/alarms/{answer.json()['id']}"


def test_create_answers_as_documented(service: Noonlight) -> None:
    """201 with id, status, created_at and owner_id, and the status can be read."""
    answer = call(service, "POST", "/dispatch/v1/alarms", BODY)
    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "status", "created_at", "owner_id"}
    assert len(answer.json()["id"]) == 24
    status = call(service, "GET", f"/dispatch/v1/alarms/{answer.json()['id']}/status")
    assert (status.status_code, status.json()) == (200, {"status": "ACTIVE"})


def test_create_is_refused_with_the_documented_error(service: Noonlight) -> None:
    """400 with code, key, message and details."""
    answer = call(service, "POST", "/dispatch/v1/alarms", {**BODY, "phone": "+15554440003"})
    assert answer.status_code == 400
    assert answer.json() == {
        "code": 400,
        "key": "invalid_payload",
        "message": "Invalid payload",
        "details": "data.phone should be a supported phone format",
    }


def test_wrong_token_and_unknown_alarm_have_their_codes(service: Noonlight) -> None:
    """401 for the token, 404 resource_not_found for the alarm."""
    assert call(service, "POST", "/dispatch/v1/alarms", BODY, token="x").status_code == 401
    unknown = call(service, "GET", "/dispatch/v1/alarms/000000000000000000000000/status")
    assert (unknown.status_code, unknown.json()["key"]) == (404, "resource_not_found")


def test_cancel_wants_the_pin_and_works_once(service: Noonlight) -> None:
    """403 for a wrong PIN, 201, then 400 alarm_canceled for everything."""
    alarm = create(service)
    assert call(service, "POST", f"{alarm}/status", {"status": "CANCELED"}).status_code == 403
    assert call(service, "POST", f"{alarm}/status", {"status": "CANCELED", "pin": "9"}).status_code == 403
    done = call(service, "POST", f"{alarm}/status", {"status": "CANCELED", "pin": "1234"})
    assert (done.status_code, done.json()["status"]) == (201, "CANCELED")
    again = call(service, "POST", f"{alarm}/status", {"status": "CANCELED", "pin": "1234"})
    assert (again.status_code, again.json()["key"]) == (400, "alarm_canceled")
    assert call(service, "POST", f"{alarm}/events", []).json()["key"] == "alarm_canceled"


def test_people_are_taken_once(service: Noonlight) -> None:
    """The second call is a 400; a household PIN cancels."""
    alarm = create(service)
    people = [{"name": "Sue Smith", "phone": "14445550003", "pin": "77"}]
    assert call(service, "POST", f"{alarm}/people", people).status_code == 201
    assert call(service, "POST", f"{alarm}/people", people).status_code == 400
    assert call(service, "POST", f"{alarm}/status", {"status": "CANCELED", "pin": "77"}).status_code == 201


def test_only_the_owner_can_be_updated(service: Noonlight) -> None:
    """200 for the owner id, 404 for anyone else."""
    alarm = create(service, {**BODY, "owner_id": "owner-1"})
    assert call(service, "PUT", f"{alarm}/people/owner-1", {"height": 180}).status_code == 200
    assert call(service, "PUT", f"{alarm}/people/other", {"height": 180}).status_code == 404


def test_location_moves_unless_the_address_is_static(service: Noonlight) -> None:
    """201 for a moving alarm, 409 for a home."""
    fix = {"coordinates": {"lat": 1.5, "lng": 2, "accuracy": 10}}
    moved = call(service, "POST", f"{create(service, MOVING)}/locations", fix)
    assert moved.status_code == 201
    assert moved.json()["coordinates"]["lat"] == 1.5
    bare = call(service, "POST", f"{create(service, MOVING)}/locations", fix["coordinates"])
    assert bare.status_code == 400
    assert call(service, "POST", f"{create(service)}/locations", fix).status_code == 409


def test_certificate_and_verification_are_taken(service: Noonlight) -> None:
    """A caller's verification id must be unique."""
    certificate = {"address": BODY["location"]["address"]}  # type: ignore[index]
    assert call(service, "POST", "/dispatch/v1/certificates", certificate).status_code == 201
    image = {"url": "https://example.org/a.jpg", "media_type": "image/jpeg"}
    task = {"id": "v1", "prompt": "A person?", "expiration": {"timeout": 30}, "attachments": [image]}
    assert call(service, "POST", "/tasks/v1/verifications", task).status_code == 201
    assert call(service, "POST", "/tasks/v1/verifications", task).status_code == 400
    film = {"url": "https://example.org/a.mp4", "media_type": "video/mp4"}
    mixed = {**task, "id": "v2", "attachments": [image, film]}
    assert call(service, "POST", "/tasks/v1/verifications", mixed).status_code == 400


def test_closed_alarm_still_reads_active(service: Noonlight) -> None:
    """Only ACTIVE and CANCELED are documented; a cancel then is a 400 without alarm_canceled."""
    alarm = create(service)
    step = {"id": alarm.rsplit("/", 1)[1], "event": "alarm.closed"}
    assert requests.post(f"{service.url}/_step", json=step, timeout=10).status_code == 200
    assert call(service, "GET", f"{alarm}/status").json() == {"status": "ACTIVE"}
    refused = call(service, "POST", f"{alarm}/status", {"status": "CANCELED", "pin": "1234"})
    assert refused.status_code == 400
    assert "key" not in refused.json()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"name": NaN}', b"[" * 5000])
def test_junk_is_a_400(service: Noonlight, body: bytes) -> None:
    """Whatever does not parse is an invalid payload."""
    headers = {"Authorization": "Bearer t"}
    answer = requests.post(f"{service.url}/dispatch/v1/alarms", data=body, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["key"]) == (400, "invalid_payload")
