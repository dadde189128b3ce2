"""What only Noonlight does, at its sandbox."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.alarm import Coordinates, Device, Person, Signal
from shared.domain.kinds import Kind
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from tests.contract.rig import Rig

DOCUMENTED = {"code": 500, "message": "Server Error", "details": "Error creating alarm"}


def last_body(rig: Rig, path: str | None = None) -> Any:
    """The body of the last request."""
    return json.loads(rig.log(path)[-1]["body"])


def event(rig: Rig, *, trigger: bool, **changes: Any) -> Outcome:
    """One device event on a new alarm."""
    assert rig.provider.events is not None
    request = rig.request
    signal = Signal(request.kind, request.occurred_at, trigger, request.triggered_by, request.device)
    return rig.provider.events.send_events(rig.call(), rig.account, rig.created(), [replace(signal, **changes)])


def test_create_sends_the_documented_body(noonlight: Rig) -> None:
    """Digits with the country code, a 5-digit ZIP, only services that are wanted, our id as the owner's."""
    noonlight.created()
    assert last_body(noonlight) == {
        "name": "John Smith",
        "phone": "15554440003",
        "pin": "1234",
        "location": {
            "address": {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"},
        },
        "services": {"police": True},
        "instructions": {"entry": "REFERENCE: REF-77 | ALARM: burglary | ZONE: front door"},
        "owner_id": "in_1",
    }


def test_create_sends_coordinates_when_there_is_no_site(noonlight: Rig) -> None:
    """A moving person; an unknown accuracy is said."""
    noonlight.request = replace(noonlight.request, site=None, coordinates=Coordinates(38.6, -90.2))
    noonlight.created()
    body = last_body(noonlight)
    assert body["location"] == {"coordinates": {"lat": 38.6, "lng": -90.2, "accuracy": 100}}
    assert "POSITION: accuracy unknown" in body["instructions"]["entry"]


@pytest.mark.parametrize("body", [DOCUMENTED, DOCUMENTED | {"key": "some_key"}])
def test_create_is_temporary_when_the_error_is_documented(noonlight: Rig, body: dict[str, Any]) -> None:
    """Noonlight asks for a retry; the next send is shown as a possible double all the same."""
    noonlight.misbehave("fail", status=500, body=body, times=1)
    outcome = noonlight.create()
    assert isinstance(outcome, Temporary)
    assert outcome.after_server_error
    assert "Server Error" in outcome.reason


@pytest.mark.parametrize("change", [{"code": "500"}, {"code": 502}, {"code": True}, {"message": None}])
def test_create_is_unknown_when_the_error_body_is_another(noonlight: Rig, change: dict[str, Any]) -> None:
    """A gateway's own JSON is not the provider's word."""
    noonlight.misbehave("fail", status=500, body=DOCUMENTED | change, times=1)
    assert isinstance(noonlight.create(), Unknown)


def test_create_is_unknown_when_no_id_can_be_read(noonlight: Rig) -> None:
    """Accepted, but not to be followed."""
    noonlight.misbehave("fail", status=201, body={"status": "ACTIVE"}, times=1)
    assert isinstance(noonlight.create(), Unknown)


def test_cancel_is_refused_when_the_pin_is_wrong(noonlight: Rig) -> None:
    """Any 400 but `alarm_canceled` is a refusal."""
    alarm = noonlight.created()
    path = f"/dispatch/v1/alarms/{alarm}/status"
    body = {"code": 400, "key": "invalid_pin", "message": "The pin 9999 is wrong"}
    noonlight.control(fail=[{"path": path, "status": 400, "body": body, "times": 1}])
    outcome = noonlight.provider.dispatch.cancel(noonlight.call(), noonlight.account, alarm, "9999")
    assert isinstance(outcome, Permanent)
    assert "9999" not in outcome.reason


def test_cancel_leaves_out_the_pin_when_there_is_none(noonlight: Rig) -> None:
    """An empty one would be a wrong one."""
    noonlight.request = replace(noonlight.request, person=replace(noonlight.request.person, pin=None))  # type: ignore[type-var]
    alarm = noonlight.created()
    noonlight.provider.dispatch.cancel(noonlight.call(), noonlight.account, alarm, None)
    assert last_body(noonlight, f"/dispatch/v1/alarms/{alarm}/status") == {"status": "CANCELED"}


@pytest.mark.parametrize(
    ("trigger", "by", "name"),
    [
        (True, "device", "alarm.device.activated_alarm"),
        (True, "person", "alarm.person.activated_alarm"),
        (False, "device", "alarm.device.value_changed"),
    ],
)
def test_event_is_accepted_when_a_word_fits(noonlight: Rig, trigger: bool, by: str, name: str) -> None:
    """An array of one, in the seed's shape."""
    assert isinstance(event(noonlight, trigger=trigger, triggered_by=by), Accepted)
    (sent,) = last_body(noonlight, "/dispatch/v1/alarms/*/events")
    assert (sent["event_type"], sent["event_time"]) == (name, "2026-11-22T10:00:00.000Z")
    assert sent["meta"] == {
        "attribute": "contact",
        "value": "open",
        "device_name": "Front door",
        "device_model": "unknown",
        "device_manufacturer": "unknown",
    }


def test_event_takes_the_kind_when_the_device_says_nothing(noonlight: Rig) -> None:
    """Smoke has a word of its own."""
    assert isinstance(event(noonlight, trigger=True, device=None, kind=Kind.SMOKE), Accepted)


@pytest.mark.parametrize("device", [None, Device("co", "detected"), Device("contact", "ajar")])
def test_event_is_permanent_when_no_word_fits(noonlight: Rig, device: Device | None) -> None:
    """Nothing is sent rather than something near."""
    outcome = event(noonlight, trigger=True, device=device, kind=Kind.CO)
    assert outcome == Permanent("no word for co")


@pytest.mark.parametrize("flat", [False, True])
def test_workflow_is_taken_in_the_agreed_shape_only(noonlight: Rig, flat: bool) -> None:
    """Two public clients disagree; the account's option says which it is."""
    noonlight.control(flat_workflow=flat)
    agreed = {"workflow": "w-1", "workflow_style": "flat" if flat else "object"}
    other = {"workflow": "w-1", "workflow_style": "object" if flat else "flat"}
    noonlight.account = replace(noonlight.account, options=other)
    assert isinstance(noonlight.create(), Permanent)
    noonlight.account = replace(noonlight.account, options=agreed)
    noonlight.created()
    assert last_body(noonlight).get("workflow_id" if flat else "workflow") == ("w-1" if flat else {"id": "w-1"})


def test_token_is_never_shown_to_the_other_environments_host(noonlight: Rig) -> None:
    """However the row came to name it: nothing is sent."""
    account = replace(noonlight.account, base_url="https://api.noonlight.com", environment="staging")
    outcome = noonlight.provider.dispatch.create(noonlight.call(), account, noonlight.request)
    assert outcome == Temporary("the sandbox host belongs to environment staging, and only it")


def test_position_is_sent_as_documented(noonlight: Rig) -> None:
    """Coordinates in their wrapper; refused for an alarm at an address."""
    locations = noonlight.provider.locations
    assert locations is not None
    point = Coordinates(32.3418, -86.1409, 5)
    static = locations.send_location(noonlight.call(), noonlight.account, noonlight.created(), point)
    assert isinstance(static, Permanent)
    noonlight.request = replace(noonlight.request, site=None, coordinates=Coordinates(38.6, -90.2, 5))
    outcome = locations.send_location(noonlight.call(), noonlight.account, noonlight.created(), point)
    assert isinstance(outcome, Accepted)
    body = last_body(noonlight, "/dispatch/v1/alarms/*/locations")
    assert body == {"coordinates": {"lat": 32.3418, "lng": -86.1409, "accuracy": 5}}


def test_people_are_sent_as_documented_and_once(noonlight: Rig) -> None:
    """An array; a second call is refused for good."""
    people = noonlight.provider.people
    assert people is not None
    alarm = noonlight.created()
    household = [Person("Sue Smith", "14445550003"), Person("Sam Smith", "+1 555 444 0002", "0042")]
    first = people.send_people(noonlight.call(), noonlight.account, alarm, household)
    second = people.send_people(noonlight.call(), noonlight.account, alarm, household)
    assert isinstance(first, Accepted)
    assert isinstance(second, Permanent)
    assert last_body(noonlight, "/dispatch/v1/alarms/*/people") == [
        {"name": "Sue Smith", "phone": "14445550003"},
        {"name": "Sam Smith", "phone": "15554440002", "pin": "0042"},
    ]


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({}, {"name": "John Smith", "phone": "15554440003", "pin": "1234", "height": 180, "dob": "1980-02-29"}),
        ({"person_update": "changes"}, {"height": 180, "dob": "1980-02-29"}),
        ({"person_update": "changes", "person_keys": {"height": "height_cm"}}, {"height_cm": 180, "dob": "1980-02-29"}),
    ],
)
def test_person_is_updated_as_the_owner(noonlight: Rig, options: dict[str, Any], body: dict[str, Any]) -> None:
    """PUT by the id that the create carried; names of fields are an option, since they are not public."""
    update = noonlight.provider.person
    assert update is not None
    account = replace(noonlight.account, options=options)
    told = {"height": 180, "date_of_birth": "1980-02-29"}
    alarm, person = noonlight.created(), noonlight.request.person
    outcome = update.update_person(noonlight.call(), account, alarm, noonlight.request.incident_id, person, told)
    assert isinstance(outcome, Accepted)
    assert last_body(noonlight, "/dispatch/v1/alarms/*/people/*") == body
    assert isinstance(update.update_person(noonlight.call(), account, alarm, "other", person, told), Permanent)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (("door", "opened"), ("contact", "open")),
        (("Motion Sensor", "Detected"), ("motion", "detected")),
        (("smoke", "cleared"), ("smoke", "clear")),
        (("leak", "detected"), ("water_leak", "detected")),
        (("network", "disconnected"), ("network_connection", "lost")),
        (("camera", "person seen"), ("camera", "unknown")),
        (("lock", "door_open"), ("lock", "door_open")),
    ],
)
def test_device_is_said_in_the_words_that_exist(noonlight: Rig, given: tuple[str, str], sent: tuple[str, str]) -> None:
    """The sandbox checks attribute and value as a public client does."""
    assert isinstance(event(noonlight, trigger=False, device=Device(*given)), Accepted)
    (said,) = last_body(noonlight, "/dispatch/v1/alarms/*/events")
    assert (said["meta"]["attribute"], said["meta"]["value"]) == sent
