"""What only Noonlight does, at its sandbox."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.alarm import Coordinates, Device, Signal
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
