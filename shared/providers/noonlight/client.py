"""Noonlight Dispatch over HTTP: create, cancel, read and events, each answer judged in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import quote

from shared.domain.alarm import Device, DispatchRequest
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify, classify_read, lost, object_of, one_line, quoted, text_id
from shared.providers.base import Account, Call, ReadFailed, Reading
from shared.providers.http import Answer, AnswerLost, NotSent, exchange, json_bytes
from shared.providers.noonlight.formats import create_body, problems
from shared.providers.noonlight.mapping import STATUSES, attribute_of

_CONNECT_SECONDS = 3.0


class Client:
    """The capabilities `Dispatches` and `Events`."""

    def check(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """Reasons for which the provider would refuse the request."""
        return problems(account, request)

    def create(self, call: Call, account: Account, request: DispatchRequest) -> Outcome:
        """POST /alarms. No look-up exists, so a lost answer stays Unknown; `owner_id` is not known to deduplicate."""
        found = problems(account, request)
        if found:
            return Permanent("; ".join(found))
        body = create_body(account, request)
        try:
            answer = _send(call, account, "alarms", body)
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if not 200 <= answer.status < 300:
            return _refused(answer, body)
        created = object_of(answer)
        alarm_id = text_id(created.get("id"))
        if not alarm_id:
            return lost("answered without an id", answer.status)
        return Accepted(alarm_id, status_text=quoted(created.get("status", "")), http_status=answer.status)

    def cancel(self, call: Call, account: Account, provider_alarm_id: str, pin: str | None) -> Outcome:
        """POST /alarms/{id}/status. Safe to repeat: a cancelled alarm answers 400 `alarm_canceled` (Errors page)."""
        body = {"status": "CANCELED"} | ({"pin": pin} if pin else {})
        try:
            answer = _send(call, account, f"alarms/{_part(provider_alarm_id)}/status", body)
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return Temporary(error.reason, http_status=error.status)
        if 200 <= answer.status < 300 or _already_cancelled(answer):
            return Accepted(provider_alarm_id, status_text="CANCELED", http_status=answer.status)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        return _refused(answer, body)

    def read(self, call: Call, account: Account, provider_alarm_id: str) -> Reading:
        """GET /alarms/{id}/status: ACTIVE and CANCELED are documented; another word is passed on, and not active."""
        try:
            answer = _exchange(call, account, "GET", f"alarms/{_part(provider_alarm_id)}/status")
        except (NotSent, AnswerLost) as error:
            raise ReadFailed(Temporary(error.reason)) from None
        word = str(classify_read(answer).get("status", ""))
        status = STATUSES.get(word.strip().upper())
        return Reading(provider_alarm_id, status, quoted(word), active=word.strip().upper() == "ACTIVE")

    def send_events(
        self, call: Call, account: Account, provider_alarm_id: str, request: DispatchRequest, *, trigger: bool
    ) -> Outcome:
        """POST /alarms/{id}/events: an array of one."""
        device = request.device or Device()
        words = attribute_of(request.kind, device.attribute, device.value)
        if words is None:
            return Permanent(f"no word for {request.kind.value}")
        body = [_event(request, device, words, trigger)]
        try:
            answer = _send(call, account, f"alarms/{_part(provider_alarm_id)}/events", body)
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if 200 <= answer.status < 300:
            return Accepted(http_status=answer.status)
        return _refused(answer, body)


def _event(request: DispatchRequest, device: Device, words: tuple[str, str], trigger: bool) -> dict[str, Any]:
    name = "alarm.device.value_changed"
    if trigger:
        name = f"alarm.{'person' if request.triggered_by == 'person' else 'device'}.activated_alarm"
    meta = {
        "attribute": words[0],
        "value": words[1],
        # Public clients treat the three as required.
        "device_name": one_line(device.name) or "unknown",
        "device_model": one_line(device.model) or "unknown",
        "device_manufacturer": one_line(device.manufacturer) or "unknown",
    }
    at = request.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"event_type": name, "event_time": at, "meta": meta}


def _send(call: Call, account: Account, path: str, body: object) -> Answer:
    return _exchange(call, account, "POST", path, json_bytes(body), changes=True)


def _exchange(
    call: Call, account: Account, method: str, path: str, body: bytes | None = None, *, changes: bool = False
) -> Answer:
    base = account.base_url.rstrip("/").removesuffix("/dispatch/v1")
    return exchange(
        method,
        f"{base}/dispatch/v1/{path}",
        deadline=call.deadline,
        headers={
            "Authorization": f"Bearer {account.credentials.get('token', '')}",
            "Content-Type": "application/json",
        },
        body=body,
        connect_timeout=_CONNECT_SECONDS,
        before_send=call.before_send if changes else None,
    )


def _refused(answer: Answer, body: object) -> Outcome:
    """A failed change. A 5xx with the documented error body is the provider's own and may be repeated (Errors).

    A bare 5xx is a gateway's: behind it the alarm may have been created.
    """
    common = classify(answer)
    if common is not None:
        return common
    error = object_of(answer)
    if answer.status >= 500:
        if _documented(error, answer.status):
            return Temporary(f"server error: {_words(error, body)}", None, True, answer.status)
        return lost(f"server error (HTTP {answer.status})", answer.status)
    return Permanent(f"refused (HTTP {answer.status}): {_words(error, body)}", http_status=answer.status)


def _documented(error: Mapping[str, Any], status: int) -> bool:
    code = error.get("code")
    return (
        isinstance(code, int)
        and not isinstance(code, bool)
        and code == status
        and isinstance(error.get("message"), str)
    )


def _already_cancelled(answer: Answer) -> bool:
    return answer.status == 400 and object_of(answer).get("key") == "alarm_canceled"


def _words(error: Mapping[str, Any], body: object) -> str:
    parts = [str(error[name]) for name in ("key", "message") if isinstance(error.get(name), str)]
    return quoted(", ".join(parts), body) or "no reason given"


def _part(provider_alarm_id: str) -> str:
    return quote(provider_alarm_id, safe="")
