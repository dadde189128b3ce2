"""A reference that comes again: the same is answered alike, news is sent on, and what is new brings a person."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import calm, cancel, dispatched_home
from tests.town import ADDRESS, PERSON, QUICK, Town, open_town
from webhooks_app.bodies import AlarmBody
from webhooks_app.door import Door
from webhooks_app.intake import parse
from webhooks_app.principal import Principal
from webhooks_app.taking import Alarm, Taker


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    return open_for_all


def _body(ref: str, kind: str = "burglary", **more: Any) -> dict[str, Any]:
    home = {"provider": "noonlight", "person": PERSON, "location": {"address": ADDRESS}}
    return {"incident_ref": ref, "kind": kind} | home | more


def _post(town: Town, body: dict[str, Any]) -> dict[str, Any]:
    answer = town.post("/v1/alarms", body)
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def _ref() -> str:
    return f"ref-{uuid4().hex[:8]}"


def _days_pass(town: Town, ref: str) -> None:
    town.change("UPDATE repeat_key SET seen_at = seen_at - interval '1 day' WHERE incident_ref = :r", r=ref)
    town.change("UPDATE incident SET received_at = received_at - interval '1 day' WHERE incident_ref = :r", r=ref)


def _closed(town: Town, body: dict[str, Any]) -> str:
    incident = str(_post(town, body)["incident_id"])
    town.until(lambda: town.status(incident) == "requested")
    town.noonlight("_step", id=town.alarms()[-1]["id"], event="alarm.closed")
    town.until(lambda: town.status(incident) == "closed")
    return incident


def test_person_comes_when_panic_follows_a_trouble(town: Town) -> None:
    """The trouble is only recorded, with the reason; the panic is an incident of its own, linked."""
    ref = _ref()
    first = _post(town, _body(ref, "trouble"))["incident_id"]
    town.until(lambda: town.status(first) == "recorded")
    second = _post(town, _body(ref, "panic"))

    assert second["repeat"] == "successor"
    town.until(lambda: town.status(second["incident_id"]) == "requested")
    town.settle()
    assert len(town.creates()) == 1
    assert any("not dispatched by rule" in told["entry"] for told in town.writebacks(ref))


def test_person_comes_when_real_alarm_follows_a_test(town: Town) -> None:
    """Also while the test is still open."""
    ref = _ref()
    first = _post(town, _body(ref, test=True))["incident_id"]
    town.until(lambda: town.status(first) == "requested")
    second = _post(town, _body(ref))

    assert second["repeat"] == "successor"
    town.until(lambda: town.status(second["incident_id"]) == "requested")


def test_person_comes_when_panic_follows_an_open_burglary(town: Town) -> None:
    """More severe: never folded into what answers something less."""
    ref = _ref()
    first = _post(town, _body(ref))["incident_id"]
    town.until(lambda: town.status(first) == "requested")
    second = _post(town, _body(ref, "panic"))

    assert second["repeat"] == "successor"
    town.until(lambda: town.status(second["incident_id"]) == "requested")
    assert town.status(first) == "requested"


def test_person_comes_when_fire_follows_a_medical_alarm(town: Town) -> None:
    """As severe, but other services are needed."""
    ref = _ref()
    _post(town, _body(ref, "medical"))

    assert _post(town, _body(ref, "fire"))["repeat"] == "successor"


def test_answer_is_the_same_when_same_bytes_come_within_a_minute(town: Town) -> None:
    """While it lives, and just after its end."""
    body = _body(_ref())
    first = _post(town, body)
    assert _post(town, body)["incident_id"] == first["incident_id"]
    town.until(lambda: town.status(first["incident_id"]) == "requested")
    town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.closed")
    town.until(lambda: town.status(first["incident_id"]) == "closed")
    again = _post(town, body)

    assert (again["incident_id"], again["repeat"], again["status"]) == (first["incident_id"], "same", "closed")
    town.settle()
    assert len(town.creates()) == 1


def test_answer_is_the_same_when_same_bytes_come_a_day_later_to_an_open_incident(town: Town) -> None:
    """It lives, so nothing new has happened."""
    ref = _ref()
    first = _post(town, _body(ref))["incident_id"]
    _days_pass(town, ref)

    assert _post(town, _body(ref)) | {"links": 0, "status": 0} == {
        "incident_id": first,
        "repeat": "same",
        "links": 0,
        "status": 0,
    }


def test_person_comes_when_same_bytes_come_a_day_after_close(town: Town) -> None:
    """A panel that numbers nothing says the same at every burglary."""
    ref = _ref()
    first = _closed(town, _body(ref))
    _days_pass(town, ref)
    second = _post(town, _body(ref))

    assert (second["repeat"], second["incident_id"] != first) == ("successor", True)
    town.until(lambda: town.status(second["incident_id"]) == "requested")
    assert len(town.creates()) == 2
    assert town.incident(first)["status"] == "closed"


@pytest.mark.parametrize("mark", [{"event_id": "e-1"}, {"occurred_at": "2026-11-20T10:00:00Z"}])
def test_nobody_comes_when_a_known_event_is_sent_again_after_close(town: Town, mark: dict[str, str]) -> None:
    """The sender says that it is the same signal; days do not change that."""
    ref = _ref()
    first = _closed(town, _body(ref, **mark))
    _days_pass(town, ref)
    again = _post(town, _body(ref, **mark, message="queued for a day"))

    assert (again["incident_id"], again["repeat"]) == (first, "same")
    town.settle()
    assert len(town.creates()) == 1


def test_news_is_sent_on_when_noonlight_incident_lives(town: Town) -> None:
    """New content: on the timeline, and an event at the provider."""
    ref = _ref()
    first = _post(town, _body(ref))["incident_id"]
    town.until(lambda: town.status(first) == "requested")
    device = {"attribute": "motion", "value": "detected", "name": "Hall"}
    news = _post(town, _body(ref, zone="2", device=device))

    assert (news["repeat"], news["incident_id"]) == ("fold", first)
    town.until(lambda: [e for e in town.alarms()[0]["events"] if e["meta"]["device_name"] == "Hall"])
    assert "event" in town.events(first)


def test_operator_reads_when_news_could_not_be_sent_on(town: Town) -> None:
    """The provider has no word for it: said, not swallowed."""
    ref = _ref()
    first = _post(town, _body(ref))["incident_id"]
    town.until(lambda: town.status(first) == "requested")
    _post(town, _body(ref, zone="2"))

    town.until(lambda: "event_not_sent" in town.events(first))


def test_news_is_a_note_when_aura_incident_lives(town: Town) -> None:
    """Zone 2 after zone 1."""
    site, ref = town.guarded_site(), _ref()
    first = town.site_alarm(site, ref=ref, zone="1")
    town.until(lambda: town.status(first) == "requested")
    town.site_alarm(site, ref=ref, zone="2")

    town.until(lambda: [e for e in town.callouts()[0]["events"] if "ZONE: 2" in e["event"]["text"]])
    assert len(town.creates("aura")) == 1


@pytest.mark.parametrize("end", ["cancel", "closed"])
def test_person_comes_when_news_meets_the_end_of_its_incident(town: Town, end: str) -> None:
    """Folded by the door while it lived, worked after it had ended: a successor, not a note to nobody."""
    ref = _ref()
    first = _post(town, _body(ref))["incident_id"]
    town.until(lambda: town.status(first) == "requested")
    if end == "closed":
        town.noonlight("_step", id=town.alarms()[0]["id"], event="alarm.closed")
        town.until(lambda: town.one("SELECT count(*) FROM inbox WHERE state = 'pending'"), lanes=(Lane.OUTGOING,))
        _closed_unseen_by_the_door(town, first, ref)
    else:
        assert _post(town, _body(ref, zone="9"))["repeat"] == "fold"
        cancel(town, first, pin="4711")
        town.change("UPDATE inbox SET id = id + 1000000 WHERE state = 'pending' AND source = 'event'")
    town.until(lambda: town.one("SELECT count(*) FROM incident WHERE incident_ref = :r", r=ref) == 2)
    town.until(lambda: town.one("SELECT status FROM incident WHERE predecessor_id = :i", i=first) == "requested")


def _closed_unseen_by_the_door(town: Town, incident: str, ref: str) -> None:
    assert _post(town, _body(ref, zone="9"))["repeat"] == "fold"
    town.turn(Lane.INTAKE)
    assert town.status(incident) == "closed"


def test_one_create_when_twenty_posts_of_one_reference_race(town: Town) -> None:
    """From twenty threads: one incident, one dispatch, one answer."""
    body = _body(_ref())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _post(town, body), range(20)))

    assert len({answer["incident_id"] for answer in answers}) == 1
    town.until(lambda: town.status(answers[0]["incident_id"]) == "requested")
    town.settle()
    assert len(town.creates()) == 1


def test_every_news_is_told_when_twenty_different_posts_of_one_reference_race(town: Town) -> None:
    """One opens the incident, nineteen are news of it."""
    ref = _ref()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: _post(town, _body(ref, zone=str(n))), range(20)))

    (incident,) = {answer["incident_id"] for answer in answers}
    town.until(lambda: town.events(incident).count("event") == 19)
    assert len(town.creates()) == 1


def test_every_successor_answers_when_real_posts_race_with_an_end(town: Town) -> None:
    """Twenty different alarms against a close: each is news of an incident, and one is alive at the end."""
    ref = _ref()
    first = _post(town, _body(ref))["incident_id"]
    town.until(lambda: town.status(first) == "requested")
    alarm = town.alarms()[0]["id"]
    with ThreadPoolExecutor(21) as pool:
        posts = [pool.submit(_post, town, _body(ref, zone=str(n))) for n in range(20)]
        pool.submit(lambda: town.noonlight("_step", id=alarm, event="alarm.closed")).result()
        for post in posts:
            post.result()
    town.until(lambda: town.status(first) == "closed")
    town.settle()

    rows = "SELECT state, count(*) FROM inbox WHERE incident_id IN (SELECT id FROM incident WHERE incident_ref = :r)"
    assert {row[0] for row in town.rows(rows + " GROUP BY 1", r=ref)} == {"done"}
    told = "SELECT count(*) FROM timeline t JOIN incident i ON i.id = t.incident_id WHERE i.incident_ref = :r "
    assert town.one(told + "AND t.event IN ('received', 'event')", r=ref) == 21


def test_event_id_is_taken_once_when_it_is_posted_twice_to_an_incident(town: Town) -> None:
    """`/events` with an id."""
    incident, _ = dispatched_home(town)
    for _ in range(2):
        town.post(f"/v1/incidents/{incident}/events", {"kind": "burglary", "zone": "3", "event_id": "x-1"})
    town.settle()

    assert town.events(incident).count("event") == 1


def test_person_comes_when_panic_of_an_ended_incident_repeats_beside_a_burglary(town: Town) -> None:
    """Yesterday's bytes, while something less severe of the same reference lives."""
    ref = _ref()
    first = _closed(town, _body(ref, "panic"))
    _days_pass(town, ref)
    second = _post(town, _body(ref))["incident_id"]
    town.until(lambda: town.status(second) == "requested")
    third = _post(town, _body(ref, "panic"))

    assert (third["repeat"], third["incident_id"] in (first, second)) == ("successor", False)
    town.until(lambda: town.status(third["incident_id"]) == "requested")


