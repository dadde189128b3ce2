"""Answers that were lost, cut or odd where no look-up exists: the policy of the kind decides (law 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import (
    DOUBTFUL,
    NOONLIGHT_CREATE,
    hurry,
    legs,
    next_try_in,
    sweep,
    take_in,
    told,
)
from tests.town import Town, open_town

DOCUMENTED_500 = {"code": 500, "key": "internal_server_error", "message": "Something broke", "details": ""}
LOST: dict[str, dict[str, Any]] = {
    "drop_answer": {"drop_answer": [{"path": NOONLIGHT_CREATE, "times": 1}]},
    "truncate": {"truncate": [{"path": NOONLIGHT_CREATE, "times": 1}]},
    "hang": {"hang": [{"path": NOONLIGHT_CREATE, "seconds": 30, "times": 1, "work": "before"}]},
    "bare 502": {"fail": [{"path": NOONLIGHT_CREATE, "status": 502, "body": "<html>Bad gateway</html>", "times": 1}]},
    "502 with another code": {
        "fail": [{"path": NOONLIGHT_CREATE, "status": 502, "body": DOCUMENTED_500, "times": 1}],
    },
}


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept."""
    return sweep(street)


@pytest.mark.parametrize("fault", LOST)
def test_panic_is_sent_again_as_a_possible_double_when_its_answer_is_lost(town: Town, fault: str) -> None:
    """Life safety: one more request, shown as what it may be."""
    town.noonlight("_control", **LOST[fault])
    incident = take_in(town, "panic")
    town.until(lambda: town.status(incident) == "requested")
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert len(town.creates()) == 2
    assert town.incident(incident)["possible_double"]
    assert "resent" in town.events(incident)


@pytest.mark.parametrize("fault", LOST)
def test_burglary_waits_for_a_person_when_its_answer_is_lost(town: Town, fault: str) -> None:
    """The rest is held: unconfirmed, told in both ways, never sent again by itself."""
    town.noonlight("_control", **LOST[fault])
    incident = take_in(town, "burglary")
    town.until(lambda: told(town, incident, "unconfirmed"))
    hurry(town)
    town.settle()
    assert town.status(incident) == "unconfirmed"
    assert legs(town, incident) == ["unknown"]
    assert len(town.creates()) == 1


def test_policy_of_the_platform_decides_when_it_names_the_kind(town: Town) -> None:
    """`create_unknown` turns a kind's default around."""
    town.policy(create_unknown={"burglary": "resend", "panic": "hold"})
    town.noonlight("_control", drop_answer=[{"path": NOONLIGHT_CREATE, "times": 1}])
    burglary = take_in(town, "burglary")
    town.until(lambda: town.status(burglary) == "requested")
    town.noonlight("_control", drop_answer=[{"path": NOONLIGHT_CREATE, "times": 1}])
    panic = take_in(town, "panic")
    town.until(lambda: town.status(panic) == "unconfirmed")
    assert legs(town, panic) == ["unknown"]


def test_provider_is_not_flooded_when_every_answer_is_lost(town: Town) -> None:
    """Each repeat goes on from the tries before it: 1, 2, 5 s and so on, however the answers get lost."""
    town.noonlight("_control", drop_answer=[{"path": NOONLIGHT_CREATE}])
    incident = take_in(town, "panic")
    for sent, pause in ((1, 1.0), (2, 2.0), (3, 5.0), (4, 10.0)):
        town.turn(Lane.DISPATCH)
        assert len(town.creates()) == sent
        assert pause * 0.8 <= next_try_in(town, incident) <= pause
        hurry(town)


