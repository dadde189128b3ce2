"""Pictures looked at before anybody is sent: only a "no" keeps somebody from going, and nothing waits for long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import calm, cancel
from tests.town import QUICK, Town, open_town

PICTURE = [{"url": "https://pictures.example/1.jpg"}]
TASKS = "/tasks/v1/verifications"


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town whose platform wants burglaries looked at first."""
    calm(open_for_all)
    open_for_all.policy(verify_first={"kinds": ["burglary", "panic"], "timeout_s": 60})
    return open_for_all


def _held(town: Town, **more: Any) -> str:
    incident = town.alarm("burglary", media=PICTURE, **more)
    town.until(lambda: town.noonlight("_state")["verifications"])
    assert (town.status(incident), town.creates()) == ("holding", [])
    return incident


def _answers(town: Town, result: str) -> None:
    town.noonlight("_step", id=town.noonlight("_state")["verifications"][-1]["id"], event=result)


def _state(town: Town, incident: str) -> str:
    return str(town.one("SELECT state FROM verification WHERE incident_id = :i", i=incident))


@pytest.mark.parametrize(("result", "state"), [("yes", "yes"), ("unverifiable", "inconclusive")])
def test_alarm_goes_when_the_answer_is_no_no(town: Town, result: str, state: str) -> None:
    """Yes, and likewise when nobody could tell."""
    incident = _held(town)
    task = town.noonlight("_state")["verifications"][0]
    assert task["expiration"] == {"timeout": 60}
    assert task["attachments"] == [{"url": PICTURE[0]["url"], "media_type": "image/jpeg"}]
    _answers(town, result)
    town.until(lambda: town.status(incident) == "requested")

    assert len(town.creates()) == 1
    assert _state(town, incident) == state


def test_nobody_is_sent_when_the_answer_is_no(town: Town) -> None:
    """Recorded with the reason, and told so."""
    incident = _held(town)
    _answers(town, "no")
    town.until(lambda: town.status(incident) == "recorded")
    town.settle()

    assert town.creates() == []
    assert "nobody saw" in town.incident(incident)["reason"]
    assert town.writebacks(town.incident(incident)["incident_ref"])[-1]["event"] == "recorded"


def test_alarm_goes_when_nobody_answers_in_time(town: Town) -> None:
    """And an answer that comes later changes nothing, whatever it says."""
    incident = _held(town)
    town.change("UPDATE verification SET ends_at = now() WHERE state = 'waiting'")
    town.until(lambda: town.status(incident) == "requested")
    _answers(town, "no")
    town.until(lambda: town.events(incident).count("verification") == 2)

    assert town.status(incident) == "requested"
    assert len(town.creates()) == 1


@pytest.mark.parametrize("fault", [{"fail": [{"path": TASKS, "status": 500}]}, {"drop_answer": [{"path": TASKS}]}])
def test_alarm_goes_at_once_when_nobody_can_be_asked(town: Town, fault: dict[str, Any]) -> None:
    """A question that did not arrive, or may not have."""
    town.noonlight("_control", **fault)
    incident = town.alarm("burglary", media=PICTURE)
    town.until(lambda: town.status(incident) == "requested")

    assert _state(town, incident) == "failed"


def test_life_safety_never_waits_when_the_policy_names_it(town: Town) -> None:
    """The door refuses such a policy, and the work ignores it."""
    incident = town.alarm("panic", media=PICTURE)
    town.turn(Lane.INTAKE, Lane.DISPATCH)

    assert town.status(incident) == "requested"
    headers = {"Authorization": f"Bearer {town.key}"}
    body = {"policies": {"verify_first": {"kinds": ["panic"]}}}
    assert requests.put(f"{town.url}/v1/platform", json=body, headers=headers, timeout=20).status_code == 422


def test_alarm_goes_at_once_when_there_is_nothing_to_look_at(town: Town) -> None:
    """No media, or none that the provider shows; or a provider that looks at none."""
    plain = town.alarm("burglary")
    odd = town.alarm("burglary", media=[{"url": "https://pictures.example/1.gif"}])
    guarded = town.site_alarm(town.guarded_site(), "burglary", media=PICTURE)
    town.until(lambda: [town.status(one) for one in (plain, odd, guarded)] == ["requested"] * 3)

    assert town.noonlight("_state")["verifications"] == []


def test_nobody_is_sent_when_it_is_cancelled_while_it_waits(town: Town) -> None:
    """The answer that follows sends nobody."""
    incident = _held(town)
    cancel(town, incident, pin="4711")
    town.until(lambda: town.status(incident) == "cancelled")
    _answers(town, "yes")
    town.until(lambda: _state(town, incident) == "yes")
    town.settle()

    assert (town.status(incident), town.creates()) == ("cancelled", [])


def test_answer_is_kept_when_it_is_to_no_question_of_ours(town: Town) -> None:
    """As unmatched; the hook takes it."""
    seen = {"url": "https://pictures.example/1.png", "media_type": "image/png"}
    body = {"prompt": "?", "expiration": {"timeout": 5}, "attachments": [seen]}
    token = town.sandbox.config.noonlight.token
    url = f"{town.sandbox.noonlight.url}{TASKS}"
    task = requests.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=20).json()["id"]
    town.noonlight("_step", id=task, event="yes")
    kept = "SELECT 1 FROM inbox WHERE event_id = :e AND state = 'unmatched'"
    town.until(lambda: town.one(kept, e=f"verification:{task}"))


def test_answer_counts_once_when_it_is_delivered_twice(town: Town) -> None:
    """One create, one entry."""
    incident = _held(town)
    town.noonlight("_control", webhooks="duplicate")
    _answers(town, "yes")
    town.until(lambda: town.status(incident) == "requested")
    town.settle()

    assert len(town.creates()) == 1
    assert town.events(incident).count("verification") == 1
