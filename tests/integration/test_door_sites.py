"""Sites and the platform's own settings."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status
from tests.integration.door_stage import Stage, close_stage, open_stage
from webhooks_app.answers import PlatformShown, SiteList, SiteShown

PLACE: dict[str, Any] = {
    "name": "Depot",
    "coordinates": {"lat": -26.1, "lng": 28.05},
    "contacts": [{"name": "Guard", "phone": "+27 11 555 0100", "pin": "9911"}],
}
HOUSE: dict[str, Any] = {
    "name": "Home",
    "address": {"line1": "1 Main St", "city": "Austin", "state": "TX", "zip": "78701"},
    "contacts": [{"name": "Ann Example", "phone": "+1 202 555 0123"}],
}


def test_site_goes_out_when_the_provider_keeps_a_directory(stage: Stage) -> None:
    """Saved and asked for in one transaction; saved unchanged, nothing happens."""
    account = stage.account("aura")
    first = stage.put("/v1/sites/depot-1", PLACE)
    again = stage.put("/v1/sites/depot-1", PLACE)

    assert (first.status_code, again.status_code) == (201, 200), first.json
    shown = SiteShown.model_validate(again.json)
    assert (shown.sync_state, shown.version, shown.contacts, shown.account) == ("pending", 1, 1, account)
    (row,) = stage.rows("SELECT * FROM outbox WHERE account_id = :id", id=account)
    assert (row.kind, row.lane, row.destination, row.priority) == ("site", "outgoing", f"account:{account}", 60)
    assert row.single == f"site:{row.site_id}"
    assert stage.bell.rung == [Lane.OUTGOING]


def test_site_has_one_pending_row_when_it_changes_twice(stage: Stage) -> None:
    """The row that waits carries the newest version."""
    account = stage.account("aura")
    for name in ("One", "Two", "Three"):
        answer = stage.put("/v1/sites/depot-2", PLACE | {"name": name})

    assert (answer.json["version"], answer.json["name"]) == (3, "Three")
    assert len(stage.rows("SELECT 1 FROM outbox WHERE account_id = :id", id=account)) == 1


def test_site_shows_no_person(stage: Stage) -> None:
    """Contacts are a number, at rest they are sealed."""
    stage.account("noonlight")
    stage.put("/v1/sites/home", HOUSE)
    answer = stage.get("/v1/sites/home")

    assert answer.json["contacts"] == 1
    assert answer.json["sync_state"] == "local"
    assert "Ann" not in answer.text
    assert "5550123" not in answer.text.replace(" ", "")
    (row,) = stage.rows("SELECT contacts FROM site WHERE platform_id = :own", own=stage.platform_id)
    assert b"Example" not in bytes(row.contacts)


@pytest.mark.parametrize(
    ("provider", "change", "field"),
    [
        ("aura", {"coordinates": None}, "address"),
        ("aura", {"coordinates": {"lat": 0, "lng": 0}}, "coordinates"),
        ("noonlight", {"address": HOUSE["address"] | {"zip": "787"}}, "address.zip"),
        ("noonlight", {"address": HOUSE["address"] | {"state": "Texas"}}, "address.state"),
        ("noonlight", {"contacts": [{"name": "Ann", "phone": "12"}]}, "contacts.0"),
    ],
)
def test_bad_site_is_refused_when_it_is_saved(stage: Stage, provider: str, change: dict[str, Any], field: str) -> None:
    """By the field that is wrong."""
    stage.account(provider)
    base = PLACE | {"contacts": []} if provider == "aura" else HOUSE
    answer = stage.put("/v1/sites/bad", base | change)

    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json["errors"]]
    assert stage.get("/v1/sites/bad").status_code == 404


def test_unverified_contact_is_refused_when_the_platform_says_so(stage: Stage) -> None:
    """A verified one is taken."""
    stage.account("noonlight")
    stage.put("/v1/platform", {"policies": {"unverified_phone": "refuse"}})
    verified = [HOUSE["contacts"][0] | {"phone_verified_at": "2026-01-01T00:00:00Z"}]

    assert stage.put("/v1/sites/home", HOUSE).status_code == 422
    assert stage.put("/v1/sites/home", HOUSE | {"contacts": verified}).status_code == 201


def test_site_needs_a_named_provider_when_there_are_two(stage: Stage) -> None:
    """No guess, unless the platform has a default."""
    stage.account("noonlight")
    stage.account("aura")

    assert stage.put("/v1/sites/x", PLACE).status_code == 422
    assert stage.put("/v1/sites/x", PLACE | {"provider": "aura"}).json["provider"] == "aura"
    stage.put("/v1/platform", {"policies": {"default_provider": "noonlight"}})
    assert stage.put("/v1/sites/home", HOUSE).json["provider"] == "noonlight"
    assert stage.put("/v1/sites/x", PLACE | {"name": "stays where it is"}).json["provider"] == "aura"


def test_site_account_must_be_the_platforms_own(stage: Stage, database: str, redis_url: str) -> None:
    """Another tenant's account is not there."""
    other = open_stage(database, redis_url)
    foreign = other.account("aura")
    close_stage(other)

    assert stage.put("/v1/sites/x", PLACE | {"account": foreign}).status_code == 422


