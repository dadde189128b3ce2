"""From a rig and a ledger to a history: every table, what the sandbox saw, every log, and what lies in Redis."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import Any

from tests.chaos.casting import PERSONAL
from tests.chaos.history import Emitted, Heard, History, Patience, ProviderAlarm, Row, Told
from tests.chaos.ledger import Ledger
from tests.chaos.rig import Rig
from tests.chaos.vitals import IDLE_IN_TRANSACTION, Sample, connections
from tests.e2e.test_privacy import postgres_log, secrets
from tests.integration.test_stuck_storm import STUCK, UNSEEN

# What attending, a lost lease and a busy machine add to the moment at which somebody is told, in seconds.
SLACK_S = 12.0
SQL = {
    "incidents": """SELECT id, incident_ref, generation, predecessor_id, account_id, site_ref, kind, services, test,
        status, reason, cancel, possible_double, seq, acknowledged_by, received_at, ended_at
        FROM incident ORDER BY id""",
    "legs": """SELECT id, incident_id, account_id, outcome, provider_alarm_id, status, epoch, possible_double, cancel,
        sending_at, unknown_at, complete_lookups, answered_at, poll_at, created_at FROM dispatch ORDER BY id""",
    "links": "SELECT incident_id, leg_id, outcome, joined, linked_at, left_at FROM incident_leg",
    "timeline": """SELECT incident_id, leg_id, event, source, status, entry, effect, detail, occurred_at, recorded_at
        FROM timeline ORDER BY id""",
    "inbox": """SELECT id, source, incident_id, account_id, event_id, subject, state, attempts, received_at, worked_at,
        last_error FROM inbox ORDER BY id""",
    "outbox": """SELECT id, lane, kind, incident_id, leg_id, seq, urgent, worse, state, attempts, lost_leases, errors,
        next_attempt_at, lease_until, created_at, done_at, last_error FROM outbox ORDER BY id""",
    "attempts": """SELECT a.id, a.outbox_id, a.leg_id, o.incident_id, o.kind, a.token, a.outcome, a.reason,
        a.http_status, a.provider_id, a.late, a.started_at, a.ended_at
        FROM attempt a JOIN outbox o ON o.id = a.outbox_id ORDER BY a.id""",
    "notices": """SELECT id, subject, incident_id, kind, text, opened_at, told, heard_by_platform, heard_by_escalation,
        acknowledged_at, ended_at FROM notice ORDER BY id""",
}
OVERDUE = """
    SELECT 'outbox', id, kind, incident_id, attempts, errors, last_error FROM outbox o WHERE state = 'pending'
        AND greatest(next_attempt_at, coalesce(lease_until, next_attempt_at)) < now() - interval '20 seconds'
        AND (seq IS NULL OR urgent OR created_at < now() - interval '60 seconds')
    UNION ALL
    SELECT 'inbox', id, source, incident_id, attempts, 0, last_error FROM inbox WHERE state = 'pending'
        AND greatest(next_attempt_at, coalesce(lease_until, next_attempt_at)) < now() - interval '20 seconds'
    UNION ALL
    SELECT 'job', 0, name, NULL, 0, 0, last_error FROM job WHERE next_run_at < now() - interval '30 seconds'
"""
REF = re.compile(r"\bREF: (\S+)")


def gather(rig: Rig, ledger: Ledger, samples: Iterable[Sample] = (), *, whole: bool = True) -> History:
    """All of it. Not `whole`: while it still runs, without what only the end can show (logs, Redis, what is stuck)."""
    tables: dict[str, Any] = {name: _rows(rig, sql) for name, sql in SQL.items()}
    at_end: dict[str, Any] = {}
    if whole:
        at_end = {
            "stuck": tuple(str(tuple(row)) for sql in (STUCK, UNSEEN, OVERDUE) for row in rig.rows(sql)),
            "connections": connections(rig),
            "connections_allowed": _allowed(rig),
            "idle_in_transaction": rig.one(IDLE_IN_TRANSACTION),
            "texts": _texts(rig),
            "words": (*PERSONAL, *secrets(rig)),
        }
    with rig.sandbox.platform.lock:
        mail = rig.sandbox.platform.state()
    heard, told = _heard(mail)
    settings = rig.settings
    return History(
        patience=Patience(settings.told_after_s, settings.unconfirmed_after_s, SLACK_S),
        now=time.time(),
        operations=tuple(ledger.operations),
        spells=tuple(ledger.spells),
        alarms=tuple(_alarms(rig)),
        emitted=tuple(_emitted(rig)),
        forgeries_taken=rig.forgeries_taken,
        heard=tuple(heard),
        told=tuple(told),
        badly_signed=sum(box["rejected"] for box in mail.values() if "rejected" in box),
        samples=tuple(samples),
        **tables,
        **at_end,
    )


def _rows(rig: Rig, sql: str) -> tuple[Row, ...]:
    return tuple(dict(row._mapping) for row in rig.rows(sql))


def _alarms(rig: Rig) -> Iterable[ProviderAlarm]:
    noonlight, aura = rig.sandbox.noonlight, rig.sandbox.aura
    with noonlight.lock:
        alarms = noonlight.state()["alarms"]
    for alarm in alarms:
        named = REF.search(alarm["request"]["instructions"]["entry"])
        live = alarm["status"] == "ACTIVE" and not alarm["closed"]
        yield ProviderAlarm("noonlight", alarm["id"], named.group(1) if named else None, None, live)
    sites = {site["id"]: site["externalReferenceId"] for site in aura.state()["locations"]}
    with aura.lock:
        callouts = aura.state()["callouts"]
    for callout in callouts:
        live = callout["status"] not in ("closed", "Responder Cancelled")
        yield ProviderAlarm("aura", str(callout["id"]), None, sites.get(callout["predefinedLocationId"]), live)


def _emitted(rig: Rig) -> Iterable[Emitted]:
    for name, service in (("noonlight", rig.sandbox.noonlight), ("aura", rig.sandbox.aura)):
        for delivery in service.emitter.as_json():
            body = json.loads(delivery["body"])
            event_id = body[0].get("event_id") if isinstance(body, list) else None
            yield Emitted(name, delivery["alarm"], delivery["event"], event_id, delivery["state"])


def _heard(mail: dict[str, Any]) -> tuple[list[Heard], list[Told]]:
    heard: list[Heard] = []
    told: list[Told] = []
    for way, box in (("platform", "writebacks"), ("escalation", "escalations")):
        for item in mail[box]["items"]:
            body = item["body"]
            if "seq" in body:
                heard.append(Heard(item["at"], item["id"], body))
            for notice in body.get("notices", []):
                told.append(Told(item["at"], way, notice["kind"], notice["incident_id"], notice["text"]))
    return heard, told


def _texts(rig: Rig) -> dict[str, str]:
    texts = {file.name: file.read_text(errors="replace") for file in rig.folder.glob("*.log")}
    texts["the log of Postgres"] = postgres_log(rig)
    with rig.redis() as client:
        texts["Redis"] = "".join(f"{key!r} {client.dump(key)!r}" for key in client.keys("*"))
    appended = (rig.folder / "data" / "redis").rglob("*.aof")
    texts["the append-only file of Redis"] = "".join(file.read_text(errors="replace") for file in appended)
    return texts


def _allowed(rig: Rig) -> dict[str, int]:
    settings = rig.settings
    per_worker = max(settings.dispatch_threads, settings.database_pool)
    return {
        "tocsin-door": settings.database_pool,
        "tocsin-worker": per_worker * len(rig.workers()),
        "tocsin-watchman": settings.database_pool,
    }
