"""Noonlight's own curl examples ("Standard Alarms"), sent to the sandbox as they stand; host, token and id apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from deploy.sandbox import NoonlightConfig
from deploy.sandbox.noonlight import Noonlight

CREATE = """{
     "location":{
        "address":{
           "line1":"123 Some Street",
           "city":"St. Louis",
           "state":"MO",
           "zip":"63101"
        }
     },
     "name":"John Smith",
     "phone":"15554440003",
     "pin":"1234"
  }"""
LOCATION = """{
     "coordinates":{
        "lat":32.3418,
        "lng":-86.1409,
        "accuracy":5
     }
  }"""
PEOPLE = """[
    {
      "name":"Sue Smith",
      "phone":"14445550003"
    },
    {
      "name":"Sam Smith",
      "phone":"15554440002"
    }
  ]"""
TRIGGER = """[
    {
      "meta":{
        "attribute":"smoke",
        "value":"detected",
        "device_model":"some_model",
        "device_name":"Kitchen Smoke Detector",
        "device_manufacturer":"some_manufacturer"
      },
      "event_type":"alarm.device.activated_alarm",
      "event_time":"2020-04-02T08:11:36Z"
    }
  ]"""
EVENT = """[
    {
      "meta":{
        "attribute":"contact",
        "value":"open",
        "device_model":"some_model",
        "device_name":"Front Door Contact Sensor",
        "device_manufacturer":"some_manufacturer"
      },
      "event_type":"alarm.device.value_changed",
      "event_time":"2020-04-02T08:12:36Z"
    }
  ]"""
CANCEL = """{
     "status":"CANCELED",
     "pin":"1234"
  }"""
CERTIFICATE = """{
    "address":{
      "line1":"123 Some Street",
      "city":"St. Louis",
      "state":"MO",
      "zip":"63101"
    }
  }"""
# The example of a position is for an alarm that was created by coordinates.
MOVING = """{"location": {"coordinates": {"lat": 32.3, "lng": -86.1, "accuracy": 5}},
    "name": "John Smith", "phone": "15554440003", "pin": "1234"}"""


@pytest.fixture
def service() -> Iterator[Noonlight]:
    """A Noonlight of its own for each test."""
    started = Noonlight(NoonlightConfig(token="YOUR_SERVER_TOKEN"))
    started.start()
    yield started
    started.stop()


def post(service: Noonlight, path: str, body: str) -> requests.Response:
    """One example, with its own three headers."""
    headers = {
        "accept": "application/json",
        "authorization": "Bearer YOUR_SERVER_TOKEN",
        "content-type": "application/json",
    }
    return requests.post(f"{service.url}/dispatch/v1/{path}", data=body, headers=headers, timeout=10)


@pytest.mark.parametrize(
    ("create", "part", "example"),
    [
        (MOVING, "locations", LOCATION),
        (CREATE, "people", PEOPLE),
        (CREATE, "events", TRIGGER),
        (CREATE, "events", EVENT),
        (CREATE, "status", CANCEL),
    ],
)
def test_example_is_taken_when_its_alarm_is_there(service: Noonlight, create: str, part: str, example: str) -> None:
    """Each of section 3 and 5, after the create of section 2."""
    created = post(service, "alarms", create)
    assert created.status_code == 201, created.text
    answer = post(service, f"alarms/{created.json()['id']}/{part}", example)
    assert answer.status_code == 201, answer.text


def test_example_of_a_certificate_is_taken(service: Noonlight) -> None:
    """That of section 6; it needs no alarm."""
    answer = post(service, "certificates", CERTIFICATE)
    assert answer.status_code == 201, answer.text
