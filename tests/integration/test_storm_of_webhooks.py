"""A thousand webhooks, each three times, shuffled, from eight connections, a tenth early: each is told once."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from deploy.embedded import Embedded
from deploy.sandbox.noonlight import sign
from shared.domain.lanes import Lane
from tests.integration.incident_stage import (
    ACKNOWLEDGED,
    ARRIVED,
    CLOSED,
    COMPLETED,
    DISPATCHED,
    another_worker,
    await_that,
)
from tests.town import Town, open_town
from workers.engine import Engine

HOMES, SITES = 60, 50
EARLY_HOMES, EARLY_SITES = 6, 5
HOME_STEPS = ["alarm.psap_contacted"] * 9 + ["alarm.closed"]
# Beside NEW_CALLOUT, and CALLOUT_EVENTS_CHANGED for our own note, which the sandbox sends by itself.
SITE_STEPS = ["CALLOUT_OWNED", DISPATCHED, ACKNOWLEDGED, ARRIVED, COMPLETED, CLOSED]
SITE_EVENTS = {"NEW_CALLOUT", "CALLOUT_EVENTS_CHANGED", *SITE_STEPS}
CONNECTIONS = 8
COPIES = 3


@dataclass(frozen=True)
class Webhook:
    """One delivery as its provider would sign it."""

    path: str
    body: bytes
    headers: dict[str, str]


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """With the patience of a real one: creates hang for seconds while their webhooks arrive."""
    with open_town(embedded) as town:
        town.noonlight("_control", webhooks="off")
        town.aura("_control", webhooks="off")
        yield town


def _raise(town: Town, homes: range, sites: range) -> None:
    for number in homes:
        town.alarm("burglary", ref=f"home-{number}", message=f"home-{number}")
    for number in sites:
        town.site_alarm(f"site-{number}", "burglary", ref=f"site-{number}")


def _step_all(town: Town, homes: set[str], sites: set[int]) -> None:
    for alarm in homes:
        for event in HOME_STEPS:
            town.noonlight("_step", id=alarm, event=event)
    for callout in sites:
        for event in SITE_STEPS:
            town.aura("_step", id=callout, event=event)


def _webhooks(town: Town) -> list[Webhook]:
    given = town.sandbox.config
    found = []
    for sent in town.noonlight("_state")["webhooks"]:
        body = sent["body"].encode()
        found.append(
            Webhook("/webhooks/noonlight", body, {"X-Noonlight-Signature": sign(given.noonlight.webhook_secret, body)})
        )
    for sent in town.aura("_state")["webhooks"]:
        headers = {"Authorization": f"Bearer {given.aura.webhook_secret}"}
        found.append(Webhook("/webhooks/aura", sent["body"].encode(), headers))
    return found


def _deliver(town: Town, webhooks: list[Webhook]) -> None:
    """From eight connections at once; a 503 is tried again, as providers do, and anything else fails."""
    refused: list[int] = []

    def send(mine: list[Webhook]) -> None:
        with requests.Session() as session:
            for one in mine:
                headers = {"Content-Type": "application/json", **one.headers}
                for _ in range(5):
                    answer = session.post(f"{town.url}{one.path}", data=one.body, headers=headers, timeout=20)
                    if answer.status_code != 503:
                        break
                if answer.status_code != 200:
                    refused.append(answer.status_code)

    threads = [threading.Thread(target=send, args=(webhooks[n::CONNECTIONS],)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


def _play(town: Town, dice: random.Random) -> list[Webhook]:
    """Ordinary alarms first; then a tenth whose creates hang while all that follows them is delivered."""
    for number in range(SITES):
        town.guarded_site(f"site-{number}", synced=False)
    town.until(lambda: town.one("SELECT count(*) FROM site WHERE provider_site_id IS NULL") == 0)
    _raise(town, range(EARLY_HOMES, HOMES), range(EARLY_SITES, SITES))
    town.until(lambda: town.one("SELECT count(*) FROM incident WHERE status = 'requested'") == 99)
    town.settle()
    known = {alarm["id"] for alarm in town.alarms()}, {callout["id"] for callout in town.callouts()}
    _step_all(town, *known)
    ordinary = _webhooks(town)

    hang = {"seconds": 10.0, "work": "before", "method": "POST"}
    town.noonlight("_control", hang=[{"path": "/dispatch/v1/alarms", **hang}])
    town.aura("_control", hang=[{"path": "*/callouts", **hang}])
    _raise(town, range(EARLY_HOMES), range(EARLY_SITES))
    town.turn(Lane.INTAKE)
    creating = threading.Thread(target=Engine(town.deps, Lane.DISPATCH, 32).drain)
    creating.start()
    await_that(lambda: len(town.alarms()) == HOMES and len(town.callouts()) == SITES)
    _step_all(
        town,
        {alarm["id"] for alarm in town.alarms()} - known[0],
        {callout["id"] for callout in town.callouts()} - known[1],
    )
    for callout in town.callouts():
        if callout["id"] not in known[1]:
            town.aura("_step", id=callout["id"], event="CALLOUT_EVENTS_CHANGED")
    known_already = {one.body for one in ordinary}
    early = [one for one in _webhooks(town) if one.body not in known_already]
    _deliver(town, dice.sample(early, len(early)))
    assert town.one("SELECT count(*) FROM dispatch WHERE outcome = 'sending'") == EARLY_HOMES + EARLY_SITES
    again = (ordinary + early) * (COPIES - 1) + ordinary
    dice.shuffle(again)
    _deliver(town, again)
    creating.join()
    return ordinary + early


def test_every_event_is_told_once_when_a_thousand_webhooks_storm(town: Town) -> None:
    """Each provider event on each timeline exactly once; every incident closed; every step written back in order."""
    with another_worker(town, Lane.OUTGOING), another_worker(town, Lane.INTAKE), another_worker(town, Lane.INTAKE):
        sent = _play(town, random.Random(7))
    town.until(lambda: _at_rest(town), within_s=30)

    assert len(sent) == HOMES * len(HOME_STEPS) + SITES * len(SITE_EVENTS) == 1000
    _check_timelines(town, sent)
    _check_write_backs(town)
    assert (len(town.creates()), len(town.creates("aura"))) == (HOMES, SITES)
    assert town.rows("SELECT state FROM inbox WHERE state <> 'done'") == []
    assert town.rows("SELECT kind FROM notice") == []


def _at_rest(town: Town) -> bool:
    return not town.rows(
        "SELECT 1 FROM inbox WHERE state = 'pending' UNION SELECT 1 FROM outbox WHERE state = 'pending'"
    )


def _check_timelines(town: Town, sent: list[Webhook]) -> None:
    wanted: dict[str, set[str]] = defaultdict(set)
    for one in sent:
        if one.path == "/webhooks/noonlight":
            (event,) = json.loads(one.body)
            wanted[event["meta"]["alarm_id"]].add(f"event:{event['event_id']}")
    legs = town.rows(
        "SELECT i.incident_ref, i.status, d.provider_alarm_id FROM incident i JOIN dispatch d ON d.incident_id = i.id"
    )
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for ref, effect, name in town.rows(
        "SELECT i.incident_ref, t.effect, t.detail->>'provider_event' FROM timeline t "
        "JOIN incident i ON i.id = t.incident_id WHERE t.detail ? 'provider_event' AND t.effect NOT LIKE '%:read:%'"
    ):
        told[ref][effect if ref.startswith("home") else name] += 1
    assert len(legs) == HOMES + SITES
    for ref, status, provider_alarm_id in legs:
        assert status == "closed", ref
        assert set(told[ref]) == (wanted[provider_alarm_id] if ref.startswith("home") else SITE_EVENTS), ref
        assert set(told[ref].values()) == {1}, ref


def _check_write_backs(town: Town) -> None:
    arrived: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in town.platform("_writebacks")["items"]:
        arrived[item["body"]["incident_ref"]].append(item["body"])
    for ref, steps in town.rows(
        "SELECT i.incident_ref, count(*) FROM timeline t JOIN incident i ON i.id = t.incident_id GROUP BY 1"
    ):
        assert sorted(body["seq"] for body in arrived[ref]) == list(range(1, steps + 1)), ref
        assert max(arrived[ref], key=lambda body: int(body["seq"]))["status"] == "closed"