def test_news_is_told_when_it_repeats_the_bytes_of_an_ended_incident(town: Town) -> None:
    """Zone 1 of yesterday is news of what goes on today, once."""
    ref = _ref()
    first = _closed(town, _body(ref, zone="1"))
    _days_pass(town, ref)
    second = _post(town, _body(ref, zone="5"))["incident_id"]
    news = [_post(town, _body(ref, zone="1")) for _ in range(2)]

    assert [(one["repeat"], one["incident_id"]) for one in news] == [("fold", second), ("same", second)]
    town.until(lambda: town.events(second).count("event") == 1)
    assert "event" not in town.events(first)


@pytest.mark.parametrize(("kind", "sent"), [("panic", True), ("trouble", False)])
def test_person_comes_when_an_event_after_the_end_asks_for_one(town: Town, kind: str, sent: bool) -> None:
    """A panel that adds a panic to an incident which is over is not left alone; a trouble stays where it is."""
    ref = _ref()
    incident = _closed(town, _body(ref))
    before = len(town.creates())

    assert town.post(f"/v1/incidents/{incident}/events", {"kind": kind}).status_code == 202
    town.settle()

    assert len(town.creates()) - before == sent
    assert town.one("SELECT count(*) FROM incident WHERE incident_ref = :r", r=ref) == 1 + sent


