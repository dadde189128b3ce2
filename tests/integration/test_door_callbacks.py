"""Provider webhooks at the door: verified over the raw bytes, stored once, answered at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane
from shared.store import platforms
from tests.integration.door_stage import HOME, Reply, Stage


def event(number: int, **values: Any) -> dict[str, Any]:
    """A Noonlight event as it is documented."""
    return {
        "event_id": f"ev-{number}",
        "event_type": "alarm.psap_contacted",
        "event_time": "2026-01-01T00:00:00Z",
        "meta": {"alarm_id": "al-1"},
        **values,
    }


def signed(stage: Stage, account: str, body: Any, secret: str = "hook-secret") -> Reply:
    """Deliver to Noonlight's hook of an account, signed."""
    raw = body if isinstance(body, bytes) else json.dumps(body, indent=1).encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode()
    return stage.deliver(f"/webhooks/noonlight/{account}", raw, **{"X-Noonlight-Signature": signature})


def test_events_are_stored_once_when_the_delivery_is_replayed(stage: Stage) -> None:
    """Each event is a row; a replay gets the same answer."""
    account = stage.account("noonlight")
    answers = [signed(stage, account, [event(1), event(2), event(1)]) for _ in range(3)]

    assert [(answer.status_code, answer.json) for answer in answers] == [(200, {"accepted": 3})] * 3
    rows = stage.inbox()
    assert [row.event_id for row in rows] == ["ev-1", "ev-2"]
    assert (rows[0].source, rows[0].priority, rows[0].account_id) == ("webhook", 55, account)
    assert rows[0].stream == f"{account}:{rows[0].subject}"
    assert json.loads(stage.box.open(rows[0].body))["meta"]["alarm_id"] == "al-1"
    assert stage.bell.rung[0] is Lane.INTAKE


def test_hook_notes_that_it_is_alive(stage: Stage) -> None:
    """For the account's supervision."""
    account = stage.account("noonlight")
    signed(stage, account, event(1))

    assert stage.rows("SELECT webhook_seen_at FROM provider_account WHERE id = :id", id=account)[0][0] is not None


def test_empty_delivery_is_fine(stage: Stage) -> None:
    """Nothing to store, nothing to ring for."""
    answer = signed(stage, stage.account("noonlight"), [])

    assert (answer.status_code, answer.json) == (200, {"accepted": 0})
    assert stage.bell.rung == []


@pytest.mark.parametrize("secret", ["new-secret", "old-secret"])
def test_delivery_is_taken_when_any_secret_fits(stage: Stage, secret: str) -> None:
    """Secrets rotate without a gap."""
    account = stage.account("noonlight", webhook_secrets=["new-secret", "old-secret"])

    assert signed(stage, account, event(1), secret).status_code == 200


@pytest.mark.parametrize("signature", ["", "x", "ü", "\x80", "=" * 5000, "AAAA", "null"])
def test_delivery_is_refused_when_the_signature_is_junk(stage: Stage, signature: str) -> None:
    """401, never 500, and nothing is stored."""
    account = stage.account("noonlight")
    raw = json.dumps(event(1)).encode()
    answer = stage.deliver(f"/webhooks/noonlight/{account}", raw, **{"X-Noonlight-Signature": signature})

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert stage.inbox() == []


def test_hook_says_503_when_no_secret_is_configured(stage: Stage) -> None:
    """Nothing can be trusted, and the sender keeps it."""
    answer = signed(stage, stage.account("noonlight", webhook_secrets=[]), event(1))

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    "raw",
    [
        b" ",
        b"nope",
        b"1",
        b"[" * 100_000,
        b'{"event_id":"\\u0000"}',
        b"\xff\xfe",
        b'{"event_id":"' + b"9" * 9000 + b'"}',
    ],
)
def test_signed_junk_is_never_an_accident(stage: Stage, raw: bytes) -> None:
    """Refused, or kept as an event that means nothing."""
    answer = signed(stage, stage.account("noonlight"), raw)

    assert answer.status_code in (200, 400)


def test_equal_bodies_without_ids_collapse_only_while_unworked(stage: Stage) -> None:
    """AURA names no event; what was worked may come again."""
    account = stage.account("aura")
    raw = json.dumps({"message": "RESPONDER_ARRIVED_ON_SCENE", "callout": {"id": "c-1"}}).encode()

    def deliver() -> int:
        answer = stage.deliver(f"/webhooks/aura/{account}", raw, Authorization="Bearer hook-secret")
        assert answer.status_code == 200
        return len(stage.inbox())

    assert [deliver(), deliver()] == [1, 1]
    stage.change("UPDATE inbox SET state = 'done' WHERE account_id = :id", id=account)
    assert deliver() == 2
    assert stage.inbox()[0].subject == "c-1"


def test_default_account_answers_the_short_path(stage: Stage) -> None:
    """`/webhooks/<provider>` needs no account; what is unknown is 404."""
    account = stage.account("aura", is_default=True)
    raw = json.dumps({"message": "CALLOUT_CLOSED", "callout": {"id": "c-2"}}).encode()

    assert stage.deliver("/webhooks/aura", raw, Authorization="Bearer hook-secret").status_code == 200
    assert stage.inbox()[0].account_id == account
    for path in ("/webhooks/nobody", "/webhooks/aura/nobody", f"/webhooks/noonlight/{account}"):
        assert stage.deliver(path, raw, Authorization="Bearer hook-secret").status_code == 404


def test_webhook_is_taken_while_its_platform_is_being_changed(stage: Stage) -> None:
    """Rows that share a commit would all wait for that lock."""
    account = stage.account("noonlight")
    with Session(stage.engine) as session:
        platforms.locked(session, stage.platform_id)
        assert signed(stage, account, event(1)).status_code == 200


def test_nothing_is_acknowledged_when_the_commit_itself_fails(stage: Stage) -> None:
    """A statement may be done and its commit not: of a delivery as of an alarm."""
    account = stage.account("noonlight")
    stage.change("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$""")
    stage.change("""CREATE CONSTRAINT TRIGGER late AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW EXECUTE FUNCTION refuse()""")
    try:
        delivered = signed(stage, account, event(1))
        raised = stage.post("/v1/alarms", {"incident_ref": "late", "kind": "burglary", **HOME})
    finally:
        stage.change("DROP TRIGGER late ON inbox")
        stage.change("DROP FUNCTION refuse()")

    assert (delivered.status_code, raised.status_code) == (503, 503)
    assert stage.inbox() == []
    assert stage.rows("SELECT 1 FROM incident WHERE platform_id = :p", p=stage.platform_id) == []


def test_webhook_needs_one_statement(stage: Stage) -> None:
    """All events of a delivery are one INSERT."""
    from sqlalchemy import event as events

    account = stage.account("noonlight")
    signed(stage, account, event(1))
    statements: list[str] = []
    engine = stage.app.extensions["tocsin"].database.engine
    events.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    signed(stage, account, [event(number) for number in range(2, 50)])

    assert len(statements) == 1
    assert len(stage.inbox()) == 49
