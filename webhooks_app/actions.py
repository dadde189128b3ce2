"""What may be done with an incident: each action is a row of the inbox; whether it has an effect the work decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel
from sqlalchemy.orm import Session

from shared.crypto import digest
from shared.domain.kinds import RULES
from shared.domain.lanes import Lane
from shared.providers import registry
from shared.store import reading, reception
from shared.store.engine import each_alone
from shared.store.reading import Target
from shared.store.reception import Coming
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import ByBody, ByReasonBody, CancelBody, DropBody, EventBody, NoteBody, ReportBody
from webhooks_app.errors import CANNOT, NOT_FOUND, Problem
from webhooks_app.intake import model_body

# A person's word goes before everything that machines report, duress excepted.
ACTION_PRIORITY = 0
EVENT_PRIORITY = 40


def cancel(incident_id: str) -> Response:
    """Ask to stop the response."""
    body = _body(CancelBody) | {"origin": principal().origin}
    return _act("cancel", target(incident_id), body, {"cancel": "received"})


def note(incident_id: str) -> Response:
    """Send a text to whoever responds. 409 where the provider takes none."""
    body = _body(NoteBody)
    found = target(incident_id)
    require_capability(found, "notes")
    return _act("note", found, body)


def resend(incident_id: str) -> Response:
    """Send again although the outcome of the first attempt is unknown, or after a failure."""
    return _act("resend", target(incident_id), _body(ByReasonBody))


def drop(incident_id: str) -> Response:
    """End all attempts."""
    return _act("drop", target(incident_id), _body(DropBody))


def close(incident_id: str) -> Response:
    """Close the incident on our side."""
    return _act("close", target(incident_id), _body(ByReasonBody))


def acknowledge(incident_id: str) -> Response:
    """Silence the notices of the incident; attempts go on."""
    return _act("acknowledge", target(incident_id), _body(ByBody))


def report(incident_id: str) -> Response:
    """Note where the report of what happened was filed; it is written back as `report_url`."""
    return _act("report", target(incident_id), _body(ReportBody))


def event(incident_id: str) -> Response:
    """Add a further signal. One `event_id` counts once per reference."""
    here = doors.door()
    body, _ = model_body(EventBody, here.settings.max_body_bytes)
    found = target(incident_id)
    priority = 100 - RULES[body.kind].severity if body.kind else EVENT_PRIORITY
    leading = f"e:{body.event_id}" if body.event_id else None
    row = coming(found, body.model_dump(mode="json", exclude_none=True), priority, [leading] if leading else [])
    if leading:
        new = here.database.run(lambda session: _fold(session, row, leading))
    else:
        here.database.run(lambda session: reception.act(session, "event", row), again=False)
        new = True
    if new:
        here.ring(Lane.INTAKE)
    return accepted(found, {"repeat": None if new else "same"})


def _fold(session: Session, row: Coming, leading: str) -> bool:
    wait_s = doors.door().database.left()
    reception.hold_reference(session, row.platform_id, row.incident_ref, wait_s=wait_s)
    return reception.fold(session, row, leading)


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of the body; absent ones are null."""
    return model_body(model, doors.door().settings.max_body_bytes)[0].model_dump(mode="json")


def target(incident_id: str) -> Target:
    """The incident, if it is this platform's and, for a panel's key, of this panel's site."""
    who = principal()
    found = doors.door().database.run(lambda session: reading.target(each_alone(session), who.platform_id, incident_id))
    if found is None or (who.is_panel and found.site_ref != who.site_ref):
        raise Problem(NOT_FOUND, "There is no such incident.")
    return found


def require_capability(found: Target, capability: str) -> None:
    """Ask the provider of the incident "can you?"."""
    if found.provider is None:
        return
    try:
        provider = registry.get(found.provider)
    except registry.UnknownProvider:
        return
    if getattr(provider, capability) is None:
        reason = provider.cannot.get(capability) or f"the provider has no {capability}"
        raise Problem(CANNOT, reason)


def _act(source: str, found: Target, body: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Response:
    here = doors.door()
    row = coming(found, body, ACTION_PRIORITY, [])
    here.database.run(lambda session: reception.act(session, source, row), again=False)
    here.ring(Lane.INTAKE)
    return accepted(found, extra or {})


def coming(found: Target, body: Mapping[str, Any], priority: int, keys: list[str]) -> Coming:
    """What is stored of an action: its body, sealed."""
    who = principal()
    sealed = doors.door().box.seal(dict(body))
    return Coming(
        id=found.id,
        platform_id=who.platform_id,
        incident_ref=found.incident_ref,
        api_key_id=who.key_id,
        account_id=found.account_id,
        # Of the sealed bytes: the digest of a short PIN could be guessed.
        digest=digest(sealed),
        priority=priority,
        keys=keys,
        body=sealed,
    )


def accepted(found: Target, extra: Mapping[str, Any]) -> Response:
    """202: it is on disk; its effect appears on the timeline."""
    answer = jsonify({"incident_id": found.id, "status": found.status} | dict(extra))
    answer.status_code = 202
    return answer


ACTIONS: dict[str, tuple[Callable[[str], Response], type[BaseModel]]] = {
    "cancel": (cancel, CancelBody),
    "notes": (note, NoteBody),
    "events": (event, EventBody),
    "resend": (resend, ByReasonBody),
    "drop": (drop, DropBody),
    "close": (close, ByReasonBody),
    "acknowledge": (acknowledge, ByBody),
    "report": (report, ReportBody),
}
