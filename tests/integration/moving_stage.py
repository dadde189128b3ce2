"""What the stories of moving alarms share: an alarm at coordinates, steps in metres, and what the provider was told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from shared.domain.throttle import distance_m
from shared.store.models import Platform
from tests.town import Town

LAT, LNG = 38.627, -90.1994
HERE = {"coordinates": {"lat": LAT, "lng": LNG, "accuracy": 5}}


def moving(town: Town, **more: Any) -> str:
    """A panic on the road, with its response requested."""
    incident = town.alarm("panic", location=HERE, **more)
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    return incident


def fix(metres: float, *, accuracy: float | None = 5.0, age_s: float | None = None) -> dict[str, Any]:
    """A fix so many metres north, taken so many seconds ago (None: it says nothing of the time)."""
    found: dict[str, Any] = {"lat": LAT + metres / 111_195.08, "lng": LNG}
    if accuracy is not None:
        found["accuracy"] = accuracy
    if age_s is not None:
        found["time"] = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    return found


def push(town: Town, incident: str, *fixes: dict[str, Any]) -> requests.Response:
    """Push one fix, or several at once."""
    body: Any = list(fixes) if len(fixes) > 1 else fixes[0]
    answer = town.post(f"/v1/incidents/{incident}/locations", body)
    town.settle()
    return answer


def time_passes(town: Town, seconds: float = 10) -> None:
    """What was told to the provider, was told so much earlier; what waits, waits so much less."""
    values = {"s": seconds}
    town.change("UPDATE location_fix SET sent_at = sent_at - make_interval(secs => :s)", **values)
    town.change("UPDATE dispatch SET answered_at = answered_at - make_interval(secs => :s)", **values)
    town.change(
        "UPDATE outbox SET next_attempt_at = next_attempt_at - make_interval(secs => :s) WHERE state = 'pending'",
        **values,
    )
    town.settle()


def told(town: Town) -> list[float]:
    """How many metres from the start the positions are that the provider was told, in order."""
    found = []
    for alarm in town.alarms():
        for point in alarm["locations"]:
            found.append(round(distance_m(LAT, LNG, point["lat"], point["lng"])))
    return [float(metres) for metres in found]


@contextmanager
def located(town: Town, **values: Any) -> Iterator[None]:
    """The platform has a location source: its sandbox's, unless told otherwise."""
    sandbox = town.sandbox
    given: dict[str, Any] = {
        "location_source_url": sandbox.platform.location_source_url,
        "location_source_secret": sandbox.config.platform.location_token,
        "location_source_interval_s": 5,
    }
    headers = {"Authorization": f"Bearer {town.key}"}
    answer = requests.put(f"{town.url}/v1/platform", json=given | values, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    try:
        yield
    finally:
        with town.sessions.begin() as session:
            platform = session.get_one(Platform, "default")
            platform.location_source_url, platform.location_source_secret = "", None
