"""Many alarms, faults, lost leases and workers at once: whatever the order, none is lost, doubled unseen, or silent."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import AURA_CREATE, DOUBTFUL, NOONLIGHT_CREATE, hurry, own_engine, run_out, sweep
from tests.town import Town, open_town

ROUNDS = 12
ERROR = {"code": 500, "message": "Something broke"}
KINDS = ("burglary", "panic", "fire", "medical")


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept."""
    return sweep(street)


def _fault(dice: random.Random, path: str) -> dict[str, Any]:
    """One misbehaviour that takes hold of the next few creates, and ends those of the round before."""
    rule: dict[str, Any] = {"path": path, "times": dice.randint(1, 3)}
    calm: dict[str, Any] = {"drop_answer": [], "truncate": [], "fail": []}
    kind = dice.choice(("drop_answer", "truncate", "401", "429", "500", "502", "none"))
    if kind in calm:
        return {**calm, kind: [rule]}
    if kind == "none":
        return calm
    return {**calm, "fail": [{**rule, "status": int(kind), "body": ERROR if kind == "500" else "<html>"}]}


def _round(town: Town, dice: random.Random) -> None:
    town.noonlight("_control", latency_ms=dice.choice((0, 5, 30)), **_fault(dice, NOONLIGHT_CREATE))
    town.aura("_control", latency_ms=dice.choice((0, 5, 30)), **_fault(dice, AURA_CREATE))
    town.turn(Lane.INTAKE)
    engines = [own_engine(town, threads=6) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(engine.drain) for engine in engines]
        if dice.random() < 0.5:
            run_out(town)
        hurry(town)
        for work in working:
            work.result(30)
    for engine in engines:
        engine.deps.bell.close()
    hurry(town)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_alarm_is_lost_doubled_unseen_or_silent_in_a_storm_of_faults(town: Town, seed: int) -> None:
    """At the end each has one live leg that the provider knows, or a person knows that it has none."""
    dice = random.Random(seed)
    sites = [town.guarded_site() for _ in range(3)]
    incidents: list[str] = []
    for number in range(ROUNDS):
        for _ in range(dice.randint(0, 3)):
            kind, ref = dice.choice(KINDS), f"storm-{seed}-{len(incidents)}"
            at_site = dice.random() < 0.6
            incidents.append(town.site_alarm(dice.choice(sites), kind, ref) if at_site else town.alarm(kind, ref))
        if incidents and dice.random() < 0.2 and number > 3:
            town.post(f"/v1/incidents/{dice.choice(incidents)}/cancel", {"reason": "resolved"})
        _round(town, dice)
    for service in (town.noonlight, town.aura):
        service("_control", latency_ms=0, drop_answer=[], truncate=[], fail=[])
    run_out(town)

    def quiet() -> bool:
        hurry(town)
        return not town.one("SELECT count(*) FROM outbox WHERE state = 'pending'")

    town.until(quiet, within_s=40)
    _each_is_answered_or_told(town, incidents)
    _nothing_stands_unseen(town)


def _each_is_answered_or_told(town: Town, incidents: list[str]) -> None:
    standing = {str(callout["id"]): callout["status"] for callout in town.callouts()}
    standing |= {alarm["id"]: alarm["status"] for alarm in town.alarms()}
    for incident in incidents:
        status = town.status(incident)
        live = town.rows(
            "SELECT d.outcome, d.provider_alarm_id FROM dispatch d JOIN incident_leg l ON l.leg_id = d.id"
            " WHERE l.incident_id = :i AND l.left_at IS NULL"
            " AND d.outcome IN ('pending', 'sending', 'unknown', 'accepted')",
            i=incident,
        )
        notices = town.one("SELECT count(*) FROM notice WHERE incident_id = :i AND ended_at IS NULL", i=incident)
        if status == "requested":
            assert [row.outcome for row in live] == ["accepted"]
            assert standing[live[0].provider_alarm_id] in ("created", "ACTIVE")
        elif status in ("unconfirmed", "failed"):
            assert notices
        else:
            assert status == "cancelled"
            cancelled = {standing[row.provider_alarm_id] for row in live if row.outcome == "accepted"}
            assert cancelled <= {"Responder Cancelled", "CANCELED"}


def _nothing_stands_unseen(town: Town) -> None:
    """At AURA every callout is a leg's; at Noonlight one that is nobody's has a doubtful leg or a shown double."""
    known = {row[0] for row in town.rows("SELECT provider_alarm_id FROM dispatch WHERE provider_alarm_id IS NOT NULL")}
    assert {str(callout["id"]) for callout in town.callouts()} <= known
    answered = Counter(alarm["id"] in known for alarm in town.alarms())
    doubts = town.one(
        "SELECT count(*) FROM dispatch d JOIN provider_account a ON a.id = d.account_id"
        " WHERE d.outcome IN ('doubtful', 'unknown') AND a.provider = 'noonlight'"
    )
    assert answered[False] <= doubts
