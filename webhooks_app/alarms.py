"""`POST /v1/alarms`: the alarm is an incident and a row of the inbox before the sender is told "accepted"."""

from __future__ import annotations

import json
from typing import Any

import structlog
from flask import Response, jsonify

from shared.crypto import digest
from shared.domain.lanes import Lane
from shared.domain.repeats import Repeat
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import AlarmBody
from webhooks_app.errors import FORBIDDEN, INVALID, Problem
from webhooks_app.intake import json_body, parse
from webhooks_app.principal import Principal
from webhooks_app.taking import ALARM_BYTES, Alarm

log = structlog.get_logger(__name__)


def raise_alarm() -> Response:
    """Take an alarm: commit, answer, ring."""
    here = doors.door()
    alarm = _posted(json_body(here.settings.max_body_bytes), principal())
    taken = here.taker.take(alarm)
    if taken.repeat is not Repeat.SAME:
        here.ring(Lane.INTAKE)
    here.figures.alarms.labels(taken.repeat or "new").inc()
    log.info("alarm.taken", incident_id=taken.incident_id, repeat=taken.repeat, kind=alarm.body.kind)
    answer = jsonify(
        incident_id=taken.incident_id,
        status=taken.status,
        repeat=taken.repeat,
        links=links(taken.incident_id, panel=alarm.who.is_panel),
    )
    answer.status_code = 202
    return answer


def links(incident_id: str, *, panel: bool = False) -> dict[str, str]:
    """Where an incident is read and acted upon; a panel may only add events and cancel."""
    own = f"/v1/incidents/{incident_id}"
    shared = {"cancel": f"{own}/cancel", "events": f"{own}/events"}
    return shared if panel else {"self": own, **shared, "notes": f"{own}/notes"}


def _posted(value: Any, who: Principal) -> Alarm:
    """The alarm of a request body; a panel's key speaks for its own site only, and sends nobody elsewhere."""
    if not isinstance(value, dict):
        raise Problem(INVALID, "The body must be a JSON object.", [("", "must be an object")])
    if who.is_panel and value.setdefault("site_ref", who.site_ref) != who.site_ref:
        raise Problem(FORBIDDEN, "A panel's key raises alarms of its own site only.")
    if who.is_panel:
        value.pop("location", None)  # the site's holds; refusing an alarm for it would be worse
    body = parse(AlarmBody, value)
    content = _content(value)
    return Alarm(body, who, digest(content), len(content) + ALARM_BYTES)


def _content(value: dict[str, Any]) -> bytes:
    """What makes two alarms the same: all but the event id, and the PINs, which could be guessed from a digest."""
    content = {key: item for key, item in value.items() if key != "event_id"}
    if content.get("person"):
        content["person"] = _without_pin(content["person"])
    if content.get("people"):
        content["people"] = [_without_pin(one) for one in content["people"]]
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _without_pin(person: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in person.items() if key != "pin"}
