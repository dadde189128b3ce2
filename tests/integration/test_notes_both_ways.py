"""What others write about a callout reaches the operator once; what we wrote never comes back to him as theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import (
    another_worker,
    await_request,
    await_that,
    calm,
    cancel,
    legs_of,
    requested,
)
from tests.town import QUICK, Town, open_town


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file; notes longer than 60 characters go in parts."""
    with open_town(embedded, **QUICK, aura_options={"note_max": 60}) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    open_for_all.change("UPDATE dispatch SET poll_at = NULL")
    return open_for_all


def _says(town: Town, incident: str, note: str) -> None:
    town.aura("_step", id=int(legs_of(town, incident)[-1]), event="CALLOUT_EVENTS_CHANGED", note=note)


def _mirrored(town: Town, incident: str) -> list[str]:
    return [entry["entry"] for entry in town.incident(incident)["timeline"] if entry["event"] == "note"]


def _stream(town: Town) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = town.callouts()[0]["events"]
    return events


def _path(town: Town, incident: str, end: str) -> str:
    return f"/panic-api/v2/callouts/{legs_of(town, incident)[-1]}/{end}"


def test_note_of_the_control_room_comes_once_when_it_is_told_twice(town: Town) -> None:
    """On the timeline and in one write-back, whatever repeats."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    town.aura("_control", webhooks="duplicate")
    _says(town, incident, "Guard asks for\nthe gate code")
    town.until(lambda: _mirrored(town, incident))
    town.poll()

    assert _mirrored(town, incident) == ["Note from controlroom: Guard asks for the gate code"]
    told = [b for b in town.writebacks(town.incident(incident)["incident_ref"]) if b["event"] == "note"]
    assert [(body["entry"], body["status"]) for body in told] == [(_mirrored(town, incident)[0], "requested")]


def test_each_note_comes_when_one_webhook_tells_of_two(town: Town) -> None:
    """The stream is read, not the webhook; equal texts of two ids are two notes."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    town.aura("_control", webhooks="off")
    _says(town, incident, "On my way")
    town.aura("_control", webhooks="normal")
    _says(town, incident, "On my way")
    town.until(lambda: len(_mirrored(town, incident)) == 2)


def test_notes_come_when_webhooks_are_off(town: Town) -> None:
    """With the poll of the open callout."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    town.aura("_control", webhooks="off")
    _says(town, incident, "Nothing to see here")
    town.poll()

    assert len(_mirrored(town, incident)) == 1


def test_own_notes_never_come_back_when_they_went_in_parts(town: Town) -> None:
    """The context of the alarm and an operator's long note, each part with an id of its own."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.post(f"/v1/incidents/{incident}/notes", {"text": "The blue gate is open. " * 12, "by": "Ann Operator"})
    town.until(lambda: "note_delivered" in town.events(incident))
    town.poll()

    assert len(_stream(town)) > 4
    assert _mirrored(town, incident) == []


def test_own_note_never_comes_back_when_its_answer_was_lost(town: Town) -> None:
    """Known by its text until its id is learnt; the same text from somebody else is theirs."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    path = _path(town, incident, "events")
    town.aura("_control", drop_answer=[{"path": path, "times": 1}])
    town.post(f"/v1/incidents/{incident}/notes", {"text": "Gate 7", "by": "Ann Operator"})
    town.until(lambda: "note_unconfirmed" in town.events(incident))
    town.poll()
    assert _mirrored(town, incident) == []

    _says(town, incident, "Gate 7")
    town.until(lambda: _mirrored(town, incident))
    assert len(_mirrored(town, incident)) == 1


def test_own_note_never_comes_back_when_its_echo_overtakes_the_answer(town: Town) -> None:
    """The stream is read while the answer is still on its way."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    path = _path(town, incident, "events")
    town.aura("_control", hang=[{"path": path, "method": "POST", "seconds": 1.0, "work": "before", "times": 1}])
    town.post(f"/v1/incidents/{incident}/notes", {"text": "Gate 9", "by": "Ann Operator"})
    town.turn(Lane.INTAKE)
    with another_worker(town, Lane.OUTGOING):
        await_that(lambda: any(event["event"]["text"] == "Gate 9" for event in _stream(town)))
        town.turn(Lane.INTAKE)
        await_request(town, "aura", "GET", "/events")
        town.until(lambda: "note_delivered" in town.events(incident), lanes=(Lane.INTAKE,))
    town.poll()

    assert _mirrored(town, incident) == []


def test_part_that_was_taken_is_not_sent_again_when_the_next_one_failed(town: Town) -> None:
    """A retry goes on where it stopped."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    before = len(_stream(town))
    path = _path(town, incident, "events")
    posts = sum(entry["method"] == "POST" and entry["path"] == path for entry in town.aura("_log"))
    town.post(f"/v1/incidents/{incident}/notes", {"text": "a" * 60 + "b" * 60, "by": "Ann Operator"})
    town.turn(Lane.INTAKE)
    town.change("INSERT INTO own_note (outbox_id, part, leg_id, digest, note_id) SELECT o.id, 0, d.id, '', 'x' "
                "FROM outbox o JOIN dispatch d ON d.incident_id = o.incident_id WHERE o.kind = 'note' "
                "AND o.state = 'pending'")  # fmt: skip
    town.until(lambda: "note_delivered" in town.events(incident))

    assert [event["event"]["text"] for event in _stream(town)][before:] == ["b" * 60]
    assert sum(e["method"] == "POST" and e["path"] == path for e in town.aura("_log")) == posts + 1


def test_all_incidents_of_a_shared_callout_read_the_note(town: Town) -> None:
    """Each once."""
    site = town.guarded_site()
    first, second = requested(town, site, "burglary"), requested(town, site, "burglary")
    town.settle()
    _says(town, first, "All clear")
    town.until(lambda: _mirrored(town, second))

    assert [len(_mirrored(town, one)) for one in (first, second)] == [1, 1]


def test_reason_goes_ahead_when_the_operator_cancels(town: Town) -> None:
    """As a note, before the cancel; it does not come back."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    cancel(town, incident, note="Cleaner tripped it")
    town.until(lambda: town.incident(incident)["cancel"] == "confirmed")
    town.settle()

    posts = [e for e in town.aura("_log") if e["method"] == "POST" and "/callouts/" in e["path"]]
    assert [entry["path"].rpartition("/")[2] for entry in posts][-2:] == ["events", "cancel"]
    assert _stream(town)[-1]["event"]["text"] == "CANCELLED BY THE OPERATOR: false alarm\nCleaner tripped it"
    assert _mirrored(town, incident) == []


@pytest.mark.parametrize("fault", ["hang", "refused", "lost"])
def test_cancel_goes_when_the_note_of_its_reason_fails(town: Town, fault: str) -> None:
    """At once: the note is tried shortly, and never again."""
    incident = requested(town, town.guarded_site(), "burglary")
    town.settle()
    path = _path(town, incident, "events")
    faults: dict[str, Any] = {
        "hang": {"hang": [{"path": path, "seconds": 2.0}]},
        "refused": {"fail": [{"path": path, "status": 500}]},
        "lost": {"drop_answer": [{"path": path}]},
    }
    town.aura("_control", **faults[fault])
    cancel(town, incident)
    town.turn(Lane.INTAKE, Lane.DISPATCH)

    assert town.callouts()[0]["status"] == "Responder Cancelled"
    assert town.one("SELECT attempts FROM outbox WHERE incident_id = :i AND kind = 'cancel'", i=incident) == 1
