"""AURA's callouts over HTTP: create, read, list and cancel, each answer judged in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.alarm import DispatchRequest
from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import (
    classify,
    classify_read,
    lost,
    moment,
    object_of,
    parse_json,
    quoted,
    raise_for_read,
    text_id,
)
from shared.providers.aura.mapping import (
    OVER_STATUS,
    callout_of,
    eta_seconds,
    newest_incident,
    raw_status,
    site_of,
    status_of,
)
from shared.providers.aura.paths import is_addressable
from shared.providers.aura.session import send
from shared.providers.aura.token import TokenFailed
from shared.providers.base import Account, Call, Listing, ReadFailed, Reading
from shared.providers.http import Answer, AnswerLost, NotSent

_LISTING_CAP = 20_000_000
_OVER = frozenset({Status.CANCELLED, Status.CLOSED})
# Sent with a create only where the account's options name them; the first is the only one in the current contract.
_CREATE_OPTIONS = {
    "installerIdentifier": "installer_identifier",
    "responseTypeId": "response_type_id",
    "calloutClassificationId": "callout_classification_id",
}


class Client:
    """The capabilities `Dispatches` and `SiteLookup`."""

    def check(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """AURA answers alarms of Fixed Locations: a person or a position alone cannot be dispatched here."""
        if request.site is None:
            return ["AURA dispatches to registered sites only, not to a person or coordinates alone"]
        if not request.site.reference:
            return ["the site has no reference"]
        return [] if is_addressable(request.site.reference) else ["the reference cannot stand in a URL"]

    def doubts(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """None: the coverage of a Fixed Location is known when it is saved."""
        return []

    def create(self, call: Call, account: Account, request: DispatchRequest) -> Outcome:
        """POST externalRef/{reference}/callouts. Any 5xx is Unknown: no idempotency is documented, a look-up exists.

        `Permanent` starts with "conflict" for a 409 without an id. A 409 with one is Accepted (`http_status` 409),
        which counts only if a read says that the callout is active.
        """
        found = self.check(account, request)
        if found or request.site is None:
            return Permanent("; ".join(found))
        body = {key: account.options[name] for key, name in _CREATE_OPTIONS.items() if name in account.options}
        try:
            answer = send(call, account, "POST", "create", body, reference=request.site.reference)
        except TokenFailed as error:
            return error.outcome
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        return _created(answer, request.site.reference)

    def read(self, call: Call, account: Account, provider_alarm_id: str) -> Reading:
        """GET callouts/{id}, the nested view. An unknown word is no status, nor a sign that the callout is active."""
        try:
            answer = send(call, account, "GET", "callout", id=provider_alarm_id)
        except TokenFailed as error:
            raise ReadFailed(error.outcome) from None
        except (NotSent, AnswerLost) as error:
            raise ReadFailed(Temporary(error.reason)) from None
        reading = _reading(account, callout_of(classify_read(answer)), provider_alarm_id, listed=False)
        assert reading is not None
        return reading

    def active(self, call: Call, account: Account) -> Listing:
        """GET activeCallouts: an array, or an object that holds one. Incomplete when an entry or a page is missing."""
        try:
            answer = send(call, account, "GET", "active", cap=_LISTING_CAP)
        except TokenFailed as error:
            raise ReadFailed(error.outcome) from None
        except (NotSent, AnswerLost) as error:
            raise ReadFailed(Temporary(error.reason)) from None
        raise_for_read(answer)
        entries, complete = _entries(answer)
        found = [_reading(account, entry, "", listed=True) for entry in entries]
        alarms = [reading for reading in found if reading is not None]
        return Listing(alarms, complete and len(alarms) == len(entries), answer.date)

    def cancel(self, call: Call, account: Account, provider_alarm_id: str, pin: str | None) -> Outcome:
        """POST callouts/{id}/cancel without `safeCode` (unconditional, for Fixed Locations); repeating it is safe.

        Only a webhook or a read confirms it: what the answer's own status means is not documented.
        """
        try:
            answer = send(call, account, "POST", "cancel", {}, id=provider_alarm_id)
        except TokenFailed as error:
            return error.outcome
        except (NotSent, AnswerLost) as error:
            return Temporary(error.reason)
        if 200 <= answer.status < 300 and answer.status != OVER_STATUS:
            word = raw_status(callout_of(object_of(answer)))
            return Accepted(provider_alarm_id, quoted(word), settled=False, http_status=answer.status)
        if answer.status in (OVER_STATUS, 400, 404, 409):
            return self._refused_cancel(call, account, provider_alarm_id, answer)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        return classify(answer) or permanent(answer)

    def _refused_cancel(self, call: Call, account: Account, provider_alarm_id: str, answer: Answer) -> Outcome:
        """A refusal may only say that the callout is over already: a read tells."""
        try:
            reading = self.read(call, account, provider_alarm_id)
        except ReadFailed as error:
            if isinstance(error.outcome, Permanent):
                return permanent(answer)
            return Temporary(f"cancel refused, and the read failed: {error.outcome.reason}", http_status=answer.status)
        if reading.status in _OVER:
            return Accepted(provider_alarm_id, reading.raw_status, http_status=answer.status)
        return permanent(answer)


def _created(answer: Answer, reference: str) -> Outcome:
    document = object_of(answer)
    callout = callout_of(document)
    callout_id = text_id(callout.get("id"))
    if 200 <= answer.status < 300 and not callout_id:
        return lost("answered without an id", answer.status)
    if answer.status == 409 and not callout_id:
        callout_id = text_id(document.get("calloutId"))
    if callout_id and (200 <= answer.status < 300 or answer.status == 409):
        return Accepted(callout_id, quoted(raw_status(callout)), http_status=answer.status)
    if answer.status >= 500:
        return lost(f"server error (HTTP {answer.status})", answer.status)
    return classify(answer) or permanent(answer, reference)


def permanent(answer: Answer, *ours: str) -> Permanent:
    """A refusal with the provider's `message` (Errors & status codes); a 409 is marked "conflict"."""
    label = "conflict" if answer.status == 409 else "refused"
    words = quoted(object_of(answer).get("message", ""), ours) or "no reason given"
    return Permanent(f"{label} (HTTP {answer.status}): {words}", http_status=answer.status)


