"""Noonlight's formats, signatures and words, without any network."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.alarm import Address, Coordinates
from shared.domain.lifecycle import Status
from shared.providers import registry
from shared.providers.base import Account, BadSignature, Verdict
from shared.providers.noonlight.formats import create_body, entry, phone_digits, problems, zip5
from tests.contract.rig import REQUEST

PROVIDER = registry.get("noonlight")
HEADER = "X-Noonlight-Signature"
PS = (
    '{"event_id":"5cbdfd07c062772f37d9aaae","event_type":"alarm.psap_contacted",'
    '"event_time":"2019-04-22T17:44:09.018Z","meta":{"alarm_id":"507f191e810c19729de860ea"}}'
)
CX = (
    '{"event_id":"5ca21e7b3634a40f00b94454","event_type":"alarm.status.canceled","event_time":"2019-04-22T17:45:03.092Z",'
    '"meta":{"alarm_id":"507f191e810c19729de860ea","canceled_by":{"phone":"15554440003"}}}'
)
CL = (
    '{"event_id":"5ca21e7b3634a40f00b94455","event_type":"alarm.closed","event_time":"2019-04-22T17:46:03.092Z",'
    '"meta":{"alarm_id":"507f191e810c19729de860ea"}}'
)
N11 = '{"id":"ec3d5e6b-c204-4cad-b794-1a7177050632","conclusive":true,"result":"yes"}'
N4 = "HEBFmbB3ZSjDf/6dIcCRxrC/NbTX3tX0035myWLSSN8="


def account(*secrets: str, **options: Any) -> Account:
    """An account at the sandbox host."""
    return Account(
        "noonlight",
        "noonlight",
        "https://api-sandbox.noonlight.com",
        "staging",
        credentials={"token": "t"},
        webhook_secrets=secrets,
        options=options,
    )


def verify(known: Account, signature: str, raw: str) -> None:
    """Verify one header."""
    PROVIDER.webhooks.verify(known, [("host", "x"), (HEADER.lower(), signature)], raw.encode())


@pytest.mark.parametrize(
    ("secret", "raw", "signature"),
    [
        pytest.param("Jefe", "what do ya want for nothing?", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=", id="K0"),
        pytest.param("somesecret", "", "IOK/Kx8DnM35qRgIfciYJIMl9KbwQvFy3RJJq6+sdqg=", id="N1"),
        pytest.param("somesecret", "{}", "x67/+UdxFiD5GYiVw07jp1/lBgP7lyj3mupoBrrta7Y=", id="N2"),
        pytest.param("somesecret", "[]", "0lpcncRA8j+1LTm1V3UCwhcsuVwYw8+djKi+Trmu05g=", id="N3"),
        pytest.param("somesecret", f"[{PS}]", N4, id="N4"),
        pytest.param("somesecret", f"[{CX}]", "EgNuxSOy9LFnwYqyx5f/BfzA9pgX6/042aeXTWVi6aw=", id="N5"),
        pytest.param("somesecret", f"[{CL}]", "WIWzBEmFYjJZ9b74iOX+zIm8i0IW9ZdNKJDMBhzFgHw=", id="N6"),
        pytest.param("somesecret", f"[{PS},{CL}]", "HZKfnlUaE8IV7jZ2zuZTbg6C/BsVFwngnCGZOO5jpnE=", id="N7"),
        pytest.param("somesecret", PS, "6uSYf9ncMBqFcTTDsFHshQB61lvkcQicLiNmegLkJSg=", id="N10"),
        pytest.param("somesecret", N11, "Htficg5qTyb0UQC5pGxis19J5WpkoWCVC6gZyLqtUFU=", id="N11"),
        pytest.param("othersecret", f"[{PS}]", "ZuSUmfKelgDl6OUVGW0OEK9yB26WEHD/rbsx+tNJO3A=", id="N16"),
    ],
)
def test_signature_is_good_for_the_known_vectors(secret: str, raw: str, signature: str) -> None:
    """Also as the second secret of a rotation."""
    verify(account(secret), signature, raw)
    verify(account("new", secret), signature, raw)


@pytest.mark.parametrize(
    ("signature", "raw"),
    [
        pytest.param(N4, f"[{PS}] ", id="a byte more"),
        pytest.param(N4, f"[{PS}]".replace("9aaae", "9aaaf"), id="a byte changed"),
        pytest.param("1c404599b0776528c37ffe9d21c091c6b0bf35b4d7ded5f4d37e66c962d248df", f"[{PS}]", id="hex"),
        pytest.param(N4.replace("/", "_"), f"[{PS}]", id="base64url"),
        pytest.param(N4.rstrip("="), f"[{PS}]", id="no padding"),
        pytest.param(N4.replace("N8=", "N9="), f"[{PS}]", id="loose bits"),
        pytest.param(N4 + "\n", f"[{PS}]", id="a line break"),
        pytest.param("", f"[{PS}]", id="empty"),
        pytest.param("é" * 44, f"[{PS}]", id="not ASCII"),
        pytest.param("ZuSUmfKelgDl6OUVGW0OEK9yB26WEHD/rbsx+tNJO3A=", f"[{PS}]", id="another secret's"),
    ],
)
def test_signature_is_bad_when_anything_differs(signature: str, raw: str) -> None:
    """Strict Base64, exact bytes."""
    with pytest.raises(BadSignature):
        verify(account("somesecret"), signature, raw)


def test_signature_over_reserialised_json_is_good_only_by_option() -> None:
    """What the provider's own sample signs."""
    pretty = f"[ {PS.replace(',', ', ')} ]"
    with pytest.raises(BadSignature):
        verify(account("somesecret"), N4, pretty)
    verify(account("somesecret", signature_canonical_fallback=True), N4, pretty)


