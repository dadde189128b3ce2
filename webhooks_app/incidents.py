"""Reading incidents: a list with a cursor, and one with its legs and its timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Response, jsonify
from sqlalchemy import Row

from shared.domain.lifecycle import Status
from shared.domain.words import word
from shared.store import platforms, reading
from shared.store.models import Incident, IncidentLeg, Leg, Timeline
from shared.store.reading import IncidentFilter, IncidentView
from webhooks_app import door as doors
from webhooks_app.alarms import links
from webhooks_app.auth import principal
from webhooks_app.errors import NOT_FOUND, Problem
from webhooks_app.queries import IncidentQuery, cursor_of, moment_cursor, query

Words = Mapping[str, str | None]


def list_incidents() -> Response:
    """Newest first."""
    asked = query(IncidentQuery)
    wanted = IncidentFilter(
        statuses=asked.status,
        site_ref=asked.site_ref,
        since=asked.since,
        unreported=asked.report == "missing",
        before=moment_cursor(asked.cursor),
        limit=asked.limit,
    )
    own = principal().platform_id
    rows, words = doors.door().database.run(
        lambda session: (reading.incidents(session, own, wanted), platforms.words(session, own))
    )
    shown, more = rows[: asked.limit], len(rows) > asked.limit
    last = shown[-1][0] if more else None
    return jsonify(
        incidents=[_summary(incident, provider, words) for incident, provider in shown],
        next_cursor=cursor_of(last.received_at.isoformat(), last.id) if last else None,
    )


def show_incident(incident_id: str) -> Response:
    """One incident; its provider's answers are read from our own history, never from the provider."""
    own = principal().platform_id
    view, words = doors.door().database.run(
        lambda session: (reading.incident(session, own, incident_id), platforms.words(session, own))
    )
    if view is None:
        raise Problem(NOT_FOUND, "There is no such incident.")
    return jsonify(_full(view, words))


def _summary(incident: Incident, provider: str | None, words: Words) -> dict[str, Any]:
    return {
        "incident_id": incident.id,
        "incident_ref": incident.incident_ref,
        "generation": incident.generation,
        "kind": incident.kind,
        "status": incident.status,
        "word": word(Status(incident.status), words),
        "reason": incident.reason,
        "cancel": incident.cancel,
        "possible_double": incident.possible_double,
        "test": incident.test,
        "origin": incident.origin,
        "site_ref": incident.site_ref,
        "provider": provider,
        "occurred_at": _moment(incident.occurred_at),
        "received_at": _moment(incident.received_at),
        "ended_at": _moment(incident.ended_at),
        "links": links(incident.id),
    }


def _full(view: IncidentView, words: Words) -> dict[str, Any]:
    incident = view.incident
    return _summary(incident, view.provider, words) | {
        "cancel_reason": incident.cancel_reason,
        "after_authorities": incident.after_authorities,
        "eta_at": _moment(incident.eta_at),
        "acknowledged_by": incident.acknowledged_by,
        "report": _report(incident),
        "services": incident.services,
        "predecessor_id": incident.predecessor_id,
        "successor_id": view.successor_id,
        "moments": incident.moments,
        "legs": [_leg(row) for row in view.legs],
        "timeline": [_entry(entry) for entry in view.timeline],
    }


def _report(incident: Incident) -> dict[str, Any] | None:
    if incident.report_url is None:
        return None
    return {"url": incident.report_url, "by": incident.reported_by, "at": _moment(incident.reported_at)}


def _leg(row: Row[IncidentLeg, Leg, str]) -> dict[str, Any]:
    link, leg, provider = row
    return {
        "id": leg.id,
        "provider": provider,
        "account": leg.account_id,
        "provider_alarm_id": leg.provider_alarm_id,
        "outcome": leg.outcome,
        "status": leg.status,
        "cancel": leg.cancel,
        "joined": link.joined,
        "possible_double": leg.possible_double,
        "test": leg.test,
        "services": leg.services,
        "created_at": _moment(leg.created_at),
        "sending_at": _moment(leg.sending_at),
        "answered_at": _moment(leg.answered_at),
        "left_at": _moment(link.left_at),
    }


def _entry(entry: Timeline) -> dict[str, Any]:
    return {
        "id": entry.id,
        "event": entry.event,
        "source": entry.source,
        "status": entry.status,
        "entry": entry.entry,
        "leg": entry.leg_id,
        "detail": entry.detail,
        "occurred_at": _moment(entry.occurred_at),
        "recorded_at": _moment(entry.recorded_at),
    }


def _moment(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
