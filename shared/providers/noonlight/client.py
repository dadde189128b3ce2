"""Noonlight Dispatch over HTTP: create, cancel and read, each answer judged in one place."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.alarm import DispatchRequest
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify_read, lost, object_of, quoted, text_id
from shared.providers.base import Account, Call, ReadFailed, Reading
from shared.providers.http import Answer, AnswerLost, NotSent
from shared.providers.noonlight.calls import part, refused, request, send
from shared.providers.noonlight.coverage import doubts
from shared.providers.noonlight.formats import create_body, problems
from shared.providers.noonlight.mapping import STATUSES


class Client:
    """The capability `Dispatches`."""

    def check(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """Reasons for which the provider would refuse the request."""
        return problems(account, request)

    def doubts(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """Reasons for which the place may lie outside of what Noonlight covers."""
        return doubts(account, request)

    def create(self, call: Call, account: Account, request: DispatchRequest) -> Outcome:
        """POST /alarms. No look-up exists, so a lost answer stays Unknown; `owner_id` is not known to deduplicate."""
        found = problems(account, request)
        if found:
            return Permanent("; ".join(found))
        body = create_body(account, request)
        try:
            answer = send(call, account, "POST", "alarms", body)
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if not 200 <= answer.status < 300:
            return refused(answer, body)
        created = object_of(answer)
        alarm_id = text_id(created.get("id"))
        if not alarm_id:
            return lost("answered without an id", answer.status)
        return Accepted(alarm_id, status_text=quoted(created.get("status", "")), http_status=answer.status)

    def cancel(self, call: Call, account: Account, provider_alarm_id: str, pin: str | None) -> Outcome:
        """POST /alarms/{id}/status. Safe to repeat: a cancelled alarm answers 400 `alarm_canceled` (Errors page)."""
        body = {"status": "CANCELED"} | ({"pin": pin} if pin else {})
        try:
            answer = send(call, account, "POST", f"alarms/{part(provider_alarm_id)}/status", body)
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return Temporary(error.reason, http_status=error.status)
        if 200 <= answer.status < 300 or _already_cancelled(answer):
            return Accepted(provider_alarm_id, status_text="CANCELED", http_status=answer.status)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        return refused(answer, body)

    def read(self, call: Call, account: Account, provider_alarm_id: str) -> Reading:
        """GET /alarms/{id}/status: ACTIVE and CANCELED are documented; another word is passed on, and not active."""
        try:
            answer = request(call, account, "GET", f"alarms/{part(provider_alarm_id)}/status")
        except (NotSent, AnswerLost) as error:
            raise ReadFailed(Temporary(error.reason)) from None
        word = str(classify_read(answer).get("status", ""))
        status = STATUSES.get(word.strip().upper())
        return Reading(provider_alarm_id, status, quoted(word), active=word.strip().upper() == "ACTIVE")


def _already_cancelled(answer: Answer) -> bool:
    return answer.status == 400 and object_of(answer).get("key") == "alarm_canceled"
