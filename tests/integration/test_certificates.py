"""Monitoring certificates: one per wish, the provider's raw answer, and nothing repeated that may have been made."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests

from deploy.embedded import Embedded
from tests.integration.incident_stage import calm
from tests.town import ADDRESS, QUICK, Town, open_town

PATH = "/dispatch/v1/certificates"


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


def ask(town: Town, body: dict[str, Any], **headers: str) -> requests.Response:
    """Ask for one."""
    given = {"Authorization": f"Bearer {town.key}"} | headers
    return requests.post(f"{town.url}/v1/certificates", json=body, headers=given, timeout=20)


def show(town: Town, certificate: str) -> dict[str, Any]:
    """It, after the work was done."""
    town.settle()
    headers = {"Authorization": f"Bearer {town.key}"}
    answer = requests.get(f"{town.url}/v1/certificates/{certificate}", headers=headers, timeout=20)
    found: dict[str, Any] = answer.json()
    return found


def made(town: Town) -> int:
    """How many were asked for at the provider."""
    return len(town.noonlight("_log?path=" + PATH))


def test_certificate_is_issued_with_the_raw_answer(town: Town) -> None:
    """The seed's body, whatever the provider answers; a ZIP+4 is cut."""
    answer = ask(town, {"address": ADDRESS | {"zip": "63101-1234"}})
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    found = show(town, answer.json()["id"])
    assert (found["state"], found["provider"]) == ("issued", "noonlight")
    assert found["answer"] == town.noonlight("_state")["certificates"][0]
    (entry,) = town.noonlight("_log?path=" + PATH)
    assert entry["body"] == ('{"address":{"line1":"123 Some Street","city":"St. Louis","state":"MO","zip":"63101"}}')


def test_key_makes_one_only_when_many_ask_at_once(town: Town) -> None:
    """By the field or by the header, from ten threads."""
    key = uuid4().hex
    with ThreadPoolExecutor(10) as pool:
        by_field = list(pool.map(lambda _: ask(town, {"address": ADDRESS, "idempotency_key": key}), range(5)))
        by_header = list(pool.map(lambda _: ask(town, {"address": ADDRESS}, **{"Idempotency-Key": key}), range(5)))
    (one,) = {answer.json()["id"] for answer in by_field + by_header}
    assert show(town, one)["state"] == "issued"
    assert made(town) == 1
    again = ask(town, {"address": ADDRESS, "idempotency_key": key})
    assert again.json() == {"id": one, "state": "issued"}
    other = ask(town, {"address": ADDRESS | {"line1": "9 Other Street"}, "idempotency_key": key})
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"coordinates": {"lat": 38.6, "lng": -90.2}}, 422, "address"),
        ({"location": {"coordinates": {"lat": 38.6, "lng": -90.2}}}, 422, "address"),
        ({"address": ADDRESS, "coordinates": {"lat": 38.6, "lng": -90.2}}, 422, "coordinates"),
        ({"address": ADDRESS | {"zip": "1"}}, 422, "address"),
        ({"address": ADDRESS | {"state": "DC"}}, 422, "address"),
        ({"address": ADDRESS, "account": "nobody's"}, 422, "account"),
        ({}, 422, "address"),
        ({"address": ADDRESS, "provider": "aura"}, 409, None),
    ],
)
def test_wish_is_refused_when_it_cannot_come_true(town: Town, body: dict[str, Any], status: int, field: str) -> None:
    """While somebody listens, with the reason."""
    answer = ask(town, body)
    assert answer.status_code == status, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert made(town) == 0


def test_two_different_keys_are_refused(town: Town) -> None:
    """Nobody can say which one is meant."""
    assert ask(town, {"address": ADDRESS, "idempotency_key": "a"}, **{"Idempotency-Key": "b"}).status_code == 422


@pytest.mark.parametrize(
    ("fault", "state", "calls"),
    [
        ({"drop_answer": [{"path": PATH, "times": 1}]}, "unconfirmed", 1),
        ({"fail": [{"path": PATH, "status": 502, "body": "", "times": 1}]}, "unconfirmed", 1),
        ({"fail": [{"path": PATH, "status": 400, "body": {"code": 400, "message": "no"}, "times": 1}]}, "refused", 1),
        ({"fail": [{"path": PATH, "status": 429, "body": {}, "times": 1}]}, "issued", 2),
        ({"fail": [{"path": PATH, "status": 204, "times": 1}]}, "issued", 1),
    ],
)
def test_certificate_is_asked_for_again_only_when_none_was_made(
    town: Town, fault: dict[str, Any], state: str, calls: int
) -> None:
    """A lost answer stays unconfirmed: a person may ask anew."""
    town.noonlight("_control", **fault)
    certificate = ask(town, {"address": ADDRESS}).json()["id"]
    town.settle()
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")
    found = show(town, certificate)
    assert (found["state"], made(town)) == (state, calls)


def test_certificate_of_another_platform_does_not_exist(town: Town) -> None:
    """404, as for one that nobody asked for."""
    certificate = ask(town, {"address": ADDRESS}).json()["id"]
    town.settle()
    town.change("INSERT INTO platform (id, name) VALUES ('other', 'Other') ON CONFLICT DO NOTHING")
    town.change("UPDATE certificate SET platform_id = 'other' WHERE id = :c", c=certificate)
    assert show(town, certificate)["status"] == 404
    assert show(town, "crt_0")["status"] == 404


def test_address_of_a_certificate_is_sealed(town: Town) -> None:
    """And the answer, which may repeat it."""
    certificate = ask(town, {"address": ADDRESS}).json()["id"]
    show(town, certificate)
    assert "Some Street" not in repr(town.rows("SELECT * FROM certificate WHERE id = :c", c=certificate))