def test_panic_is_not_sent_again_when_it_was_cancelled_in_the_meantime(town: Town) -> None:
    """A valid cancel forbids every further create; what may stand at the provider is told instead."""
    town.noonlight("_control", drop_answer=[{"path": NOONLIGHT_CREATE}], latency_ms=300)
    incident = take_in(town, "panic")
    town.change("UPDATE incident SET cancel = 'requested' WHERE id = :i", i=incident)
    town.change("UPDATE outbox SET attempts = 0 WHERE incident_id = :i", i=incident)
    town.turn(Lane.DISPATCH)
    town.settle()
    assert len(town.creates()) == 1
    assert legs(town, incident) == ["unknown"]
    assert town.status(incident) == "unconfirmed"


def test_one_alarm_stands_when_the_documented_500_comes_three_times(town: Town) -> None:
    """The provider asks for a retry: the same leg goes again, shown as a possible double all the same."""
    town.noonlight("_control", fail=[{"path": NOONLIGHT_CREATE, "status": 500, "body": DOCUMENTED_500, "times": 3}])
    incident = take_in(town, "burglary", ref="three-500")
    for _ in range(4):
        town.turn(Lane.DISPATCH)
        hurry(town)
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["accepted"]
    assert len(town.creates()) == 4
    assert len(town.alarms()) == 1
    assert town.incident(incident)["possible_double"]
    town.settle()
    requested = [body for body in town.writebacks("three-500") if body["event"] == "requested"]
    assert [("possible double" in body["entry"]) for body in requested] == [True]


@pytest.mark.parametrize(("asked", "waits"), [("7", 7.0), ("3600", 10.0), ("0", 0.0)])
def test_create_waits_as_long_as_the_provider_asks_when_it_is_busy(town: Town, asked: str, waits: float) -> None:
    """`Retry-After` is honoured, up to 10 s: an alarm waits no longer."""
    busy = {"path": NOONLIGHT_CREATE, "status": 429, "headers": {"Retry-After": asked}, "body": {}, "times": 1}
    town.noonlight("_control", fail=[busy])
    incident = take_in(town)
    engine = town.engines[Lane.DISPATCH]
    [row] = town.rows("SELECT id FROM outbox WHERE incident_id = :i AND kind = 'create'", i=incident)
    if waits:
        engine.work_row(row.id)
        assert waits - 1 < next_try_in(town, incident) <= waits
        assert len(town.creates()) == 1
        hurry(town)
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "requested"
    assert len(town.creates()) == 2
    assert not town.incident(incident)["possible_double"]


def test_stranger_is_told_at_once_when_a_request_of_ours_is_in_doubt(town: Town) -> None:
    """The alarm whose answer was lost shows itself by its webhook: a person is told, nobody guesses."""
    town.noonlight("_control", drop_answer=[{"path": NOONLIGHT_CREATE, "times": 1}])
    incident = take_in(town, "burglary")
    town.until(lambda: town.status(incident) == "unconfirmed")
    town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.psap_contacted")
    town.until(lambda: told(town, incident, "stranger"))
    assert town.status(incident) == "unconfirmed"


def test_stranger_is_told_at_once_when_a_5xx_had_made_an_alarm_after_all(town: Town) -> None:
    """The retry was accepted; the other one is a possible double that somebody answers."""
    town.noonlight("_control", fail=[{"path": NOONLIGHT_CREATE, "status": 500, "body": DOCUMENTED_500, "times": 1}])
    incident = take_in(town, "burglary")
    town.until(lambda: town.status(incident) == "requested")
    body = {"event_id": "e-5xx", "event_type": "alarm.psap_contacted", "event_time": "2026-01-01T00:00:00Z"}
    _deliver(town, {**body, "meta": {"alarm_id": "made-by-the-500"}})
    town.until(lambda: told(town, incident, "stranger"))


def _deliver(town: Town, event: dict[str, Any]) -> None:
    import json

    import requests

    from deploy.sandbox.noonlight import sign

    raw = json.dumps([event]).encode()
    secret = town.sandbox.config.noonlight.webhook_secret
    headers = {"X-Noonlight-Signature": sign(secret, raw), "Content-Type": "application/json"}
    assert requests.post(f"{town.url}/webhooks/noonlight", data=raw, headers=headers, timeout=10).ok
