"""Webhooks of the providers: doubled, shuffled, late, lost, ahead of the answer, and forged."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import requests

from tests.chaos.faults.registry import Story, fault, register
from tests.chaos.rig import Rig

FAMILY = "webhooks"


def _mode(mode: str, delay_s: float = 0.0) -> Story:
    def story(rig: Rig, dice: Random) -> Iterator[None]:
        for service in (rig.noonlight, rig.aura):
            service("_control", webhooks=mode, delay_s=delay_s)
        yield
        for service in (rig.noonlight, rig.aura):
            service("_control", webhooks="normal", delay_s=0.0)

    return story


for _name, _what, _delay in (
    ("duplicated", "duplicate", 0.0),
    ("reordered", "reorder", 1.5),
    ("delayed", "delay", 4.0),
    ("lost", "off", 0.0),
    ("ahead of the create's answer", "early", 0.0),
):
    register(f"webhooks: {_name}", FAMILY, _mode(_what, _delay), hold_s=10.0, brief_s=4.0)


@fault("webhooks: forged", FAMILY, hold_s=6.0, brief_s=3.0)
def _forged(rig: Rig, dice: Random) -> Iterator[None]:
    """Somebody who knows the ids but no secret says that all of it is over; each must be turned away."""
    stop = threading.Event()
    forging = threading.Thread(target=_forge, args=(rig, stop), daemon=True)
    forging.start()
    yield
    stop.set()
    forging.join()


def _forge(rig: Rig, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(0.2):
        number += 1
        for provider, body, headers in _forgeries(rig, number):
            url = f"{rig.url}/webhooks/{provider}"
            with suppress(requests.RequestException):
                answer = requests.post(url, data=json.dumps(body), headers=headers, timeout=10)
                if answer.ok:
                    rig.forgeries_taken += 1


def _forgeries(rig: Rig, number: int) -> list[tuple[str, object, dict[str, str]]]:
    alarms = [str(alarm["id"]) for alarm in rig.sandbox.noonlight.state()["alarms"][-3:]]
    callouts = [callout["id"] for callout in rig.sandbox.aura.state()["callouts"][-3:]]
    closed = [
        {"event_id": f"forged-{number}-{alarm}", "event_type": "alarm.closed", "meta": {"alarm_id": alarm}}
        for alarm in alarms
    ]
    signature = {"X-Noonlight-Signature": "Zm9yZ2Vk" * 4, "Content-Type": "application/json"}
    bearer = {"Authorization": "Bearer forged", "Content-Type": "application/json"}
    made: list[tuple[str, object, dict[str, str]]] = [("noonlight", closed, signature)]
    made += [("aura", {"message": "CALLOUT_CLOSED", "callout": {"id": callout}}, bearer) for callout in callouts]
    return made
