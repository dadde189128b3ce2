"""What a person was told, and his word that he heard it."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from shared.store import reading
from shared.store.models import Notice
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import ByBody
from webhooks_app.errors import NOT_FOUND, Problem
from webhooks_app.intake import model_body
from webhooks_app.queries import NoticeQuery, cursor_of, number_cursor, query


def list_notices() -> Response:
    """Newest first."""
    asked = query(NoticeQuery)
    own = principal().platform_id
    before = number_cursor(asked.cursor)
    rows = doors.door().database.run(
        lambda session: reading.notices(session, own, open_only=asked.open, before=before, limit=asked.limit)
    )
    shown, more = rows[: asked.limit], len(rows) > asked.limit
    return jsonify(
        notices=[_shown(notice) for notice in shown],
        next_cursor=cursor_of(shown[-1].id) if more else None,
    )


def acknowledge_notice(notice_id: int) -> Response:
    """Silence a notice; what it is about goes on."""
    here = doors.door()
    body, _ = model_body(ByBody, here.settings.max_body_bytes)
    who = principal()
    notice = here.database.run(
        lambda session: reading.acknowledge_notice(session, who.platform_id, notice_id, body.by, who.actor)
    )
    if notice is None:
        raise Problem(NOT_FOUND, "There is no such notice.")
    return jsonify(_shown(notice))


def _shown(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "subject": notice.subject,
        "incident_id": notice.incident_id,
        "kind": notice.kind,
        "text": notice.text,
        "told": notice.told,
        "opened_at": notice.opened_at.isoformat(),
        "acknowledged_at": notice.acknowledged_at.isoformat() if notice.acknowledged_at else None,
        "acknowledged_by": notice.acknowledged_by,
        "ended_at": notice.ended_at.isoformat() if notice.ended_at else None,
    }
