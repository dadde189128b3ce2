"""A callout's messages: ours are written, and everybody's are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify, lost, moment, object_of, parse_json, raise_for_read, text_id
from shared.providers.aura.client import permanent
from shared.providers.aura.mapping import OVER_STATUS
from shared.providers.aura.session import send
from shared.providers.aura.token import TokenFailed
from shared.providers.base import Account, Call, Message, ReadFailed
from shared.providers.http import AnswerLost, NotSent

_PART_MAX = 1000
_STREAM_CAP = 5_000_000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Notebook:
    """The capabilities `Notes` and `NoteStream`."""

    def parts(self, account: Account, text: str) -> Sequence[str]:
        """Parts of `note_max` characters: the provider's limit is not public."""
        limit = int(account.options.get("note_max", _PART_MAX))
        clean = _clean(text)
        return [clean[start : start + limit] for start in range(0, len(clean), limit)]

    def send_note(self, call: Call, account: Account, provider_alarm_id: str, part: str) -> Outcome:
        """POST callouts/{id}/events. A callout that is over takes none: 400, or 285 with its latest state."""
        body = {"source": str(account.options.get("note_source", "customer")), "event": part}
        if account.options.get("note_payload") == "message":
            body = {"message": part}
        try:
            answer = send(call, account, "POST", "events", body, id=provider_alarm_id)
        except TokenFailed as error:
            return error.outcome
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if answer.status == OVER_STATUS:
            return Permanent("the callout is over", http_status=answer.status)
        if 200 <= answer.status < 300:
            event = object_of(answer).get("calloutEvent")
            return Accepted(text_id(event.get("id")) if isinstance(event, Mapping) else "", http_status=answer.status)
        if answer.status >= 500:
            return lost(f"server error (HTTP {answer.status})", answer.status)
        return classify(answer) or permanent(answer, part)

    def messages(self, call: Call, account: Account, provider_alarm_id: str) -> Sequence[Message]:
        """GET callouts/{id}/events ("List callout events"): an array, or an object that holds one."""
        try:
            answer = send(call, account, "GET", "events", cap=_STREAM_CAP, id=provider_alarm_id)
        except TokenFailed as error:
            raise ReadFailed(error.outcome) from None
        except (NotSent, AnswerLost) as error:
            raise ReadFailed(Temporary(error.reason)) from None
        raise_for_read(answer)
        try:
            value = parse_json(answer.body)
        except ValueError:
            raise ReadFailed(Temporary("the stream is unreadable", http_status=answer.status)) from None
        found = [message for message in map(_message, _entries(value)) if message is not None]
        return sorted(found, key=lambda message: message.at or _LONG_AGO)


def _entries(value: Any) -> list[Any]:
    if isinstance(value, dict):
        names = ("calloutEvents", "events", "data", "items")
        value = next((value[name] for name in names if isinstance(value.get(name), list)), None)
    if not isinstance(value, list):
        raise ReadFailed(Temporary("the stream is unreadable"))
    return value


def _message(entry: Any) -> Message | None:
    """An entry with an id and a text; what the system writes about itself has no text, and is told by a status."""
    if not isinstance(entry, Mapping):
        return None
    event = entry.get("event")
    inner: Mapping[str, Any] = event if isinstance(event, Mapping) else {}
    text = event if isinstance(event, str) else inner.get("text", inner.get("message"))
    entry_id = text_id(entry.get("id"))
    if not entry_id or not isinstance(text, str) or not text.strip():
        return None
    sender = next((w for w in (inner.get("sender"), inner.get("senderRole"), entry.get("createdBy")) if w), "")
    return Message(entry_id, moment(entry.get("createdAt")), str(sender) if isinstance(sender, str) else "", text)


def _clean(text: str) -> str:
    """Without control characters but line breaks. A word's leading `@` would tag somebody (List callout events)."""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    return re.sub(r"(?<!\w)@(?=\w)", "(at) ", clean)
