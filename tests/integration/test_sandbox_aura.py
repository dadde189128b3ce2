"""The sandbox's AURA over HTTP: tokens, locations, callouts and the places where its documentation disagrees."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest
import requests

from deploy.sandbox import AuraConfig
from deploy.sandbox.aura import Aura

SITE = {"externalReferenceId": "S-1", "locationIdentifier": "S-1", "latitude": "-26.1", "longitude": "28.05"}


class Client:
    """A caller with a token of its own."""

    def __init__(self, service: Aura) -> None:
        self.service = service
        self.token = self.login().json()["accessToken"]

    def login(self, secret: str = "c") -> requests.Response:
        body = {"clientId": "sandbox-client", "clientSecret": secret}
        return requests.post(f"{self.service.url}/panic-api/v2/oauth/token", json=body, timeout=10)

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.service.url}/panic-api/v2/{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=10)

    def control(self, **settings: Any) -> None:
        answer = requests.post(f"{self.service.url}/_control", json=settings, timeout=10)
        assert answer.status_code == 200, answer.text

    def step(self, callout: int, event: str, **more: Any) -> dict[str, Any]:
        body = {"id": callout, "event": event, **more}
        answer = requests.post(f"{self.service.url}/_step", json=body, timeout=10)
        document: dict[str, Any] = answer.json()
        return document

    def raise_callout(self, reference: str = "S-1", body: Any = None) -> requests.Response:
        path = f"predefinedLocations/externalRef/{quote(reference, safe='')}/callouts"
        return self.call("POST", path, {} if body is None else body)


@pytest.fixture
def client() -> Iterator[Client]:
    """An AURA of its own for each test, with one site."""
    started = Aura(AuraConfig(client_secret="c"))
    started.start()
    caller = Client(started)
    assert caller.call("POST", "predefinedLocations", SITE).status_code == 201
    yield caller
    started.stop()


def test_token_answers_in_both_spellings(client: Client) -> None:
    """camelCase by default, snake_case as an option, 401 for a wrong secret, 400 for a missing field."""
    assert set(client.login().json()) == {"accessToken", "tokenType", "expiresIn"}
    client.control(token_spelling="snake")
    assert client.login().json()["token_type"] == "Bearer"
    assert client.login("wrong").status_code == 401
    empty = requests.post(f"{client.service.url}/panic-api/v2/oauth/token", json={}, timeout=10)
    assert (empty.status_code, list(empty.json())) == (400, ["message"])


def test_expired_token_is_a_401_until_renewed(client: Client) -> None:
    """`expire_token` ends every token at once; a new one works."""
    client.control(expire_token=True)
    assert client.call("GET", "predefinedLocations").status_code == 401
    client.token = client.login().json()["accessToken"]
    assert client.call("GET", "predefinedLocations").status_code == 200


def test_location_lives_by_its_numeric_id(client: Client) -> None:
    """Listed, read, replaced in full, deleted; its answer has coverage and a dotted key."""
    (site,) = client.call("GET", "predefinedLocations").json()
    assert site["securityCoverage"] is True
    assert "calloutLocationType.id" in site
    path = f"predefinedLocations/{site['id']}"
    renamed = client.call("PUT", path, {**SITE, "formattedAddress": "1 Main Road"})
    assert (renamed.status_code, renamed.json()["formattedAddress"]) == (200, "1 Main Road")
    assert client.call("PUT", path, {"formattedAddress": "x"}).status_code == 400
    assert client.call("DELETE", path).status_code == 204
    assert client.call("GET", path).status_code == 404


def test_duplicate_reference_is_a_conflict(client: Client) -> None:
    """409 by default, a second record as an option."""
    assert client.call("POST", "predefinedLocations", SITE).status_code == 409
    client.control(allow_duplicate_references=True)
    assert client.call("POST", "predefinedLocations", SITE).status_code == 201


@pytest.mark.parametrize("reference", ["a/b", "50%", "a#b", "a b", "Zürich", "%2F", "a?b", "+"])
def test_callout_is_found_by_any_reference(client: Client, reference: str) -> None:
    """The reference is one percent-encoded segment of the raw path."""
    client.call("POST", "predefinedLocations", {**SITE, "externalReferenceId": reference})
    answer = client.raise_callout(reference)
    assert (answer.status_code, answer.json()["externalReferenceId"]) == (201, reference)


def test_callout_is_answered_wrapped_and_read_nested(client: Client) -> None:
    """Creation is flat inside an envelope; a read has its detail under incidentInformation."""
    created = client.raise_callout(body={"installerIdentifier": "I"}).json()
    assert set(created) == {"message", "installerIdentifier", "externalReferenceId", "callout"}
    assert created["callout"]["status"] == "created"
    read = client.call("GET", f"callouts/{created['callout']['id']}").json()["callout"]
    assert read["incidentInformation"][0]["predefinedLocationId"] == created["callout"]["predefinedLocationId"]
    active = client.call("GET", "callouts/activeCallouts").json()
    assert [callout["id"] for callout in active] == [created["callout"]["id"]]


def test_callout_is_refused_when_unknown_or_ill_formed(client: Client) -> None:
    """An unknown reference is 400 and not 404; a body may hold three keys only."""
    unknown = client.raise_callout("nowhere")
    assert (unknown.status_code, list(unknown.json())) == (400, ["message"])
    assert client.raise_callout(body={"internalTest": True}).status_code == 400


def test_second_create_follows_the_option(client: Client) -> None:
    """A second callout by default; the existing one, and the flat answer, as options."""
    first = client.raise_callout().json()["callout"]["id"]
    assert client.raise_callout().json()["callout"]["id"] != first
    client.control(return_existing=True, flat_answer=True)
    assert client.raise_callout().json()["id"] == first


def test_callout_events_want_source_and_event(client: Client) -> None:
    """Both are required; mentions become tags; the list shows what was sent."""
    callout = client.raise_callout().json()["callout"]["id"]
    assert client.call("POST", f"callouts/{callout}/events", {"message": "old"}).status_code == 400
    note = {"source": "customer", "event": "Gate 4, call @admin"}
    sent = client.call("POST", f"callouts/{callout}/events", note)
    assert (sent.status_code, sent.json()["calloutEventTags"]) == (201, [{"tag": "admin"}])
    (listed,) = client.call("GET", f"callouts/{callout}/events").json()
    assert listed["event"]["text"] == note["event"]


def test_cancel_works_once(client: Client) -> None:
    """Then 400; an unknown callout is 404; after the close it leaves the active list."""
    callout = client.raise_callout().json()["callout"]["id"]
    answer = client.call("POST", f"callouts/{callout}/cancel")
    assert answer.json()["callout"]["status"] == "Responder Cancelled"
    assert client.call("POST", f"callouts/{callout}/cancel").status_code == 400
    assert client.call("POST", "callouts/1/cancel").status_code == 404
    client.step(callout, "CALLOUT_CLOSED")
    assert client.call("GET", "callouts/activeCallouts").json() == []


def test_steps_move_the_callout_and_a_replacement_is_a_new_incident(client: Client) -> None:
    """Mixed-case statuses, the ETA under a configurable name, and closed is final."""
    client.control(eta_field="eta")
    callout = client.raise_callout().json()["callout"]["id"]
    assert client.step(callout, "RESPONDER_ACKNOWLEDGED_CALLOUT", eta=420)["status"] == "Responder Dispatched"
    assert client.step(callout, "CALLOUT_NO_LONGER_REQUIRES_RESPONSE")["status"] == "Responder Cancelled"
    assert client.step(callout, "RESPONDER_MANUALLY_DISPATCHED")["status"] == "Responder Dispatched"
    client.step(callout, "RESPONDER_ARRIVED_ON_SCENE")
    newest, first = client.call("GET", f"callouts/{callout}").json()["callout"]["incidentInformation"]
    assert (first["eta"], first["arrivalTime"]) == (420, None)
    assert newest["arrivalTime"] is not None
    client.step(callout, "CALLOUT_CLOSED")
    assert client.step(callout, "RESPONDER_ARRIVED_ON_SCENE")["status"] == "closed"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"events": ["NOT_AN_EVENT"]}, 400),
        ({"url": "http://example.org/hook"}, 400),
        ({"events": ["RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA"]}, 201),
    ],
)
def test_webhook_registration_is_checked(client: Client, change: dict[str, Any], status: int) -> None:
    """HTTPS (or loopback) and documented event names only."""
    body = {"url": "https://example.org/hook", "events": ["CALLOUT_CLOSED"], "headers": {"X-Key": "k"}}
    assert client.call("POST", "notifiers/webhooks", {**body, **change}).status_code == status


def test_clock_skew_shows_in_date_and_times(client: Client) -> None:
    """AURA's own clock may differ from ours."""
    client.control(clock_skew_s=600)
    answer = client.raise_callout()
    ahead = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
    assert 500 < ahead.total_seconds() < 700
    created = datetime.fromisoformat(answer.json()["callout"]["createdAt"])
    assert 500 < (created - datetime.now(UTC)).total_seconds() < 700
