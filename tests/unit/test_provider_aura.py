"""AURA's words, webhook secrets, tokens' lives and checks, without any network."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.alarm import Coordinates
from shared.domain.lifecycle import Status
from shared.providers import registry
from shared.providers.aura.paths import url
from shared.providers.aura.token import lifetime
from shared.providers.base import Account, BadSignature
from shared.providers.http import Answer
from tests.contract.rig import SITE

PROVIDER = registry.get("aura")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def account(*secrets: str, **options: Any) -> Account:
    """An account at the staging host."""
    return Account(
        "aura",
        "aura",
        "https://staging-panic.aura.services",
        "staging",
        credentials={"client_id": "i", "client_secret": "s"},
        webhook_secrets=secrets,
        options=options,
    )


def jwt(**claims: Any) -> str:
    """A token with these claims and no real signature."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


@pytest.mark.parametrize(
    ("fields", "token", "seconds"),
    [
        ({"expiresIn": 3600}, "x", 3600),
        ({"expires_in": "120"}, "x", 120),
        ({"expiresIn": NOW.timestamp() + 900}, "x", 900),
        ({"expiresIn": NOW.timestamp() - 5}, "x", 0),
        ({}, jwt(exp=NOW.timestamp() + 500), 500),
        ({"expiresIn": "soon"}, jwt(exp="never"), 300),
        ({"expiresIn": None}, "not-a-jwt", 300),
        ({"expiresIn": True}, "a.b.c", 300),
        ({"expiresIn": math.inf}, "a.!!.c", 300),
        ({"expiresIn": 9e8}, "x", 7 * 86_400),
    ],
)
def test_token_life_is_read_in_every_spelling(fields: dict[str, Any], token: str, seconds: float) -> None:
    """A large number is an absolute time on AURA's own clock; nothing readable is 300 s."""
    answer = Answer(200, {}, b"", NOW)
    assert lifetime(fields, token, answer) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("options", "header", "value", "fine"),
    [
        ({}, "authorization", "Bearer two", True),
        ({}, "Authorization", "Bearer one", True),
        ({}, "Authorization", "bearer one", False),
        ({}, "Authorization", "one", False),
        ({}, "Authorization", "Bearer one ", False),
        ({}, "X-Hook", "one", False),
        ({"webhook_header": "X-Hook"}, "x-hook", "one", True),
        ({"webhook_header": "X-Hook", "webhook_scheme": "Token"}, "x-hook", "Token one", True),
        ({"webhook_header": "X-Hook"}, "x-hook", "é", False),
    ],
)
def test_delivery_is_believed_when_it_carries_a_secret(
    options: dict[str, Any], header: str, value: str, fine: bool
) -> None:
    """In the header that we registered."""
    known = account("one", "two", **options)
    if fine:
        PROVIDER.webhooks.verify(known, [(header, value)], b"{}")
    else:
        with pytest.raises(BadSignature):
            PROVIDER.webhooks.verify(known, [(header, value)], b"{}")


def event(message: str, **callout: Any) -> bytes:
    """A delivery's body."""
    return json.dumps({"message": message, "callout": {"id": 7, **callout}}).encode()


@pytest.mark.parametrize(
    ("message", "status", "reread"),
    [
        ("NEW_CALLOUT", Status.REQUESTED, False),
        ("RESPONDER_MANUALLY_DISPATCHED", Status.DISPATCHED, False),
        ("RESPONDER_ACKNOWLEDGED_CALLOUT", Status.ACKNOWLEDGED, False),
        ("RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA", Status.ACKNOWLEDGED, False),
        ("RESPONDER_ARRIVED_ON_SCENE", Status.ON_SCENE, False),
        ("RESPONDER_COMPLETED", Status.COMPLETED, False),
        ("CALLOUT_OWNED", None, False),
        ("CALLOUT_EVENTS_CHANGED", None, True),
        ("CALLOUT_SOFT_CANCELLED_BY_CUSTOMER", Status.CANCELLED, False),
        ("CALLOUT_NO_LONGER_REQUIRES_RESPONSE", Status.CANCELLED, False),
        ("CALLOUT_CLOSED", Status.CLOSED, False),
    ],
)
def test_event_is_interpreted_by_its_message(message: str, status: Status | None, reread: bool) -> None:
    """Every documented name is known; neither id nor time is claimed."""
    found = PROVIDER.webhooks.interpret(account("s"), event(message, predefinedLocationId=3))
    assert (found.status, found.reread, found.known) == (status, reread, True)
    assert (found.provider_alarm_id, found.site_provider_id, found.event_id, found.at) == ("7", "3", None, None)