def _reading(account: Account, callout: Mapping[str, Any], asked: str, *, listed: bool) -> Reading | None:
    alarm_id = asked or text_id(callout.get("id"))
    if not alarm_id:
        return None
    word = raw_status(callout)
    status = status_of(word)
    return Reading(
        provider_alarm_id=alarm_id,
        status=status,
        raw_status=quoted(word),
        active=status not in _OVER if status or listed else False,
        completed=status is Status.COMPLETED,
        test=_is_test(callout) or _is_test(newest_incident(callout)),
        site_provider_id=site_of(callout),
        created_at=moment(callout.get("createdAt")),
        eta_seconds=eta_seconds(account, callout),
    )


def _is_test(holder: Mapping[str, Any]) -> bool:
    kind = holder.get("calloutClassification")
    word = kind.get("value") if isinstance(kind, Mapping) else kind
    return holder.get("internalTest") is True or (isinstance(word, str) and word.strip().upper() == "TEST")


def _entries(answer: Answer) -> tuple[list[Mapping[str, Any]], bool]:
    try:
        value = parse_json(answer.body)
    except ValueError:
        raise ReadFailed(Temporary("the listing is unreadable", http_status=answer.status)) from None
    whole = True
    if isinstance(value, dict):
        whole = not any(value.get(name) for name in ("next", "nextPage", "hasMore"))
        names = ("callouts", "activeCallouts", "data", "items")
        value = next((value[name] for name in names if isinstance(value.get(name), list)), None)
    if not isinstance(value, list):
        raise ReadFailed(Temporary("the listing is unreadable", http_status=answer.status))
    entries: list[Mapping[str, Any]] = [entry for entry in value if isinstance(entry, dict)]
    return entries, whole and len(entries) == len(value)