def test_delivery_is_split_into_its_events() -> None:
    """An array or a bare object, with id and alarm of each."""
    for raw, count in ((f"[{PS}, {CL}]", 2), (PS, 1), ("[]", 0)):
        assert len(PROVIDER.webhooks.split(raw.encode())) == count
    (event,) = PROVIDER.webhooks.split(PS.encode())
    assert (event.event_id, event.subject) == ("5cbdfd07c062772f37d9aaae", "507f191e810c19729de860ea")
    assert event.body == PS.encode()


@pytest.mark.parametrize(
    ("raw", "status"), [(PS, Status.AUTHORITIES_CONTACTED), (CX, Status.CANCELLED), (CL, Status.CLOSED)]
)
def test_event_is_interpreted_without_personal_data(raw: str, status: Status) -> None:
    """The canceller's phone stays in the stored body."""
    event = PROVIDER.webhooks.interpret(account("s"), raw.encode())
    assert (event.status, event.known, event.provider_alarm_id) == (status, True, "507f191e810c19729de860ea")
    assert event.at is not None
    assert event.at.date() == datetime(2019, 4, 22, tzinfo=UTC).date()
    assert "15554440003" not in repr(event)


def test_event_moves_nothing_when_its_name_is_unknown() -> None:
    """ "At minimum" three are documented."""
    event = PROVIDER.webhooks.interpret(account("s"), PS.replace("psap_contacted", "dispatched").encode())
    assert (event.name, event.status, event.known) == ("alarm.dispatched", None, False)


@pytest.mark.parametrize(
    ("phone", "digits"),
    [
        ("15554440003", "15554440003"),
        ("14445550003", "14445550003"),
        ("+1 (555) 444-0003", "15554440003"),
        ("555.444.0003", "15554440003"),
        ("555 444 0003 ext. 5", "15554440003"),
        ("4440003", None),
        ("+44 20 7946 0958", None),
        ("911", None),
        ("", None),
        ("call me", None),
    ],
)
def test_phone_becomes_digits_with_the_country_code(phone: str, digits: str | None) -> None:
    """No `+`: the provider refuses it."""
    assert phone_digits(phone) == digits


