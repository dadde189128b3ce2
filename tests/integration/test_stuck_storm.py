"""Whatever people, providers and lost workers do in whatever order: no living incident is left without a next step."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import DOUBTFUL, hurry, own_engine, run_out, sweep
from tests.integration.test_doubt_storm import _fault
from tests.town import Town, open_town

ROUNDS = 14
PICTURE = [{"url": "https://pictures.example/1.jpg"}]
KINDS = ("burglary", "burglary", "panic", "fire", "trouble")
NOONLIGHT_EVENTS = ("alarm.psap_contacted", "alarm.status.canceled", "alarm.closed")
AURA_EVENTS = ("RESPONDER_MANUALLY_DISPATCHED", "CALLOUT_NO_LONGER_REQUIRES_RESPONSE", "CALLOUT_CLOSED")

# Alive, and nothing is under way for it, nobody answers it, and nobody is told of it.
STUCK = """
    SELECT i.id, i.status, i.cancel, i.kind,
        (SELECT string_agg(concat_ws('/', d.outcome, d.status), ',') FROM dispatch d WHERE d.incident_id = i.id),
        (SELECT string_agg(t.event, ',' ORDER BY t.id) FROM timeline t WHERE t.incident_id = i.id)
    FROM incident i WHERE i.ended_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.incident_id = i.id AND o.state = 'pending'
            AND o.kind NOT IN ('note', 'event', 'writeback'))
        AND NOT EXISTS (SELECT 1 FROM inbox b WHERE b.incident_id = i.id AND b.state = 'pending')
        AND NOT EXISTS (SELECT 1 FROM verification v WHERE v.incident_id = i.id AND v.state = 'waiting')
        AND NOT EXISTS (SELECT 1 FROM incident_leg l JOIN dispatch d ON d.id = l.leg_id
            WHERE l.incident_id = i.id AND l.left_at IS NULL AND d.outcome = 'accepted' AND d.poll_at IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.incident_id = i.id AND n.ended_at IS NULL)
"""
# A note or a further signal waits for as long as its incident lives.
UNDER_WAY = """
    SELECT (SELECT count(*) FROM outbox WHERE state = 'pending' AND kind NOT IN ('note', 'event'))
        + (SELECT count(*) FROM inbox WHERE state = 'pending')
"""
# Over as far as anybody is told, while a response stands that was not cancelled with it, and of which nobody is told.
UNSEEN = """
    SELECT i.id, i.status, i.cancel, d.outcome, d.status, d.cancel,
        (SELECT string_agg(t.event, ',' ORDER BY t.id) FROM timeline t WHERE t.incident_id = i.id)
    FROM incident i JOIN dispatch d ON d.incident_id = i.id
    WHERE i.status IN ('cancelled', 'dropped', 'recorded') AND d.outcome IN ('accepted', 'surplus')
        AND d.status NOT IN ('cancelled', 'closed') AND d.cancel IS NULL
        AND NOT EXISTS (SELECT 1 FROM incident_leg l JOIN incident o ON o.id = l.incident_id
            WHERE l.leg_id = d.id AND l.left_at IS NULL AND o.ended_at IS NULL)
        AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.incident_id = i.id AND n.ended_at IS NULL)
"""


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept; burglaries with a picture are looked at first."""
    sweep(street).policy(verify_first={"kinds": ["burglary"], "timeout_s": 60})
    return street


def _act(town: Town, dice: random.Random, incident: str) -> None:
    act, who = dice.choice(("cancel", "resend", "drop", "acknowledge", "event", "event")), {"by": "Ann Example"}
    bodies = {
        "cancel": {"reason": "resolved"},
        "drop": who | {"reason": "seen by a neighbour"},
        "event": {"kind": dice.choice(("panic", "burglary", "battery"))},
    }
    path = "events" if act == "event" else act
    town.post(f"/v1/incidents/{incident}/{path}", bodies.get(act, who))


def _provider_acts(town: Town, dice: random.Random) -> None:
    for task in town.noonlight("_state")["verifications"]:
        if dice.random() < 0.3:
            town.noonlight("_step", id=task["id"], event=dice.choice(("yes", "no", "unverifiable")))
    for alarm in town.alarms():
        if dice.random() < 0.1:
            town.noonlight("_step", id=alarm["id"], event=dice.choice(NOONLIGHT_EVENTS))
    for callout in town.callouts():
        if dice.random() < 0.1:
            town.aura("_step", id=callout["id"], event=dice.choice(AURA_EVENTS))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_living_incident_is_stuck_in_a_storm_of_people_and_faults(town: Town, seed: int) -> None:
    """At the end each is answered and asked for, or over, or told."""
    dice = random.Random(seed)
    sites = [town.guarded_site() for _ in range(3)]
    incidents: list[str] = []
    for _ in range(ROUNDS):
        for _ in range(dice.randint(0, 3)):
            kind = dice.choice(KINDS)
            if dice.random() < 0.5:
                incidents.append(town.site_alarm(dice.choice(sites), kind))
            else:
                incidents.append(town.alarm(kind, media=PICTURE if dice.random() < 0.7 else []))
        for incident in incidents:
            if dice.random() < 0.15:
                _act(town, dice, incident)
        town.noonlight("_control", **_fault(dice, "/dispatch/v1/alarms"))
        town.aura("_control", **_fault(dice, "*/externalRef/*/callouts"))
        town.turn(Lane.INTAKE)
        engines = [own_engine(town, threads=6) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            working = [pool.submit(engine.drain) for engine in engines]
            if dice.random() < 0.5:
                run_out(town)
            hurry(town)
            for work in working:
                work.result(30)
        for engine in engines:
            engine.deps.bell.close()
        _provider_acts(town, dice)
        hurry(town)
    for service in (town.noonlight, town.aura):
        service("_control", latency_ms=0, drop_answer=[], truncate=[], fail=[])
    run_out(town)
    town.change("UPDATE verification SET ends_at = now() WHERE state = 'waiting'")

    def quiet() -> bool:
        hurry(town)
        return not town.one(UNDER_WAY)

    town.until(quiet, within_s=30)
    town.turn(Lane.PERIODIC)
    assert town.rows(STUCK) == []
    assert town.rows(UNSEEN) == []
