"""After the close the operator finds the provider's report, says where he filed his own, and sees what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.embedded import Embedded
from tests.integration.incident_stage import CLOSED, calm, dispatched_home, legs_of, requested
from tests.town import QUICK, Town, open_town

PORTAL = "https://portal.example/callouts/{id}/report"


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK, aura_options={"report_url_template": PORTAL}) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    return open_for_all


def _closed(town: Town) -> str:
    incident = requested(town, town.guarded_site(), "burglary")
    town.aura("_step", id=int(legs_of(town, incident)[0]), event=CLOSED)
    town.until(lambda: town.status(incident) == "closed")
    town.settle()
    return incident


def _told(town: Town, incident: str) -> list[dict[str, Any]]:
    return town.writebacks(town.incident(incident)["incident_ref"])


def _missing(town: Town) -> list[str]:
    headers = {"Authorization": f"Bearer {town.key}"}
    answer = requests.get(f"{town.url}/v1/incidents?report=missing&limit=200", headers=headers, timeout=20)
    return [one["incident_id"] for one in answer.json()["incidents"]]


def test_link_to_the_portal_stands_at_the_close(town: Town) -> None:
    """On the timeline and in the write-back of the close, not before."""
    incident = _closed(town)
    link = PORTAL.replace("{id}", legs_of(town, incident)[0])

    last = town.incident(incident)["timeline"][-1]
    assert (last["event"], last["detail"]["report_url"]) == ("closed", link)
    assert [body.get("report_url") for body in _told(town, incident)][-2:] == [None, link]


def test_closed_incident_is_listed_until_its_report_is_filed(town: Town) -> None:
    """Filed by a named person; what he gave is written back from then on."""
    incident = _closed(town)
    open_one = requested(town, town.guarded_site(), "burglary")
    assert incident in _missing(town)
    assert open_one not in _missing(town)
    url = "https://files.example/r/17"
    assert town.post(f"/v1/incidents/{incident}/report", {"url": url, "by": "Ann Operator"}).status_code == 202
    town.until(lambda: "report_filed" in town.events(incident))
    town.settle()

    assert incident not in _missing(town)
    assert town.incident(incident)["report"]["url"] == url
    assert (_told(town, incident)[-1]["event"], _told(town, incident)[-1]["report_url"]) == ("report_filed", url)


def test_close_stands_without_a_link_when_no_template_is_known(town: Town) -> None:
    """Nothing is invented."""
    incident, alarm_id = dispatched_home(town)
    town.noonlight("_step", id=alarm_id, event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    town.settle()

    assert "report_url" not in _told(town, incident)[-1]


@pytest.mark.parametrize("body", [{"url": "ftp://x/y", "by": "Ann"}, {"url": "https://x/y"}, {"by": "Ann"}])
def test_report_is_refused_when_it_names_no_web_address_or_nobody(town: Town, body: dict[str, Any]) -> None:
    """422, and nothing is noted."""
    incident, _ = dispatched_home(town)

    assert town.post(f"/v1/incidents/{incident}/report", body).status_code == 422
