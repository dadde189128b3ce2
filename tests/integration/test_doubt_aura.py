"""A create in doubt where active callouts can be listed: looked for, adopted, or sent once more (law 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import (
    AURA_CREATE,
    AURA_LISTING,
    DOUBTFUL,
    hurry,
    legs,
    look,
    next_try_in,
    sweep,
    take_in,
    told,
)
from tests.town import Town, open_town

TAKEN: dict[str, dict[str, Any]] = {
    "drop_answer": {"drop_answer": [{"path": AURA_CREATE, "times": 1}]},
    "truncate": {"truncate": [{"path": AURA_CREATE, "times": 1}]},
    "hang": {"hang": [{"path": AURA_CREATE, "seconds": 30, "times": 1, "work": "before"}]},
}
NOT_TAKEN: dict[str, dict[str, Any]] = {
    "bare 502": {"fail": [{"path": AURA_CREATE, "status": 502, "body": "<html>", "times": 1}]},
    "500": {"fail": [{"path": AURA_CREATE, "status": 500, "body": {"message": "Internal error"}, "times": 1}]},
    "201 without an id": {"fail": [{"path": AURA_CREATE, "status": 201, "body": {"message": "ok"}, "times": 1}]},
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


def _in_doubt(town: Town, kind: str = "burglary", *, site: str | None = None, fault: str = "500") -> str:
    """An alarm whose create has just been lost."""
    site = site or town.guarded_site()
    town.aura("_control", **(NOT_TAKEN | TAKEN)[fault])
    incident = take_in(town, kind, site=site)
    town.turn(Lane.DISPATCH)
    assert legs(town, incident) == ["unknown"]
    return incident


def _ask_elsewhere(town: Town, site: str, *, seconds_ago: float = 0.0, skew: float = 0.0) -> int:
    """A callout that somebody else asked for at a site, some time ago by AURA's clock."""
    town.aura("_control", clock_skew_s=skew - seconds_ago, token_lifetime_s=86_400.0)
    given = town.sandbox.config.aura
    base = f"{town.sandbox.aura.url}/panic-api/v2"
    names = {"clientId": given.client_id, "clientSecret": given.client_secret}
    token = requests.post(f"{base}/oauth/token", json=names, timeout=10).json()["accessToken"]
    answer = requests.post(
        f"{base}/predefinedLocations/externalRef/{site}/callouts",
        json={},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    town.aura("_control", clock_skew_s=skew)
    return int(answer.json()["callout"]["id"])


@pytest.mark.parametrize("fault", TAKEN)
def test_callout_is_adopted_when_its_answer_was_lost(town: Town, fault: str) -> None:
    """Found by a look-up: one callout, one request, no double."""
    incident = _in_doubt(town, "panic", fault=fault)
    assert 1.0 < next_try_in(town, incident) <= 2.0
    look(town)
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["accepted"]
    assert len(town.creates("aura")) == len(town.callouts()) == 1
    assert not town.incident(incident)["possible_double"]


@pytest.mark.parametrize("fault", NOT_TAKEN)
def test_one_more_request_goes_out_when_three_listings_show_nothing(town: Town, fault: str) -> None:
    """Any 5xx is a doubt here; three complete listings end it, and the new send is shown as a possible double."""
    incident = _in_doubt(town, fault=fault)
    look(town, 2)
    assert legs(town, incident) == ["unknown"]
    assert len(town.creates("aura")) == 1
    look(town, 2)
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert len(town.creates("aura")) == 2
    assert len(town.callouts()) == 1
    assert town.incident(incident)["possible_double"]


def test_lookups_come_2_5_and_10_seconds_after_the_call(town: Town) -> None:
    """And every 10 s from then on, while no listing is complete."""
    incident = _in_doubt(town)
    town.aura("_control", fail=[{"path": AURA_LISTING, "status": 500}])
    for age, pause in ((2, 3), (5, 5), (10, 10), (20, 10)):
        town.change(
            "UPDATE dispatch SET unknown_at = now() - make_interval(secs => :age) WHERE outcome = 'unknown'", age=age
        )
        look(town)
        assert pause - 1 < next_try_in(town, incident) <= pause + 0.1


def _unlisted_for_a_minute(town: Town) -> None:
    town.aura("_control", fail=[{"path": AURA_LISTING, "status": 500}])
    town.change("UPDATE dispatch SET unknown_at = unknown_at - interval '61 s' WHERE outcome = 'unknown'")
    look(town)


@pytest.mark.parametrize("complete_before", [0, 1, 2])
def test_panic_is_sent_again_when_no_listing_comes_for_a_minute(town: Town, complete_before: int) -> None:
    """The policy of the kind decides, also when the listings stopped after one or two."""
    incident = _in_doubt(town, "panic")
    look(town, complete_before)
    _unlisted_for_a_minute(town)
    look(town)
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert town.incident(incident)["possible_double"]


def test_burglary_is_held_and_still_looked_for_when_no_listing_comes_for_a_minute(town: Town) -> None:
    """Told in both ways, never sent by itself; the listing that comes at last adopts it."""
    incident = _in_doubt(town, fault="drop_answer")
    _unlisted_for_a_minute(town)
    assert legs(town, incident) == ["unknown"]
    town.until(lambda: told(town, incident, "unconfirmed"))
    town.aura("_control", fail=[])
    look(town)
    assert town.status(incident) == "requested"
    assert len(town.creates("aura")) == 1


def test_cancel_is_not_confirmed_when_nobody_can_say_what_stands_at_the_provider(town: Town) -> None:
    """No listing is no proof: the cancel stays open, and is done when the callout is found."""
    incident = _in_doubt(town, "panic", fault="drop_answer")
    assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm"}).status_code == 202
    town.turn(Lane.INTAKE)
    _unlisted_for_a_minute(town)
    assert town.incident(incident)["cancel"] == "requested"
    assert legs(town, incident) == ["unknown"]
    town.aura("_control", fail=[])
    look(town)
    town.until(lambda: town.status(incident) == "cancelled")
    assert [callout["status"] for callout in town.callouts()] == ["Responder Cancelled"]
    assert len(town.creates("aura")) == 1


def test_cancel_is_confirmed_when_three_listings_show_that_nothing_stands_there(town: Town) -> None:
    """It never reached the provider, and it never will."""
    incident = _in_doubt(town)
    assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm"}).status_code == 202
    town.turn(Lane.INTAKE)
    look(town, 3)
    assert town.status(incident) == "cancelled"
    assert town.incident(incident)["cancel"] == "confirmed"
    look(town)
    assert len(town.creates("aura")) == 1


@pytest.mark.parametrize("skew", [0.0, 300.0, -300.0])
def test_older_callout_is_not_adopted_whatever_the_providers_clock_shows(town: Town, skew: float) -> None:
    """More than 60 s before the attempt by AURA's own clock: it answers somebody else."""
    site = town.guarded_site()
    theirs = _ask_elsewhere(town, site, seconds_ago=75, skew=skew)
    incident = _in_doubt(town, site=site)
    look(town, 4)
    assert town.status(incident) == "requested"
    assert [leg["provider_alarm_id"] for leg in town.incident(incident)["legs"]][-1] != str(theirs)
    assert len(town.callouts()) == 2


@pytest.mark.parametrize("skew", [0.0, 300.0, -300.0])
def test_fresh_callout_is_adopted_whatever_the_providers_clock_shows(town: Town, skew: float) -> None:
    """Within 60 s by AURA's own clock."""
    town.aura("_control", clock_skew_s=skew)
    incident = _in_doubt(town, fault="drop_answer")
    look(town)
    assert legs(town, incident) == ["accepted"]
    assert len(town.creates("aura")) == 1


def test_callout_of_another_site_is_not_adopted(town: Town) -> None:
    """Only our own site's."""
    elsewhere = town.guarded_site()
    _ask_elsewhere(town, elsewhere)
    incident = _in_doubt(town)
    look(town, 4)
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert len(town.callouts()) == 2


def test_callout_that_was_cancelled_is_not_adopted(town: Town) -> None:
    """A cancelled callout is listed until it is closed, and nobody comes for it."""
    site = town.guarded_site()
    theirs = _ask_elsewhere(town, site)
    town.aura("_step", id=theirs, event="CALLOUT_NO_LONGER_REQUIRES_RESPONSE")
    incident = _in_doubt(town, site=site)
    look(town, 4)
    assert legs(town, incident) == ["doubtful", "accepted"]
    assert len(town.callouts()) == 2


def test_callout_of_another_leg_is_not_adopted(town: Town) -> None:
    """The site's open response answers another incident, for other services."""
    site = town.guarded_site()
    first = take_in(town, "burglary", site=site)
    town.turn(Lane.DISPATCH)
    second = _in_doubt(town, "medical", site=site)
    look(town, 4)
    assert legs(town, first) == ["accepted"]
    assert legs(town, second) == ["doubtful", "accepted"]
    assert len(town.callouts()) == 2


@pytest.mark.parametrize(
    "control", [{"expire_token": True}, {"fail": [{"path": AURA_CREATE, "status": 401, "times": 1}]}]
)
def test_token_is_renewed_when_it_is_refused(town: Town, control: dict[str, Any]) -> None:
    """A 401 was not worked: the same send goes again under a new token, and one callout stands."""
    site = town.guarded_site()
    town.aura("_control", **control)
    incident = take_in(town, site=site)
    town.turn(Lane.DISPATCH)
    assert town.status(incident) == "requested"
    assert legs(town, incident) == ["accepted"]
    assert [create["status"] for create in town.creates("aura")] == [401, 201]
    assert len(town.callouts()) == 1
    assert not town.incident(incident)["possible_double"]


def _answered_with_the_first(town: Town, *events: str) -> tuple[str, str]:
    """Two incidents of different services at a site whose create returns the callout that stands there."""
    site = town.guarded_site()
    first = take_in(town, "burglary", site=site)
    town.turn(Lane.DISPATCH)
    town.aura("_control", return_existing=True, webhooks="off")
    for event in events:
        town.aura("_step", id=town.callouts()[0]["id"], event=event)
    return first, take_in(town, "medical", site=site)


def test_incident_joins_when_the_answer_names_an_open_response_of_ours(town: Town) -> None:
    """Active by a read made then: both incidents are answered by one callout."""
    first, second = _answered_with_the_first(town)
    town.turn(Lane.DISPATCH)
    assert legs(town, first) == ["accepted"]
    assert legs(town, second) == ["void"]
    assert town.status(second) == "requested"
    assert "joined" in town.events(second)


@pytest.mark.parametrize("event", ["RESPONDER_COMPLETED", "CALLOUT_NO_LONGER_REQUIRES_RESPONSE"])
def test_incident_fails_when_the_answer_names_a_response_that_is_over(town: Town, event: str) -> None:
    """Nobody comes for it, so a person is told."""
    _, second = _answered_with_the_first(town, event)
    town.turn(Lane.DISPATCH)
    assert town.status(second) == "failed"
    assert legs(town, second) == ["failed"]
    town.until(lambda: told(town, second, "failed"))


def test_incident_is_in_doubt_when_the_response_that_the_answer_names_cannot_be_read(town: Town) -> None:
    """Neither joined nor failed before somebody knows."""
    _, second = _answered_with_the_first(town)
    town.aura("_control", fail=[{"path": "/panic-api/v2/callouts/*", "method": "GET", "status": 500, "times": 1}])
    town.turn(Lane.DISPATCH)
    assert legs(town, second) == ["unknown"]
    look(town, 4)
    assert town.status(second) == "requested"
    assert "joined" in town.events(second)


@pytest.mark.parametrize("named", [True, False])
def test_conflict_counts_only_when_it_names_an_active_response(town: Town, named: bool) -> None:
    """A 409 with the id of an open callout joins it; one without an id fails, and is told."""
    _, second = _answered_with_the_first(town)
    body = {"message": "A callout exists"} | ({"callout": {"id": town.callouts()[0]["id"]}} if named else {})
    town.aura("_control", fail=[{"path": AURA_CREATE, "status": 409, "body": body, "times": 1}])
    town.turn(Lane.DISPATCH)
    assert town.status(second) == ("requested" if named else "failed")
    assert len(town.callouts()) == 1


def test_second_alarm_is_sent_when_the_open_response_cannot_be_read(town: Town) -> None:
    """A read that hangs before the join leaves time for the create, under the same lease."""
    site = town.guarded_site()
    take_in(town, "burglary", site=site)
    town.turn(Lane.DISPATCH)
    town.aura("_control", hang=[{"path": "/panic-api/v2/callouts/*", "method": "GET", "seconds": 30}])
    second = take_in(town, "panic", site=site)
    town.turn(Lane.DISPATCH)
    assert town.status(second) == "requested"
    assert len(town.callouts()) == 2
    hurry(town)
