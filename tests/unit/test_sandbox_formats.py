"""The sandbox's own strictness: shapes, signatures, tokens, rules and scripts, without a network."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.sandbox import aura_formats, noonlight_formats
from deploy.sandbox.aura_tokens import Tokens
from deploy.sandbox.config import SandboxConfig
from deploy.sandbox.exchange import Answer
from deploy.sandbox.faults import Faults, Rule
from deploy.sandbox.formats import first_problem
from deploy.sandbox.noonlight import sign
from deploy.sandbox.routing import Route
from deploy.sandbox.script import read_scripts

PS = (
    '{"event_id":"5cbdfd07c062772f37d9aaae","event_type":"alarm.psap_contacted",'
    '"event_time":"2019-04-22T17:44:09.018Z","meta":{"alarm_id":"507f191e810c19729de860ea"}}'
)
CL = (
    '{"event_id":"5ca21e7b3634a40f00b94455","event_type":"alarm.closed",'
    '"event_time":"2019-04-22T17:46:03.092Z","meta":{"alarm_id":"507f191e810c19729de860ea"}}'
)
ADDRESS = {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}
COORDINATES = {"lat": 32.3418, "lng": -86.1409, "accuracy": 5}


def alarm(**changes: Any) -> dict[str, Any]:
    """The seed's alarm, with some of its fields changed."""
    start = {"name": "John Smith", "phone": "15554440003", "location": {"address": ADDRESS}}
    return {**start, **changes}


@pytest.mark.parametrize(
    ("secret", "body", "expected"),
    [
        ("Jefe", "what do ya want for nothing?", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
        ("somesecret", "", "IOK/Kx8DnM35qRgIfciYJIMl9KbwQvFy3RJJq6+sdqg="),
        ("somesecret", f"[{PS}]", "HEBFmbB3ZSjDf/6dIcCRxrC/NbTX3tX0035myWLSSN8="),
        ("somesecret", f"[{PS},{CL}]", "HZKfnlUaE8IV7jZ2zuZTbg6C/BsVFwngnCGZOO5jpnE="),
        ("othersecret", f"[{PS}]", "ZuSUmfKelgDl6OUVGW0OEK9yB26WEHD/rbsx+tNJO3A="),
    ],
)
def test_signature_equals_the_published_vector(secret: str, body: str, expected: str) -> None:
    """Base64 HMAC-SHA256 over the raw bytes."""
    assert sign(secret, body.encode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        alarm(),
        alarm(pin="0123", services={"police": True, "fire": False}, instructions={"entry": "Gate 4"}),
        alarm(location={"coordinates": COORDINATES}, owner_id="o", workflow={"id": "w"}),
        alarm(location={"address": {**ADDRESS, "line2": "Unit 2"}}),
    ],
)
def test_alarm_is_accepted_when_documented(body: dict[str, Any]) -> None:
    """Each documented field, in its documented shape."""
    assert first_problem(noonlight_formats.ALARM, body) is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (alarm(phone="+15554440003"), "supported phone format"),
        (alarm(phone="5554440003"), "supported phone format"),
        (alarm(phone=15554440003), "data.phone"),
        (alarm(name=" "), "data.name"),
        (alarm(site="x"), "additional properties"),
        (alarm(location={"address": {**ADDRESS, "zip": "63101-1234"}}), "valid location"),
        (alarm(location={"address": {**ADDRESS, "state": "mo"}}), "state code"),
        (alarm(location={"address": {**ADDRESS, "country": "US"}}), "additional properties"),
        (alarm(location={"address": ADDRESS, "coordinates": COORDINATES}), "either"),
        (alarm(location={}), "either"),
        (alarm(location={"coordinates": {"lat": 1, "lng": 2}}), "'accuracy'"),
        (alarm(location={"coordinates": {**COORDINATES, "lat": "1"}}), "number"),
        (alarm(location={"coordinates": {**COORDINATES, "accuracy": True}}), "number"),
        (alarm(services={"police": "yes"}), "boolean"),
        (alarm(services={"coast_guard": True}), "additional properties"),
        (alarm(instructions={"entry": "x", "exit": "x"}), "additional properties"),
        (alarm(workflow_id="w"), "additional properties"),
        ({"phone": "15554440003", "location": {"address": ADDRESS}}, "'name'"),
        ([], "object"),
    ],
)
def test_alarm_is_refused_when_not_documented(body: Any, says: str) -> None:
    """Unknown keys, wrong types and the formats that are known to be refused."""
    assert says in (first_problem(noonlight_formats.ALARM, body) or "")


