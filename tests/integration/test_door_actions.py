"""Actions on incidents, reading them, and notices."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.lanes import Lane
from tests.integration.door_stage import HOME, Stage, close_stage, open_stage
from webhooks_app.answers import AlarmTaken, IncidentFull, IncidentList, NoticeShown


def raised(stage: Stage, ref: str = "A-1", **values: Any) -> str:
    """The id of an incident that was just raised."""
    answer = stage.post("/v1/alarms", {"incident_ref": ref, "kind": "burglary", **HOME, **values})
    return AlarmTaken.model_validate(answer.json).incident_id


def test_cancel_is_a_sealed_row_when_it_is_accepted(stage: Stage) -> None:
    """Whether it stops anything the work decides."""
    incident_id = raised(stage)
    answer = stage.post(f"/v1/incidents/{incident_id}/cancel", {"reason": "false_alarm", "pin": "4711", "by": "Ann"})

    assert (answer.status_code, answer.json["cancel"]) == (202, "received")
    row = stage.inbox()[-1]
    assert (row.source, row.stream, row.priority, row.incident_id) == ("cancel", incident_id, 0, incident_id)
    body = {"reason": "false_alarm", "note": None, "pin": "4711", "by": "Ann", "origin": "platform"}
    assert stage.box.open(row.body) == body
    assert b"4711" not in bytes(row.body)
    assert stage.bell.rung[-1] is Lane.INTAKE


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("resend", {"by": "Ann", "reason": None}),
        ("drop", {"by": "Ann", "reason": "burnt toast"}),
        ("close", {"by": "Ann", "reason": "done"}),
        ("acknowledge", {"by": "Ann"}),
    ],
)
def test_action_is_a_row_of_its_name(stage: Stage, action: str, body: dict[str, Any]) -> None:
    """With the name of who acts, and not without."""
    incident_id = raised(stage)
    taken = stage.post(f"/v1/incidents/{incident_id}/{action}", body)
    nameless = stage.post(f"/v1/incidents/{incident_id}/{action}", {})

    assert (taken.status_code, nameless.status_code) == (202, 422)
    row = stage.inbox()[-1]
    assert (row.source, stage.box.open(row.body)) == (action, body)


def test_note_is_refused_with_the_reason_when_the_provider_takes_none(stage: Stage) -> None:
    """And taken where it does."""
    stage.account("noonlight")
    incident_id = raised(stage)
    answer = stage.post(f"/v1/incidents/{incident_id}/notes", {"text": "Side door"})

    assert answer.status_code == 409
    assert "text" in answer.json["detail"]


def test_note_is_taken_when_the_provider_takes_notes(stage: Stage) -> None:
    """As a row of source note."""
    stage.account("aura")
    stage.put("/v1/sites/s1", {"name": "Site", "coordinates": {"lat": -26.1, "lng": 28.05}})
    answer = stage.post("/v1/alarms", {"incident_ref": "A-2", "kind": "panic", "site_ref": "s1"})
    noted = stage.post(f"/v1/incidents/{answer.json['incident_id']}/notes", {"text": "Side door", "by": "Ann"})

    assert noted.status_code == 202, noted.json
    assert stage.box.open(stage.inbox()[-1].body) == {"text": "Side door", "by": "Ann"}


def test_event_counts_once_when_it_is_repeated_with_its_id(stage: Stage) -> None:
    """Without an id each post is an event."""
    incident_id = raised(stage)
    event = {"zone": "5", "event_id": "x-1"}
    answers = [stage.post(f"/v1/incidents/{incident_id}/events", event).json["repeat"] for _ in range(2)]

    assert answers == [None, "same"]
    rows = [row for row in stage.inbox() if row.source == "event"]
    assert [stage.box.open(row.body) for row in rows] == [event]


def test_panel_key_acts_only_on_its_site(stage: Stage) -> None:
    """It cancels and adds events there; elsewhere there is nothing for it."""
    panel = stage.new_key(["panel"], "gate 7")
    own = stage.post("/v1/alarms", {"incident_ref": "P-1", "kind": "burglary"}, panel).json["incident_id"]
    other = raised(stage, "P-2")

    assert stage.post(f"/v1/incidents/{own}/cancel", {"reason": "panel_reset"}, panel).status_code == 202
    assert stage.box.open(stage.inbox()[-1].body)["origin"] == "panel"
    assert stage.post(f"/v1/incidents/{own}/events", {"zone": "1"}, panel).status_code == 202
    assert stage.post(f"/v1/incidents/{other}/cancel", {"reason": "other"}, panel).status_code == 404
    assert stage.post(f"/v1/incidents/{own}/drop", {"by": "x", "reason": "y"}, panel).status_code == 403


def test_incident_is_nobody_elses(stage: Stage, database: str, redis_url: str) -> None:
    """Another platform's data are not there."""
    incident_id = raised(stage)
    other = open_stage(database, redis_url)

    answers = [
        other.get(f"/v1/incidents/{incident_id}"),
        other.post(f"/v1/incidents/{incident_id}/cancel", {"reason": "other"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert other.get("/v1/incidents").json["incidents"] == []
    close_stage(other)


def test_incidents_are_listed_page_by_page(stage: Stage) -> None:
    """Newest first, none twice, none left out."""
    made = [raised(stage, f"L-{number}") for number in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = stage.get(f"/v1/incidents?limit=2{cursor}").json
        IncidentList.model_validate(page)
        seen += [incident["incident_id"] for incident in page["incidents"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == made[::-1]


def test_incidents_are_filtered_by_status_site_and_moment(stage: Stage) -> None:
    """All three, alone and together."""
    raised(stage, "F-1")
    stage.post("/v1/alarms", {"incident_ref": "F-2", "kind": "panic", "site_ref": "a b"})

    def refs(query: str) -> list[str]:
        return [incident["incident_ref"] for incident in stage.get(f"/v1/incidents?{query}").json["incidents"]]

    assert refs("site_ref=a%20b") == ["F-2"]
    assert refs("status=closed,received&since=2026-01-01T00:00:00Z") == ["F-2", "F-1"]
    assert refs("status=closed") == []
    assert stage.get("/v1/incidents?status=lost").status_code == 422
    assert stage.get("/v1/incidents?cursor=bm8").status_code == 422


def test_incident_is_shown_whole(stage: Stage) -> None:
    """As the document promises, without the person."""
    stage.account("noonlight")
    incident_id = raised(stage, message="glass")
    stage.change(
        "INSERT INTO dispatch (incident_id, account_id, outcome, provider_alarm_id, status)"
        " SELECT id, account_id, 'accepted', 'n-1', 'requested' FROM incident WHERE id = :id",
        id=incident_id,
    )
    stage.change(
        "INSERT INTO incident_leg (incident_id, leg_id, outcome)"
        " SELECT incident_id, id, outcome FROM dispatch WHERE incident_id = :id",
        id=incident_id,
    )
    stage.change(
        "INSERT INTO timeline (incident_id, event, source, status, entry, occurred_at)"
        " VALUES (:id, 'alarm.received', 'door', 'received', 'received', now())",
        id=incident_id,
    )
    answer = stage.get(f"/v1/incidents/{incident_id}")

    shown = IncidentFull.model_validate(answer.json)
    assert (shown.provider, shown.legs[0].provider_alarm_id, len(shown.timeline)) == ("noonlight", "n-1", 1)
    assert "5550123" not in answer.text.replace(" ", "")
    assert "Ann" not in answer.text


def test_notice_is_silenced_once(stage: Stage) -> None:
    """The first name stays, and the audit has it."""
    incident_id = raised(stage)
    stage.change(
        "INSERT INTO notice (platform_id, subject, incident_id, kind, text)"
        " VALUES (:own, :subject, :id, 'failed', 'x')",
        own=stage.platform_id,
        subject=f"incident:{incident_id}",
        id=incident_id,
    )
    (notice,) = stage.get("/v1/notices").json["notices"]
    for name in ("Ann", "Bob"):
        answer = stage.post(f"/v1/notices/{notice['id']}/acknowledge", {"by": name})

    assert NoticeShown.model_validate(answer.json).acknowledged_by == "Ann"
    assert len(stage.rows("SELECT 1 FROM audit WHERE platform_id = :own", own=stage.platform_id)) == 1
    assert stage.post("/v1/notices/999999999/acknowledge", {"by": "Ann"}).status_code == 404
