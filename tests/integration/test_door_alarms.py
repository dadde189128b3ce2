"""Alarms at the door: what is stored, what is a repeat, what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.domain.lanes import Lane
from tests.integration.door_stage import HOME, Stage


def burglary(**values: Any) -> dict[str, Any]:
    """An alarm of a home without a site."""
    return {"incident_ref": "A-1", "kind": "burglary", **HOME, **values}


def test_alarm_is_incident_and_inbox_row_when_it_is_answered(stage: Stage) -> None:
    """The 202 means that both are committed, sealed, and rung for."""
    account = stage.account("noonlight")

    answer = stage.post("/v1/alarms", burglary(zone="3", event_id="e-1"))

    assert answer.status_code == 202, answer.json
    incident_id = answer.json["incident_id"]
    assert answer.json["repeat"] is None
    assert answer.json["status"] == "received"
    (incident,) = stage.rows("SELECT * FROM incident WHERE id = :id", id=incident_id)
    assert (incident.account_id, incident.generation, list(incident.services)) == (account, 1, ["police"])
    assert stage.box.open(incident.details)["person"]["phone"] == "+1 202 555 0123"
    assert b"5550123" not in bytes(incident.details)
    (row,) = stage.inbox()
    assert (row.source, row.incident_id, row.stream, row.priority) == ("alarm", incident_id, incident_id, 40)
    assert stage.bell.rung == [Lane.INTAKE]


def test_alarm_gets_the_same_answer_when_it_is_repeated(stage: Stage) -> None:
    """The same content, also under another event id, changes nothing."""
    first = stage.post("/v1/alarms", burglary(event_id="e-1")).json
    again = stage.post("/v1/alarms", burglary(event_id="e-2")).json

    assert again["incident_id"] == first["incident_id"]
    assert again["repeat"] == "same"
    assert len(stage.inbox()) == 1


def test_alarm_is_the_same_when_the_event_of_a_repeat_comes_again_after_the_end(stage: Stage) -> None:
    """Found by chaos: the event was known by its content only, and a late retry of it sent somebody a second time."""
    first = stage.post("/v1/alarms", burglary(event_id="e-1")).json
    stage.post("/v1/alarms", burglary(event_id="e-2"))
    stage.change("UPDATE incident SET status = 'closed' WHERE id = :id", id=first["incident_id"])
    stage.change(
        "UPDATE repeat_key SET seen_at = seen_at - interval '1 day' WHERE platform_id = :own", own=stage.platform_id
    )
    late = stage.post("/v1/alarms", burglary(event_id="e-2")).json

    assert (late["repeat"], late["incident_id"]) == ("same", first["incident_id"])


def test_alarm_is_folded_when_its_incident_lives(stage: Stage) -> None:
    """News of the same incident becomes an event, once."""
    first = stage.post("/v1/alarms", burglary()).json
    news = stage.post("/v1/alarms", burglary(zone="4")).json
    again = stage.post("/v1/alarms", burglary(zone="4")).json

    assert (news["repeat"], again["repeat"]) == ("fold", "same")
    assert news["incident_id"] == again["incident_id"] == first["incident_id"]
    rows = stage.inbox()
    assert [row.source for row in rows] == ["alarm", "event"]
    body = stage.box.open(rows[1].body)
    assert (body["folded"], body["zone"], body["kind"]) == (True, "4", "burglary")


@pytest.mark.parametrize(("before", "after"), [({"kind": "trouble"}, {"kind": "panic"}), ({"test": True}, {})])
def test_alarm_opens_a_successor_when_it_is_worse(stage: Stage, before: dict[str, Any], after: dict[str, Any]) -> None:
    """A panic after a trouble, and a real alarm after a test: a person always comes."""
    first = stage.post("/v1/alarms", burglary(**before)).json
    worse = stage.post("/v1/alarms", burglary(**after)).json

    assert worse["repeat"] == "successor"
    (row,) = stage.rows("SELECT * FROM incident WHERE id = :id", id=worse["incident_id"])
    assert (row.generation, row.predecessor_id) == (2, first["incident_id"])
    shown = stage.get(f"/v1/incidents/{first['incident_id']}").json
    assert shown["successor_id"] == worse["incident_id"]


def test_alarm_opens_a_successor_when_the_same_bytes_come_a_day_after_the_end(stage: Stage) -> None:
    """Within a minute they are a repeat, a day later they are an alarm."""
    first = stage.post("/v1/alarms", burglary()).json
    stage.change("UPDATE incident SET status = 'closed' WHERE id = :id", id=first["incident_id"])
    soon = stage.post("/v1/alarms", burglary()).json
    stage.change(
        "UPDATE repeat_key SET seen_at = seen_at - interval '1 day' WHERE platform_id = :own", own=stage.platform_id
    )
    late = stage.post("/v1/alarms", burglary()).json

    assert (soon["repeat"], soon["status"], late["repeat"]) == ("same", "closed", "successor")
    assert late["incident_id"] != first["incident_id"]


def test_alarm_is_the_same_when_its_incident_is_no_longer_kept(stage: Stage) -> None:
    """Keys outlive the incident that they name."""
    alarm = burglary(event_id="e-9")
    first = stage.post("/v1/alarms", alarm).json
    stage.change("DELETE FROM inbox WHERE incident_id = :id", id=first["incident_id"])
    stage.change("DELETE FROM incident WHERE id = :id", id=first["incident_id"])

    again = stage.post("/v1/alarms", alarm | {"zone": "other"}).json

    assert again == first | {"status": "closed", "repeat": "same"}


def test_alarm_is_taken_once_when_many_post_it_at_once(stage: Stage) -> None:
    """Eight threads, forty posts, one incident."""

    def post(_: int) -> Any:
        return stage.app.test_client().post("/v1/alarms", json=burglary(), headers=stage.headers()).json

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(40)))

    assert len({answer["incident_id"] for answer in answers}) == 1
    assert sorted(str(answer["repeat"]) for answer in answers) == ["None"] + ["same"] * 39
    assert len(stage.inbox()) == 1


def test_fold_is_stored_once_when_many_post_it_at_once(stage: Stage) -> None:
    """Concurrent news of a living incident is one event."""
    stage.post("/v1/alarms", burglary())

    def post(_: int) -> Any:
        return stage.app.test_client().post("/v1/alarms", json=burglary(zone="9"), headers=stage.headers()).json

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))

    assert sorted(answer["repeat"] for answer in answers) == ["fold"] + ["same"] * 15
    assert len(stage.inbox()) == 2


def test_alarm_is_taken_when_its_site_is_unknown(stage: Stage) -> None:
    """Nobody is turned away with a panic; the work tells a person."""
    stage.account("aura")
    answer = stage.post("/v1/alarms", {"incident_ref": "S-1", "kind": "panic", "site_ref": "nowhere"})

    assert answer.status_code == 202
    (row,) = stage.rows("SELECT * FROM incident WHERE id = :id", id=answer.json["incident_id"])
    assert (row.site_id, row.account_id, row.site_ref) == (None, None, "nowhere")


def test_test_alarm_is_refused_when_its_account_is_a_production_one(stage: Stage) -> None:
    """Unless the platform allows it."""
    stage.account("noonlight", environment="production")

    refused = stage.post("/v1/alarms", burglary(test=True))
    stage.put("/v1/platform", {"policies": {"allow_test_in_production": True}})
    allowed = stage.post("/v1/alarms", burglary(test=True))

    assert (refused.status_code, allowed.status_code) == (422, 202)
    assert refused.json["errors"][0]["field"] == "test"


def test_test_alarm_leaves_through_staging_when_both_accounts_exist(stage: Stage) -> None:
    """And a real one through production."""
    stage.account("noonlight", id=f"{stage.platform_id}-prod", environment="production")
    stage.account("noonlight", id=f"{stage.platform_id}-stage", environment="staging")

    taken = [stage.post("/v1/alarms", burglary(incident_ref=f"T-{test}", test=test)).json for test in (True, False)]

    sql = "SELECT account_id FROM incident WHERE id = :id"
    accounts = [stage.rows(sql, id=answer["incident_id"])[0].account_id for answer in taken]
    assert accounts == [f"{stage.platform_id}-stage", f"{stage.platform_id}-prod"]


def test_alarm_without_site_is_refused_when_the_provider_needs_one(stage: Stage) -> None:
    """With the reason."""
    stage.account("aura")
    answer = stage.post("/v1/alarms", burglary(provider="aura"))

    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "site_ref"


def test_panel_key_raises_for_its_own_site_only(stage: Stage) -> None:
    """Its site is filled in; another is refused; it reads nothing."""
    panel = stage.new_key(["panel"], "gate 7")

    own = stage.post("/v1/alarms", {"incident_ref": "P-1", "kind": "panic"}, panel)
    other = stage.post("/v1/alarms", {"incident_ref": "P-2", "kind": "panic", "site_ref": "gate 8"}, panel)
    read = stage.get("/v1/incidents", panel)

    assert (own.status_code, other.status_code, read.status_code) == (202, 403, 403)
    (row,) = stage.rows("SELECT * FROM incident WHERE id = :id", id=own.json["incident_id"])
    assert (row.site_ref, row.origin) == ("gate 7", "panel")


def test_alarm_needs_few_round_trips(stage: Stage) -> None:
    """One read and one write; the rest is ping, begin and commit."""
    from sqlalchemy import event

    stage.post("/v1/alarms", burglary(incident_ref="warm"))
    statements: list[str] = []
    engine = stage.app.extensions["tocsin"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    stage.post("/v1/alarms", burglary(incident_ref="measured"))

    assert len(statements) == 2