def test_event_moves_nothing_when_it_is_not_listed() -> None:
    """Subscriptions and customers are not ours."""
    found = PROVIDER.webhooks.interpret(account("s"), b'{"message": "CUSTOMER_UPDATED", "customer": {"id": 1}}')
    assert (found.known, found.status, found.provider_alarm_id) == (False, None, None)


@pytest.mark.parametrize(
    ("unit", "incident", "seconds"),
    [
        ("", {"eta": 5}, None),
        ("minutes", {"eta": 5}, 300),
        ("seconds", {"etaSeconds": "90"}, 90),
        ("seconds", {"eta": "soon"}, None),
        ("seconds", {"eta": -1}, None),
        ("seconds", {}, None),
    ],
)
def test_eta_is_read_only_in_the_configured_unit(unit: str, incident: dict[str, Any], seconds: int | None) -> None:
    """The unit is not public, and is never guessed."""
    body = event("RESPONDER_ACKNOWLEDGED_CALLOUT", incidentInformation=[incident])
    assert PROVIDER.webhooks.interpret(account("s", eta_unit=unit), body).eta_seconds == seconds


def test_delivery_is_one_event_without_an_id() -> None:
    """The callout is its subject."""
    (delivered,) = PROVIDER.webhooks.split(event("CALLOUT_CLOSED"))
    assert (delivered.event_id, delivered.subject) == (None, "7")
    assert delivered.body == b'{"message":"CALLOUT_CLOSED","callout":{"id":7}}'


@pytest.mark.parametrize(
    "change",
    [
        {"reference": ""},
        {"reference": "a\x00b"},
        {"reference": "."},
        {"reference": ".."},
        {"name": " "},
        {"coordinates": None},
        {"coordinates": Coordinates(0, 0)},
        {"coordinates": Coordinates(91, 0)},
        {"coordinates": Coordinates(1, -181)},
        {"coordinates": Coordinates(math.nan, 1)},
    ],
)
def test_site_is_refused_before_it_is_saved(change: dict[str, Any]) -> None:
    """One reason each."""
    assert PROVIDER.sites is not None
    assert list(PROVIDER.sites.check_site(account(), SITE)) == []
    assert len(PROVIDER.sites.check_site(account(), replace(SITE, **change))) == 1


def test_paths_are_templates_of_the_account() -> None:
    """An inferred path can be mended without a release; parts are always encoded."""
    known = account(paths={"site": "/v3/places/{id}"})
    assert url(known, "site", id="a/b") == "https://staging-panic.aura.services/v3/places/a%2Fb"
    assert url(known, "cancel", id="7").endswith("/panic-api/v2/callouts/7/cancel")


@pytest.mark.parametrize(
    ("host", "environment", "fine"),
    [
        ("https://staging-panic.aura.services", "staging", True),
        ("https://panic.aura.services", "production", True),
        ("https://staging-panic.aura.services", "production", False),
        ("https://panic.aura.services", "staging", False),
        ("http://panic.aura.services", "production", False),
        ("http://127.0.0.1:9", "production", True),
        ("https://panic.aura.services", "", False),
    ],
)
def test_account_is_checked_for_host_and_environment(host: str, environment: str, fine: bool) -> None:
    """Staging and production never meet."""
    known = replace(account(), base_url=host, environment=environment)
    assert (list(PROVIDER.check_account(known)) == []) is fine


@pytest.mark.parametrize(
    "options",
    [
        {"note_max": "many"},
        {"paths": {"site": "x"}},
        {"paths": {"sight": "/x"}},
        {"eta_unit": "hours"},
        {"page_size": 0},
    ],
)
def test_account_is_refused_when_an_option_is_wrong(options: dict[str, Any]) -> None:
    """Found when it is saved, not when an alarm fires."""
    assert len(PROVIDER.check_account(account(**options))) == 1


def test_account_is_refused_when_a_credential_is_missing() -> None:
    """Each is named."""
    assert len(PROVIDER.check_account(replace(account(), credentials={}))) == 2
