"""Who appears in a run: people whose words occur nowhere else, guarded sites, and the dispatchers' habits."""

from __future__ import annotations

from random import Random
from typing import Any

import requests

from tests.chaos.rig import Rig

# Words that occur nowhere else, so that a hit is a leak; digits are long enough to be no part of an id.
FIRST_NAME, PHONE, PIN, WRONG_PIN, NOTE = "Quintessa", "+12025550173", "83629417", "19284637", "The dog Brunhilde bites"
STREET, CITY, GATE = "7741 Zephyrmoor Lane", "Quarrelton", "Xylograph code 5519088"
PERSONAL = (FIRST_NAME, "2025550173", PIN, WRONG_PIN, "Brunhilde", "Zephyrmoor", CITY, "Xylograph", "5519088")
# How a dispatcher treats an alarm, told by the end of the caller's name, or by the site's reference.
HABITS = ("closes", "contacts", "withdraws", "waits")
SITES_PER_HABIT = 4
PROBE_SITES = 12
MOVING_FROM = (38.63, -90.2)
KINDS = ("burglary", "burglary", "panic", "fire", "medical", "holdup", "other", "trouble", "tamper")


def introduce(rig: Rig) -> list[str]:
    """Give the dispatchers their habits and save the sites; the sites' references."""
    rig.noonlight("_script", scripts=[_noonlight(habit) for habit in HABITS])
    rig.aura("_script", scripts=[_aura(habit) for habit in HABITS])
    references = [f"{habit}-{number}" for habit in HABITS for number in range(SITES_PER_HABIT)]
    probed = [_probe_site(number) for number in range(PROBE_SITES)]
    for number, reference in enumerate(references + probed):
        body = _site(number)
        headers = {"Authorization": f"Bearer {rig.key}"}
        requests.put(f"{rig.url}/v1/sites/{reference}", json=body, headers=headers, timeout=20).raise_for_status()
    waiting = "SELECT count(*) FROM site WHERE provider_site_id IS NULL"
    rig.until(lambda: rig.one(waiting) == 0, within_s=60)
    return references


def alarm(dice: Random, ref: str, sites: list[str]) -> dict[str, Any]:
    """An alarm of any kind, for either provider; some with a PIN, some on the move."""
    body: dict[str, Any] = {"incident_ref": ref, "kind": dice.choice(KINDS), "event_id": f"ev-{ref}"}
    if dice.random() < 0.45:
        return body | {"site_ref": dice.choice(sites)}
    person: dict[str, Any] = {"name": f"{FIRST_NAME} {dice.choice(HABITS)}", "phone": PHONE}
    if dice.random() < 0.4:
        person["pin"] = PIN
    location: dict[str, Any] = {"address": {"line1": STREET, "city": CITY, "state": "MO", "zip": "63144"}}
    if dice.random() < 0.2:
        location = {"coordinates": position(dice)}
    return body | {"provider": "noonlight", "person": person, "location": location}


def probe(number: int, *, at_site: bool) -> dict[str, Any]:
    """A plain alarm that any whole system takes all the way.

    The sites take turns: a doubt from before the healing holds back the other creates of its own site for 30 s.
    """
    ref = f"probe-{number}"
    body: dict[str, Any] = {"incident_ref": ref, "kind": "burglary", "event_id": f"ev-{ref}"}
    if at_site:
        return body | {"site_ref": _probe_site(number)}
    address = {"line1": STREET, "city": CITY, "state": "MO", "zip": "63144"}
    person = {"name": f"{FIRST_NAME} closes", "phone": PHONE}
    return body | {"provider": "noonlight", "person": person, "location": {"address": address}}


def _probe_site(number: int) -> str:
    return f"closes-probe-{number % PROBE_SITES}"


def bad(dice: Random, ref: str) -> tuple[dict[str, Any], bool]:
    """An alarm that must be refused, and whether its key is a right one."""
    address = {"line1": STREET, "city": CITY, "state": "MO", "zip": "63144"}
    body = {"incident_ref": ref, "kind": "panic", "provider": "noonlight", "location": {"address": address}}
    whole = body | {"person": {"name": f"{FIRST_NAME} waits", "phone": PHONE}}
    spoilt: tuple[dict[str, Any], ...] = (
        body,
        whole | {"kind": "picnic"},
        whole | {"surprise": True},
        whole | {"provider": "aura"},
    )
    return (dice.choice(spoilt), True) if dice.random() < 0.8 else (whole, False)


def position(dice: Random) -> dict[str, float]:
    """Somewhere in town."""
    lat, lng = MOVING_FROM
    return {"lat": lat + dice.random() / 50, "lng": lng + dice.random() / 50, "accuracy": 5.0}


def _site(number: int) -> dict[str, Any]:
    return {
        "provider": "aura",
        "name": f"{CITY} depot {number}",
        "address": {"line1": STREET, "city": CITY, "state": "WC", "zip": "8001"},
        "coordinates": {"lat": -33.92 + number / 100, "lng": 18.42},
        "gate_instructions": GATE,
        "contacts": [{"name": f"{FIRST_NAME} keeper", "phone": PHONE}],
    }


def _noonlight(habit: str) -> dict[str, Any]:
    steps = {
        "closes": [("alarm.psap_contacted", 1.0), ("alarm.closed", 4.0)],
        "contacts": [("alarm.psap_contacted", 1.5), ("alarm.psap_contacted", 1.0), ("alarm.closed", 15.0)],
        "withdraws": [("alarm.psap_contacted", 1.0), ("alarm.status.canceled", 3.0)],
        "waits": [("alarm.closed", 30.0)],
    }[habit]
    return {"match": {"name": f"* {habit}"}, "steps": [{"event": event, "after_s": after} for event, after in steps]}


def _aura(habit: str) -> dict[str, Any]:
    steps = {
        "closes": [
            ("RESPONDER_MANUALLY_DISPATCHED", 1.0),
            ("RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA", 1.0),
            ("RESPONDER_ARRIVED_ON_SCENE", 1.0),
            ("RESPONDER_COMPLETED", 1.0),
            ("CALLOUT_CLOSED", 1.0),
        ],
        "contacts": [("CALLOUT_OWNED", 1.0), ("RESPONDER_MANUALLY_DISPATCHED", 2.0), ("CALLOUT_CLOSED", 10.0)],
        "withdraws": [
            ("RESPONDER_MANUALLY_DISPATCHED", 1.0),
            ("CALLOUT_NO_LONGER_REQUIRES_RESPONSE", 2.0),
            ("CALLOUT_CLOSED", 2.0),
        ],
        "waits": [("CALLOUT_CLOSED", 30.0)],
    }[habit]
    match = {"externalReferenceId": f"{habit}-*"}
    return {"match": match, "steps": [{"event": event, "after_s": after} for event, after in steps]}
