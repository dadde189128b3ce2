"""The webhooks that every contestant gets: the same events in the same order, signed as the provider signs them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

SECRET = "a-webhook-secret-of-the-bench"
# What the provider says of each alarm, in this order; the second ends it.
STORY = ("alarm.psap_contacted", "alarm.closed")
LAST_STATUS = {"alarm.psap_contacted": "authorities_contacted", "alarm.closed": "closed"}
# A provider delivers at least once: this share comes twice. And what is near in time may overtake.
TWICE = 0.02
SPREAD = 200


@dataclass(frozen=True)
class Event:
    """One delivery. A repeated one is equal."""

    event_id: str
    alarm: int
    name: str

    def body(self) -> bytes:
        """The delivery as it goes over the wire."""
        event = {
            "event_type": self.name,
            "event_id": self.event_id,
            "event_time": "2026-05-01T12:00:00.000Z",
            "meta": {"alarm_id": alarm_id(self.alarm)},
        }
        return json.dumps([event], separators=(",", ":")).encode()


def alarm_id(number: int) -> str:
    """The provider's id of the alarm of an incident."""
    return f"alarm-{number:08d}"


def sequence(first: int, alarms: int, seed: int) -> list[Event]:
    """The events of `alarms` alarms from number `first` on; the same for a seed."""
    dice = random.Random(seed)
    placed: list[tuple[float, Event]] = []
    for place, number in enumerate(range(first, first + alarms)):
        for step, name in enumerate(STORY):
            event = Event(f"event-{dice.getrandbits(64):016x}", number, name)
            at = place + step * SPREAD / 2 + dice.random() * SPREAD
            placed.append((at, event))
            if dice.random() < TWICE:
                placed.append((at + dice.random() * SPREAD, event))
    placed.sort(key=lambda pair: pair[0])
    return [event for _, event in placed]


def request(event: Event, path: str, port: int) -> bytes:
    """A whole signed request."""
    body = event.body()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, hashlib.sha256))
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        b"X-Noonlight-Signature: %b\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), port, signature, len(body), body)
    )


def expected(events: Iterable[Event]) -> dict[str, tuple[str, int]]:
    """What must stand in the end: for each alarm its last status and how many distinct events it had."""
    heard: dict[int, set[str]] = defaultdict(set)
    for event in events:
        heard[event.alarm].add(event.name)
    last = {alarm: max(names, key=STORY.index) for alarm, names in heard.items()}
    return {alarm_id(alarm): (LAST_STATUS[last[alarm]], len(names)) for alarm, names in heard.items()}