def test_sites_are_listed_by_reference(stage: Stage) -> None:
    """Page by page."""
    stage.account("noonlight")
    for reference in ("b", "a", "c"):
        stage.put(f"/v1/sites/{reference}", HOUSE)
    first = SiteList.model_validate(stage.get("/v1/sites?limit=2").json)
    rest = SiteList.model_validate(stage.get(f"/v1/sites?limit=2&cursor={first.next_cursor}").json)

    assert [site.site_ref for site in first.sites + rest.sites] == ["a", "b", "c"]
    assert rest.next_cursor is None


@pytest.mark.parametrize("path", ["a%2Fb", "%2Fa%2F", "50%25", "a%23b", "a%20b", "%C3%BC", "a%3Fb", "a//b"])
def test_site_reference_survives_its_path(stage: Stage, path: str) -> None:
    """Any character, percent-encoded once."""
    from urllib.parse import unquote

    stage.account("noonlight")
    assert stage.put(f"/v1/sites/{path}", HOUSE).json["site_ref"] == unquote(path)
    assert stage.get(f"/v1/sites/{path}").status_code == 200


@pytest.mark.parametrize("path", ["a%00b", "a%0Ab", "%FF", "x" * 201])
def test_site_reference_is_refused_when_it_cannot_be_one(stage: Stage, path: str) -> None:
    """A problem, never an accident."""
    assert stage.put(f"/v1/sites/{path}", HOUSE).status_code in (404, 422)


def test_platform_keeps_what_is_not_given_and_shows_no_secret(stage: Stage) -> None:
    """Secrets are sealed and only said to be there."""
    secret = "whsec_" + "QUJDREVGR0hJSktMTU5PUA=="
    stage.put("/v1/platform", {"writeback_url": "https://ops.example.com/in?a=1", "writeback_secret": secret})
    answer = stage.put("/v1/platform", {"words": {"on_scene": "there", "requested": None}})

    shown = PlatformShown.model_validate(answer.json)
    assert (shown.writeback_url, shown.has_writeback_secret) == ("https://ops.example.com/in?a=1", True)
    words = [shown.words[status] for status in (Status.ON_SCENE, Status.REQUESTED, Status.CLOSED)]
    assert words == ["there", None, "closed"]
    assert "whsec" not in answer.text
    (row,) = stage.rows("SELECT writeback_secret FROM platform WHERE id = :own", own=stage.platform_id)
    assert stage.box.open(row.writeback_secret) == secret


@pytest.mark.parametrize(
    "body",
    [
        {"writeback_url": "http://10.0.0.1/x"},
        {"writeback_url": "https://user:pw@ops.example.com/"},
        {"escalation_url": "https://169.254.169.254/latest"},
        {"writeback_secret": "short"},
        {"policies": {"pin": "sometimes"}},
        {"policies": {"dispatch_kinds": {"tamper": ["army"]}}},
        {"policies": {"default_provider": "nobody"}},
        {"words": {"somewhere": "x"}},
        {"unknown": 1},
    ],
)
def test_platform_refuses_what_it_cannot_use(stage: Stage, body: dict[str, Any]) -> None:
    """With a problem that quotes no value."""
    answer = stage.put("/v1/platform", body)

    assert answer.status_code == 422
    assert "pw@" not in answer.text
    assert "army" not in answer.text
