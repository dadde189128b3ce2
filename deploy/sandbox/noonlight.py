"""Noonlight Dispatch as its public facts describe it: alarms, additions, cancels, signed webhooks.

Not public, and so an assumption of this sandbox: a missing or wrong PIN is 403 without a key; anything added
to a closed alarm is 400 without a key, a location for a static address 409; GET status goes on saying ACTIVE
after `alarm.closed`, as only ACTIVE and CANCELED are documented; the bodies of certificates, people and
events. In mode `early` the webhook sent before the create's answer is the first step of the script that fits,
or `alarm.psap_contacted`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox import noonlight_formats as formats
from deploy.sandbox.config import NoonlightConfig, NoonlightOptions
from deploy.sandbox.exchange import Answer, RefusedError, Request
from deploy.sandbox.formats import Check, first_problem
from deploy.sandbox.routing import Route
from deploy.sandbox.script import Step
from deploy.sandbox.service import Service
from deploy.sandbox.webhooks import Delivery

PSAP_CONTACTED = "alarm.psap_contacted"
CANCELED = "alarm.status.canceled"
CLOSED = "alarm.closed"
RESULTS = ("yes", "no", "timeout", "unverifiable", "unknown")


@dataclass
class Alarm:
    """One alarm and what became of it; `people` None means that the one call was not made yet."""

    id: str
    owner_id: str
    created_at: str
    request: dict[str, Any]
    status: str = "ACTIVE"
    closed: bool = False
    people: list[dict[str, Any]] | None = None
    locations: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    def pins(self) -> set[str]:
        holders = [self.request, *(self.people or [])]
        return {holder["pin"] for holder in holders if "pin" in holder}


def sign(secret: str, body: bytes) -> str:
    """`X-Noonlight-Signature`: Base64 HMAC-SHA256 of the raw bytes (Noonlight, "webhook authenticity")."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def _compact(document: Any) -> bytes:
    """As Node's JSON.stringify writes it, which the provider's own sample signs."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


class Noonlight(Service[NoonlightOptions]):
    """The dispatch API and the verification tasks on one port."""

    def __init__(self, config: NoonlightConfig) -> None:
        self.config = config
        self.webhook_url = config.webhook_url
        self.webhook_secret = config.webhook_secret
        super().__init__(config.port, config.options, config.webhook_backoff_s)
        self.forget()

    def routes(self) -> tuple[Route, ...]:
        alarm = "/dispatch/v1/alarms/{}"
        return (
            Route("POST", "/dispatch/v1/alarms", self._create),
            Route("GET", f"{alarm}/status", self._read_status),
            Route("POST", f"{alarm}/status", self._cancel),
            Route("POST", f"{alarm}/locations", self._move),
            Route("POST", f"{alarm}/people", self._add_people),
            Route("PUT", f"{alarm}/people/{{}}", self._update_person),
            Route("POST", f"{alarm}/events", self._add_events),
            Route("POST", "/dispatch/v1/certificates", self._certify),
            Route("POST", "/tasks/v1/verifications", self._verify),
        )

    def guard(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.config.token}".encode()):
            raise RefusedError(self.error(401, "Unauthorized"))

    def error(self, status: int, message: str, key: str | None = None, details: str = "") -> Answer:
        """The documented error body: code, key (may be absent), message, details."""
        if status == 404:
            key = "resource_not_found"
        body = {"code": status, **({"key": key} if key else {}), "message": message, "details": details}
        return Answer(status, body)

    def forget(self) -> None:
        self._alarms: dict[str, Alarm] = {}
        self._certificates: list[dict[str, Any]] = []
        self._verifications: dict[str, dict[str, Any]] = {}

    def configure(self, name: str, value: Any) -> bool:
        if name in {"webhook_url", "webhook_secret"} and isinstance(value, str):
            setattr(self, name, value)
            return True
        return False

    def state(self) -> dict[str, Any]:
        return {
            "alarms": [vars(alarm) for alarm in self._alarms.values()],
            "certificates": self._certificates,
            "verifications": list(self._verifications.values()),
        }

    # Alarms.

    def _create(self, request: Request) -> Answer:
        body = self._valid(formats.FLAT_ALARM if self.options.flat_workflow else formats.ALARM, request)
        with self.lock:
            owner = body.get("owner_id") or str(uuid.uuid4())
            alarm = Alarm(secrets.token_hex(12), owner, self.now_text(), body)
            self._alarms[alarm.id] = alarm
            self._note(alarm, "created")
            steps = self.player.script_for(body)
            first = None
            if self.emitter.mode == "early":
                opening, *steps = steps or [{"event": PSAP_CONTACTED}]
                first = self._dispatcher_says(alarm, opening)
            answer = {"id": alarm.id, "status": "ACTIVE", "created_at": alarm.created_at, "owner_id": owner}
        self.await_early(first)
        self.player.begin(alarm.id, steps)
        return Answer(201, answer)

    def _read_status(self, request: Request, alarm_id: str) -> Answer:
        with self.lock:
            return Answer(200, {"status": self._alarm(alarm_id).status})

    def _cancel(self, request: Request, alarm_id: str) -> Answer:
        with self.lock:
            alarm = self._changeable(alarm_id)
            body = self._valid(formats.CANCEL, request)
            pins = alarm.pins()
            if pins and body.get("pin") not in pins:
                self._note(alarm, "cancel refused: PIN")
                raise RefusedError(self.error(403, "Forbidden", details="The PIN does not match"))
            alarm.status = "CANCELED"
            self._note(alarm, "canceled by the API")
            if self.options.cancel_echo:
                self._emit(alarm, CANCELED, {"canceled_by": {"phone": alarm.request["phone"]}})
            return Answer(201, {"status": "CANCELED", "created_at": self.now_text()})

    def _move(self, request: Request, alarm_id: str) -> Answer:
        with self.lock:
            alarm = self._changeable(alarm_id)
            body = self._valid(formats.LOCATION_UPDATE, request)
            if "address" in alarm.request["location"]:
                raise RefusedError(self.error(409, "Conflict", details="The alarm is at a static address"))
            fix = {**body["coordinates"], "created_at": self.now_text()}
            alarm.locations.append(fix)
            return Answer(201, {"coordinates": fix})

    def _add_people(self, request: Request, alarm_id: str) -> Answer:
        with self.lock:
            alarm = self._changeable(alarm_id)
            body = self._valid(formats.PEOPLE, request)
            if alarm.people is not None:
                raise RefusedError(self._invalid("People can be added once per alarm"))
            alarm.people = [{"id": str(uuid.uuid4()), **person} for person in body]
            self._note(alarm, "people added")
            return Answer(201, [{"id": person["id"], "name": person["name"]} for person in alarm.people])

    def _update_person(self, request: Request, alarm_id: str, person_id: str) -> Answer:
        """Only the owner can be updated; the fields are not public, so any object is taken."""
        with self.lock:
            alarm = self._changeable(alarm_id)
            if person_id != alarm.owner_id:
                raise RefusedError(self.error(404, "Not found"))
            body = self._json(request)
            if not isinstance(body, dict):
                raise RefusedError(self._invalid("data should be object"))
            self._note(alarm, "person updated")
            return Answer(200, {"id": person_id, **body})

    def _add_events(self, request: Request, alarm_id: str) -> Answer:
        with self.lock:
            alarm = self._changeable(alarm_id)
            events = self._valid(formats.EVENTS, request)
            alarm.events.extend(events)
            return Answer(201, events)

    def _certify(self, request: Request) -> Answer:
        body = self._valid(formats.CERTIFICATE, request)
        with self.lock:
            certificate = {"id": secrets.token_hex(12), **body, "created_at": self.now_text()}
            self._certificates.append(certificate)
            return Answer(201, certificate)

    def _verify(self, request: Request) -> Answer:
        body = self._valid(formats.VERIFICATION, request)
        with self.lock:
            task = {"id": str(uuid.uuid4()), "webhook_url": self.webhook_url, **body}
            if task["id"] in self._verifications:
                raise RefusedError(self._invalid("data.id should be unique"))
            self._verifications[task["id"]] = task
            shown = ("id", "prompt", "expiration", "attachments", "webhook_url")
            return Answer(201, {name: task[name] for name in shown})

    # The dispatcher.

    def advance(self, alarm: str, step: Step, *, scripted: bool = False) -> dict[str, Any]:
        """`alarm.*` events move an alarm; for a verification task the event is its result or its error."""
        if alarm in self._verifications:
            return self._conclude(self._verifications[alarm], step["event"])
        record = self._alarm(alarm)
        if scripted and (record.closed or record.status == "CANCELED"):
            raise RefusedError(self.error(409, "Conflict", details="The alarm has ended"))
        self._dispatcher_says(record, step)
        known = step["event"] in {PSAP_CONTACTED, CANCELED, CLOSED}
        return {"id": alarm, "event": step["event"], "status": record.status, "known": known}

    def _dispatcher_says(self, alarm: Alarm, step: Step) -> Delivery:
        event, meta = step["event"], {}
        if event == CANCELED:
            alarm.status = "CANCELED"
            meta = {"canceled_by": {"phone": step.get("phone", alarm.request["phone"])}}
        alarm.closed = alarm.closed or event == CLOSED
        self._note(alarm, event)
        return self._emit(alarm, event, meta)

    def _emit(self, alarm: Alarm, event: str, meta: dict[str, Any]) -> Delivery:
        body = {
            "event_id": secrets.token_hex(12),
            "event_type": event,
            "event_time": self.now_text(),
            "meta": {"alarm_id": alarm.id, **meta},
        }
        return self._post(self.webhook_url, [body], alarm.id, event)

    def _conclude(self, task: dict[str, Any], result: str) -> dict[str, Any]:
        body: dict[str, Any] = {"id": task["id"], "conclusive": result in {"yes", "no"}}
        body["result" if body["conclusive"] else "error"] = result
        self._post(task["webhook_url"], body, task["id"], result)
        return {"id": task["id"], "event": result, "status": result, "known": result in RESULTS}

    def _post(self, url: str | None, document: Any, alarm: str, event: str) -> Delivery:
        raw = _compact(document)
        return self.emitter.emit(url, raw, {"X-Noonlight-Signature": sign(self.webhook_secret, raw)}, alarm, event)

    # Small parts.

    def _alarm(self, alarm_id: str) -> Alarm:
        if alarm_id not in self._alarms:
            raise RefusedError(self.error(404, "Not found", details="No such alarm"))
        return self._alarms[alarm_id]

    def _changeable(self, alarm_id: str) -> Alarm:
        alarm = self._alarm(alarm_id)
        if alarm.status == "CANCELED":
            raise RefusedError(self.error(400, "Alarm is canceled", key="alarm_canceled"))
        if alarm.closed:
            raise RefusedError(self.error(400, "Alarm is closed"))
        return alarm

    def _note(self, alarm: Alarm, what: str) -> None:
        alarm.history.append({"at": self.now_text(), "what": what})

    def _invalid(self, details: str) -> Answer:
        return self.error(400, "Invalid payload", key="invalid_payload", details=details)

    def _json(self, request: Request) -> Any:
        try:
            return request.json()
        except ValueError:
            raise RefusedError(self._invalid("The body is not JSON")) from None

    def _valid(self, check: Check, request: Request) -> Any:
        body = self._json(request)
        if problem := first_problem(check, body):
            raise RefusedError(self._invalid(problem))
        return body