def test_event_names_one_incident_when_its_repeats_race_with_the_end_of_another(town: Town) -> None:
    """One repeat is judged while the trouble before it lives, and another one when that is recorded already."""
    for _ in range(40):
        ref = _ref()
        _post(town, _body(ref, "trouble", event_id="first", message="first"))
        start = threading.Barrier(5)

        def again(ref: str = ref, start: threading.Barrier = start) -> str:
            start.wait()
            return str(_post(town, _body(ref, "trouble", event_id="second"))["incident_id"])

        with ThreadPoolExecutor(5) as pool:
            answers = [pool.submit(again) for _ in range(4)]
            start.wait()
            town.turn(Lane.INTAKE)
            assert len({answer.result() for answer in answers}) == 1


class _Paused(Taker):
    """Stops between what it judged and what it stores."""

    def __init__(self, here: Door, before: str) -> None:
        super().__init__(here.database, here.box)
        self.judged, self.go_on = threading.Event(), threading.Event()
        self._whole = getattr(self, before)
        setattr(self, before, self._pause)

    def _pause(self, *values: Any) -> Any:
        if not self.judged.is_set():
            self.judged.set()
            assert self.go_on.wait(10)
        return self._whole(*values)


@pytest.mark.parametrize("first", ["fold", "successor"])
@pytest.mark.parametrize("site", [None, "gate"])
def test_event_names_one_incident_when_its_repeats_are_judged_at_once(town: Town, first: str, site: str | None) -> None:
    """As news of a trouble that lives, or as new after that was recorded: the second judge waits for the first."""
    here: Door = town.app.extensions["tocsin"]
    more = (
        {} if site is None else {"site_ref": town.guarded_site(f"{site}-{_ref()}"), "provider": None, "location": None}
    )
    ref = _ref()
    _post(town, _body(ref, "trouble", event_id="first", message="first") | more)
    if first == "successor":
        town.turn(Lane.INTAKE)
    body = parse(AlarmBody, _body(ref, "trouble", event_id="second") | more)
    alarm = Alarm(body, Principal("default", town.one("SELECT min(id) FROM api_key"), frozenset(), None), "d" * 64, 100)
    paused, other = _Paused(here, "_coming"), Taker(here.database, here.box)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(paused.take, alarm)]
        assert paused.judged.wait(10)
        town.turn(Lane.INTAKE)  # the trouble is recorded, and over
        answers.append(pool.submit(other.take, alarm))
        town.until(lambda: town.one("SELECT count(*) FROM pg_locks WHERE NOT granted"), lanes=(Lane.PERIODIC,))
        paused.go_on.set()
        taken = [answer.result(10) for answer in answers]
    assert len({one.incident_id for one in taken}) == 1
    assert [one.repeat for one in taken] == [first, "same"]