@given(st.text())
def test_phone_never_raises(phone: str) -> None:
    """Eleven digits, or None."""
    digits = phone_digits(phone)
    assert digits is None or (len(digits) == 11 and digits.isascii() and digits.isdecimal())


@pytest.mark.parametrize(
    ("text", "five"),
    [
        ("63101", "63101"),
        ("63101-1234", "63101"),
        (" 631011234 ", "63101"),
        ("6310", None),
        ("631012", None),
        ("٦٣١٠١", None),
    ],
)
def test_zip_is_cut_to_five_digits(text: str, five: str | None) -> None:
    """ZIP+4 would be refused when the alarm fires."""
    assert zip5(text) == five


ADDRESS = Address("1 A Street", "St. Louis", "mo", "63101")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"person": None}, "person"),
        ({"person": replace(REQUEST.person, phone="911")}, "phone"),  # type: ignore[type-var]
        ({"person": replace(REQUEST.person, name="\x00 ")}, "name"),  # type: ignore[type-var]
        ({"services": frozenset()}, "service"),
        ({"services": frozenset({"other"})}, "allow_other"),
        ({"services": frozenset({"army"})}, "services"),
        ({"address": replace(ADDRESS, state="Missouri")}, "state"),
        ({"address": replace(ADDRESS, zip="1")}, "ZIP"),
        ({"address": replace(ADDRESS, line1=" ")}, "line1"),
        ({"address": replace(ADDRESS, city="")}, "city"),
        ({"site": replace(REQUEST.site, address=None)}, "address"),  # type: ignore[type-var]
        ({"site": None}, "address or coordinates"),
        ({"site": None, "coordinates": Coordinates(0, 0, 5)}, "place"),
        ({"site": None, "coordinates": Coordinates(float("nan"), 1, 5)}, "place"),
    ],
)
def test_request_is_refused_before_it_is_sent(change: dict[str, Any], word: str) -> None:
    """One reason, which quotes no value."""
    (reason,) = problems(account(), replace(REQUEST, **change))
    assert word in reason
    assert "Street" not in reason


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"address": replace(ADDRESS, state="DC")}, "state"),
        ({"address": replace(ADDRESS, state="ON", country="CA")}, "state US"),
        ({"site": None, "coordinates": Coordinates(-33.92, 18.42, 5)}, "outside"),
        ({"site": None, "coordinates": Coordinates(-74.006, 40.7128, 5)}, "exchanged"),
        ({"site": None, "coordinates": Coordinates(18.47, -66.12, 5)}, "outside"),
        ({"address": ADDRESS}, ""),
        ({"address": replace(ADDRESS, country="us")}, ""),
        ({"site": None, "coordinates": Coordinates(38.63, -90.2, 5)}, ""),
        ({"site": None, "coordinates": Coordinates(52.9, 173.1, 5)}, ""),
        ({"site": None, "coordinates": Coordinates(21.31, -157.86, 5)}, ""),
    ],
)
def test_coverage_is_doubted_and_never_a_reason_to_send_nobody(change: dict[str, Any], word: str) -> None:
    """The 50 states; elsewhere the alarm goes out, and a person is told."""
    request = replace(REQUEST, **change)
    found = PROVIDER.dispatch.doubts(account(), request)
    assert problems(account(), request) == []
    assert len(found) == len(word.split())
    assert all(part in reason for part, reason in zip(word.split(), found, strict=True))


def test_territory_is_covered_when_the_account_names_it() -> None:
    """By address and by coordinates."""
    known = account(regions=["PR"])
    for change in ({"address": replace(ADDRESS, state="pr")}, {"site": None, "coordinates": Coordinates(18.4, -66.1)}):
        assert not PROVIDER.dispatch.doubts(known, replace(REQUEST, **change))


