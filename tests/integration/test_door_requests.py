"""What the door makes of malformed requests, wrong keys and its own faults."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi import definitions

from tests.integration.door_stage import HOME, Reply, Stage
from webhooks_app.errors import ProblemDocument

ALARM: dict[str, Any] = {"incident_ref": "A-1", "kind": "burglary", **HOME}


def send(stage: Stage, raw: bytes, content_type: str = "application/json") -> Reply:
    """Post bytes as an alarm."""
    headers = stage.headers() | {"Content-Type": content_type}
    return Reply.of(stage.client.post("/v1/alarms", data=raw, headers=headers))


def with_value(value: str) -> bytes:
    """An alarm with raw JSON as its severity."""
    return json.dumps(ALARM | {"severity": "@"}).replace('"@"', value).encode()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 411),
        (b"nope", 400),
        (b"[]", 422),
        (b'"x"', 422),
        (b"null", 422),
        (b"{}", 422),
        (b"\xff", 400),
        (b'{"a":"\x00"}', 400),
        (b'{"a":"\\u0000"}', 400),
        (b'{"\\u0000":1}', 400),
        (b'{"a":"\\ud800"}', 400),
        (b"[" * 200_000, 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
        (b"[" + b"1," * 3000 + b"1]", 400),
        (with_value("NaN"), 400),
        (with_value("-Infinity"), 400),
        (with_value("1e999"), 400),
        (with_value("1" * 16), 400),
        (with_value("1" * 5000), 400),
        (with_value("101"), 422),
        (with_value("1.5"), 422),
        (with_value("{}"), 422),
        (b"x" * 300_000, 413),
    ],
)
def test_junk_is_a_problem(stage: Stage, raw: bytes, status: int) -> None:
    """Never a 500, and nothing is stored."""
    answer = send(stage, raw)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert ProblemDocument.model_validate(answer.json).status == status
    assert stage.inbox() == []


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "party"},
        {"incident_ref": ""},
        {"incident_ref": "x" * 201},
        {"incident_ref": "a\nb"},
        {"incident_ref": 5},
        {"unknown": 1},
        {"test": "yes"},
        {"occurred_at": "2026-01-01T00:00:00"},
        {"occurred_at": "0001-01-01T00:00:00+14:00"},
        {"occurred_at": 5},
        {"person": None},
        {"location": {}},
        {"location": {"coordinates": {"lat": 91, "lng": 0}}},
        {"location": HOME["location"] | {"coordinates": {"lat": 1, "lng": 1}}},
        {"message": "x" * 2001},
        {"person": {"name": "Ann", "phone": "+1", "secret-4711": "4711"}},
    ],
)
def test_invalid_field_is_named_and_not_quoted(stage: Stage, change: dict[str, Any]) -> None:
    """422 with the field, without what was sent."""
    answer = stage.post("/v1/alarms", ALARM | change)

    assert answer.status_code == 422
    assert answer.json["errors"]
    for secret in ("secret-4711", "Ann Example", "party", "5550123"):
        assert secret not in answer.text


def test_json_with_duplicate_keys_is_fine(stage: Stage) -> None:
    """The last one counts."""
    raw = json.dumps(ALARM).encode().replace(b'{"incident_ref"', b'{"incident_ref": "first", "incident_ref"', 1)
    answer = send(stage, raw)

    assert answer.status_code == 202
    assert stage.get(f"/v1/incidents/{answer.json['incident_id']}").json["incident_ref"] == "A-1"


def test_body_must_be_json_by_its_type(stage: Stage) -> None:
    """415 for anything else, charset allowed."""
    raw = json.dumps(ALARM).encode()

    assert send(stage, raw, "text/plain").status_code == 415
    assert send(stage, raw, "application/json; charset=utf-8").status_code == 202


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic abc", "Bearer wrong", "Bearer " + "x" * 500, "Bearer \xff", "Token x"]
)
def test_key_is_needed(stage: Stage, value: str) -> None:
    """401 with a challenge."""
    answer = Reply.of(stage.client.get("/v1/incidents", headers={"Authorization": value}))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_key_does_what_its_scopes_say(stage: Stage) -> None:
    """403 for the rest."""
    raising, reading = stage.new_key(["alarms"]), stage.new_key(["incidents"])

    assert stage.post("/v1/alarms", ALARM, raising).status_code == 202
    assert stage.post("/v1/alarms", ALARM, reading).status_code == 403
    assert stage.get("/v1/incidents", raising).status_code == 403
    assert stage.get("/v1/sites", reading).status_code == 403
    assert stage.get("/v1/platform", reading).status_code == 403


def test_unknown_routes_and_methods_are_problems(stage: Stage) -> None:
    """404 and 405, with what is allowed."""
    missing, wrong = stage.get("/v2/nothing"), stage.get("/v1/alarms")

    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert wrong.headers["Allow"] == "POST"
    assert ProblemDocument.model_validate(wrong.json)
    assert stage.get("/v1/incidents/a%00b").status_code == 404


def test_accident_says_nothing_of_what_was_sent(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the answer nor the log has a value; the log has the frames."""
    stage.change("UPDATE platform SET policies = '[1]' WHERE id = :own", own=stage.platform_id)
    answer = stage.post("/v1/alarms", ALARM)

    assert answer.status_code == 500
    assert "4711" not in answer.text
    assert "AttributeError" not in answer.text
    logged: Any = caplog.records[-1].msg
    assert (logged["event"], logged["error"]) == ("door.accident", "AttributeError")
    assert any("alarms.py" in frame for frame in logged["frames"])
    assert "4711" not in str(logged)