@pytest.mark.parametrize(
    ("changes", "fine"),
    [
        ({}, True),
        ({"value": "cleared"}, False),
        ({"attribute": "glass_break"}, False),
        ({"media": "https://example.org/a.jpg"}, False),
        ({"attribute": "camera", "value": "unknown", "media": "https://example.org/a.jpg"}, True),
        ({"device_name": ""}, False),
    ],
)
def test_event_meta_holds_documented_pairs_only(changes: dict[str, str], fine: bool) -> None:
    """A value belongs to its attribute, and media to a camera."""
    meta = {"attribute": "smoke", "value": "detected", "device_model": "m", "device_name": "n"}
    meta = {**meta, "device_manufacturer": "x", **changes}
    event = {
        "event_type": "alarm.device.activated_alarm",
        "event_time": "2020-04-02T08:11:36Z",
        "meta": meta,
    }
    assert (first_problem(noonlight_formats.EVENTS, [event]) is None) is fine


@pytest.mark.parametrize(
    ("changes", "fine"),
    [
        ({}, True),
        ({"latitude": -26.1}, False),
        ({"longitude": "two"}, False),
        ({"latitude": "91"}, False),
        ({"locationIdentifier": ""}, False),
        ({"name": "old field"}, False),
        ({"formattedAddress": "1 Main Road"}, True),
    ],
)
def test_location_wants_coordinates_as_strings(changes: dict[str, Any], fine: bool) -> None:
    """The current reference: string coordinates, two required strings, no field of the earlier generation."""
    site = {"externalReferenceId": "A", "locationIdentifier": "A", "latitude": "-26.1", "longitude": "28.05"}
    assert (first_problem(aura_formats.LOCATION, {**site, **changes}) is None) is fine


def test_token_is_refused_when_over_or_expired_by_command() -> None:
    """A token lives for its lifetime, or until it is expired."""
    tokens = Tokens()
    token = f"Bearer {tokens.issue(1000.0, 60.0)}"
    assert tokens.accepts(token, 1059.0)
    assert not tokens.accepts(token, 1060.0)
    assert not tokens.accepts(token.removeprefix("Bearer "), 1059.0)
    tokens.expire_all()
    assert not tokens.accepts(token, 1059.0)


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("/dispatch/v1/alarms", False),
        ("/dispatch/v1/alarms/abc/status", True),
        ("*/status", True),
        ("/dispatch/v1/alarms/*", True),
        ("/dispatch/v1/alarms/abc", False),
    ],
)
def test_rule_path_is_exact_unless_it_holds_a_star(path: str, fits: bool) -> None:
    """A create is matched without its sub-resources."""
    assert Rule(path).takes("POST", "/dispatch/v1/alarms/abc/status") is fits


def test_rule_is_used_up_after_its_times() -> None:
    """A rule with `times` 2 takes two requests of its method."""
    faults = Faults()
    faults.set("fail", [{"path": "/a", "status": 500, "times": 2, "method": "POST"}])
    methods = ["GET", "POST", "POST", "POST"]
    assert [faults.take("fail", method, "/a") is not None for method in methods] == [False, True, True, False]


@pytest.mark.parametrize("rule", [{}, {"path": "/a"}, {"path": "/a", "status": 500, "time": 1}])
def test_rule_is_refused_when_misspelt(rule: dict[str, Any]) -> None:
    """A control that would do nothing is an error."""
    with pytest.raises(ValueError, match="fail"):
        Faults().set("fail", [rule])


def test_route_captures_one_raw_segment_decoded() -> None:
    """An encoded slash belongs to the reference."""
    route = Route("POST", "/x/{}/callouts", lambda request: Answer(200))
    assert route.match("POST", "/x/a%2Fb%25%23%20%C3%BC/callouts") == ["a/b%# ü"]
    assert route.match("POST", "/x/a/b/callouts") is None
    assert route.match("POST", "/x/%FF/callouts") is None


def test_script_matches_dotted_paths_and_patterns() -> None:
    """A script is for the alarms that its `match` describes."""
    (script,) = read_scripts({"match": {"location.address.city": "St.*", "a": 1}, "steps": [{"event": "e"}]})
    assert script.fits({"location": {"address": {"city": "St. Louis"}}, "a": 1})
    assert not script.fits({"location": {"address": {"city": "Reno"}}, "a": 1})


def test_config_names_an_unknown_option() -> None:
    """A misspelt option stops the start."""
    with pytest.raises(ValueError, match="tokenspelling"):
        SandboxConfig.from_json({"aura": {"options": {"tokenspelling": "snake"}}})
