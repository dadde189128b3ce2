"""`/v1/platform`: where the platform is written to, in which words, and what it decides for itself."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from sqlalchemy.orm import Session

from shared.domain.lifecycle import Status
from shared.domain.words import word
from shared.platforms import endpoints, location_source
from shared.providers import registry
from shared.settings import Settings
from shared.store import platforms, reading
from shared.store.models import Platform
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import PlatformBody, Policies
from webhooks_app.errors import INVALID, Problem
from webhooks_app.intake import model_body

_PLAIN = ("name", "writeback_url", "escalation_url", "location_source_url", "location_source_interval_s")
_SECRET = ("writeback_secret", "escalation_secret", "location_source_secret")


def get_platform() -> Response:
    """The platform of the key; secrets are never shown."""
    own = principal().platform_id
    return jsonify(_shown(doors.door().database.run(lambda session: platforms.own(session, own))))


def put_platform() -> Response:
    """Change what is given."""
    here = doors.door()
    body, _ = model_body(PlatformBody, here.settings.max_body_bytes)
    _check(body, here.settings)
    return jsonify(_shown(here.database.run(lambda session: _change(session, body))))


def _check(body: PlatformBody, settings: Settings) -> None:
    guard = endpoints.guard_of(settings)
    found: list[tuple[str, str]] = []
    for name in ("writeback_url", "escalation_url"):
        url = getattr(body, name)
        if url:
            found += [(name, reason) for reason in endpoints.problems(url, guard)]
    if body.location_source_url:
        reasons = location_source.problems(body.location_source_url, guard, settings.location_hosts)
        found += [("location_source_url", reason) for reason in reasons]
    provider = body.policies.default_provider if body.policies else None
    if provider is not None and provider not in registry.names():
        found.append(("policies.default_provider", "is no provider of this installation"))
    if found:
        raise Problem(INVALID, "Some fields are not valid.", found)


def _change(session: Session, body: PlatformBody) -> Platform:
    who = principal()
    row = platforms.locked(session, who.platform_id)
    given = body.model_fields_set
    for name in _PLAIN:
        if name in given and getattr(body, name) is not None:
            setattr(row, name, getattr(body, name))
    for name in _SECRET:
        if name in given:
            secret = getattr(body, name)
            setattr(row, name, doors.door().box.seal(secret) if secret else None)
    if body.words is not None:
        row.words = {status.value: text for status, text in body.words.items()}
    if body.policies is not None:
        row.policies = body.policies.model_dump(mode="json", exclude_unset=True)
    if row.writeback_url and row.writeback_secret is None:
        raise Problem(INVALID, "Write-backs are signed.", [("writeback_secret", "is needed with a writeback_url")])
    if row.escalation_url and row.escalation_secret is None:
        raise Problem(INVALID, "Notices are signed.", [("escalation_secret", "is needed with an escalation_url")])
    detail = {"fields": sorted(given)}
    reading.note(session, who.platform_id, who.actor, action="platform.put", subject=who.platform_id, detail=detail)
    return row


def _shown(row: Platform) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "writeback_url": row.writeback_url,
        "has_writeback_secret": row.writeback_secret is not None,
        "escalation_url": row.escalation_url,
        "has_escalation_secret": row.escalation_secret is not None,
        "location_source_url": row.location_source_url,
        "has_location_source_secret": row.location_source_secret is not None,
        "location_source_interval_s": row.location_source_interval_s,
        "words": {status.value: word(status, row.words) for status in Status},
        "policies": Policies.model_construct().model_dump(mode="json") | row.policies,
    }