def test_request_is_fine_when_its_region_is_allowed() -> None:
    """DC and the territories by an account's option; `other` too."""
    request = replace(REQUEST, address=replace(ADDRESS, state="dc"), services=frozenset({"other"}))
    known = account(regions=["DC"], allow_other=True)
    assert problems(known, request) == []
    assert not PROVIDER.dispatch.doubts(known, request)
    assert create_body(known, request)["location"]["address"]["state"] == "DC"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, {}),
        ({"workflow": "w"}, {"workflow": {"id": "w"}}),
        ({"workflow": "w", "workflow_style": "flat"}, {"workflow_id": "w"}),
    ],
)
def test_workflow_is_sent_in_the_configured_shape(options: dict[str, Any], part: dict[str, Any]) -> None:
    """Two public clients disagree."""
    body = create_body(account(**options), REQUEST)
    assert {key: value for key, value in body.items() if key.startswith("workflow")} == part


def test_entry_starts_with_test_and_is_cut_at_the_limit() -> None:
    """What matters most stands first; control characters are gone."""
    context = (("Alarm", "fire\nPOLICE: no"), ("TEST", "send nobody"), ("REF", "REF-77"), ("NOTES", "x" * 900))
    text = entry(account(), replace(REQUEST, test=True, context=context))
    assert text.startswith("TEST: send nobody | ALARM: fire POLICE: no | REF: REF-77 | NOTES: xxx")
    assert len(text) == 500
    assert text.endswith("…")
    assert len(entry(account(entry_max=50), REQUEST)) <= 50


@pytest.mark.parametrize(
    ("host", "environment", "fine"),
    [
        ("https://api-sandbox.noonlight.com", "staging", True),
        ("https://api.noonlight.com/dispatch/v1", "production", True),
        ("https://api-sandbox.noonlight.com", "production", False),
        ("https://api.noonlight.com", "staging", False),
        ("https://noonlight.com.example", "production", False),
        ("https://evilnoonlight.com", "production", False),
        ("http://api.noonlight.com", "production", False),
        ("http://127.0.0.1:8000", "staging", True),
        ("http://localhost:8000", "production", True),
        ("https://api.noonlight.com", "test", False),
    ],
)
def test_account_is_checked_for_host_and_environment(host: str, environment: str, fine: bool) -> None:
    """A sandbox token in production fails only when the alarm fires."""
    known = replace(account(), base_url=host, environment=environment)
    assert (list(PROVIDER.check_account(known)) == []) is fine


@pytest.mark.parametrize(
    "options", [{"entry_max": 10}, {"entry_max": "x"}, {"regions": "DC"}, {"workflow_style": "round"}]
)
def test_account_is_refused_when_an_option_is_wrong(options: dict[str, Any]) -> None:
    """Found when it is saved, not when an alarm fires."""
    assert len(PROVIDER.check_account(account(**options))) == 1


def test_account_is_refused_when_it_has_no_token() -> None:
    """Nothing could be sent."""
    assert PROVIDER.check_account(replace(account(), credentials={}))


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({"id": "t1", "conclusive": True, "result": "yes"}, Verdict("t1", "yes")),
        ({"id": "t1", "conclusive": True, "result": "no"}, Verdict("t1", "no")),
        ({"id": "t1", "conclusive": False, "error": "timeout"}, Verdict("t1", "inconclusive", "timeout")),
        ({"id": "t1", "conclusive": False, "error": "a new one"}, Verdict("t1", "inconclusive", "a new one")),
        ({"id": "t1", "conclusive": True, "result": "maybe"}, Verdict("t1", "inconclusive")),
        ({"id": "t1", "event_type": "alarm.closed", "conclusive": True}, None),
        ({"id": "t1", "conclusive": "yes"}, None),
        ({"conclusive": True, "result": "yes"}, None),
    ],
)
def test_result_of_a_verification_is_told_from_a_dispatch_event(body: dict[str, Any], verdict: Verdict | None) -> None:
    """By its keys; it comes with an id of its own, so that a repeat is known."""
    (event,) = PROVIDER.webhooks.split(json.dumps(body).encode())

    assert PROVIDER.webhooks.interpret(account("s"), event.body).verdict == verdict
    assert (event.event_id == "verification:t1") == (verdict is not None)