def test_answers_carry_security_headers_and_a_request_id(stage: Stage) -> None:
    """Also the refusals."""
    answer = Reply.of(stage.client.get("/v1/alarms", headers={"X-Request-Id": "abc-12345"}))

    assert answer.headers["X-Request-Id"] == "abc-12345"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_document_is_valid_openapi(stage: Stage) -> None:
    """By the OpenAPI 3.1 schema, with every reference resolved."""
    document = stage.get("/openapi.json").json

    jsonschema_rs.validator_for(definitions.OPENAPI_31).validate(document)
    text = json.dumps(document)
    assert "no text after" in text
    for schema in document["components"]["schemas"]:
        assert f"#/components/schemas/{schema}" in text


def test_docs_page_loads_nothing(stage: Stage) -> None:
    """No script, no other host; every problem type has its anchor."""
    answer = stage.get("/docs")

    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert "http://" not in answer.text
    assert "id='invalid'" in answer.text


def test_ready_warns_of_what_is_missing(stage: Stage) -> None:
    """Ready all the same: alarms can be kept."""
    stage.change("INSERT INTO heartbeat (name) VALUES ('watchman_loop') ON CONFLICT (name) DO UPDATE SET at = now()")
    answer = stage.get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    warnings = " ".join(answer.json["warnings"])
    assert "TOCSIN_ESCALATION_URL" in warnings
    assert "beat gave no sign" in warnings
    assert "redis" not in warnings
    assert "watchman gave" not in warnings
    assert stage.get("/healthz").json == {"status": "ok"}


def test_metrics_show_door_and_database(stage: Stage) -> None:
    """Counters of this application, gauges of this moment."""
    stage.post("/v1/alarms", ALARM)
    stage.change(
        "UPDATE incident SET received_at = now() - interval '1 hour' WHERE platform_id = :p", p=stage.platform_id
    )
    text = stage.get("/metrics").text

    assert 'tocsin_door_alarms_total{repeat="new"} 1.0' in text
    assert "tocsin_database_up 1.0" in text
    assert 'tocsin_due{lane="dispatch"} 0.0' in text
    oldest = next(line for line in text.splitlines() if line.startswith("tocsin_oldest_unserved_alarm_seconds "))
    assert float(oldest.split()[1]) >= 3600
