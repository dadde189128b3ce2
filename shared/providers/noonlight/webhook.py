"""Noonlight's webhooks: Base64 HMAC-SHA256 over the raw bytes, then an array of events or one bare object."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any

from shared.providers.answers import moment, object_in, one_line, parse_json, text_id
from shared.providers.base import (
    Account,
    BadDelivery,
    BadSignature,
    Delivered,
    HookNotConfigured,
    ProviderEvent,
    Verdict,
)
from shared.providers.http import json_bytes
from shared.providers.noonlight.mapping import WEBHOOKS

_COMPACT = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class Hook:
    """The capability `Webhooks`."""

    def verify(self, account: Account, headers: Sequence[tuple[str, str]], raw: bytes) -> None:
        """Raise unless exactly one signature header fits one of the secrets (docs.noonlight.com, Webhook authenticity).

        The official sample signs the re-serialised JSON. That equals the raw bytes for a sender that emits compact
        JSON; for others the option `signature_canonical_fallback` tries the compact form too.
        """
        secrets = [secret.encode() for secret in account.webhook_secrets if secret]
        if not secrets:
            raise HookNotConfigured
        given = _signature(headers, str(account.options.get("signature_header", "X-Noonlight-Signature")))
        bodies = [raw]
        if account.options.get("signature_canonical_fallback"):
            bodies += _compact(raw)
        fits = False
        for secret in secrets:
            for body in bodies:
                fits |= hmac.compare_digest(given, hmac.digest(secret, body, hashlib.sha256))
        if not fits:
            raise BadSignature

    def split(self, raw: bytes) -> Sequence[Delivered]:
        """The events of an array, or one bare object. Anything else in an array is kept too, as an event without id."""
        try:
            parsed = parse_json(raw)
            events = [parsed] if isinstance(parsed, dict) else parsed
            if not isinstance(events, list):
                raise BadDelivery("neither an array nor an object")
            return [_delivered(event) for event in events]
        except (ValueError, RecursionError):
            raise BadDelivery("not JSON") from None

    def interpret(self, account: Account, body: bytes) -> ProviderEvent:
        """One event; an unknown name moves nothing ("at minimum" three names are documented)."""
        event = object_in(body)
        verdict = _verdict(event)
        if verdict is not None:
            entry = f"verification answered {verdict.answer}"
            return ProviderEvent("verification", None, None, None, None, None, entry, verdict=verdict)
        named = event.get("event_type")
        name = named if isinstance(named, str) and re.fullmatch(r"[\w.\-]{1,80}", named) else ""
        status, entry = WEBHOOKS.get(name, (None, f"unknown event {name}".rstrip()))
        return ProviderEvent(
            name=name,
            event_id=text_id(event.get("event_id")) or None,
            provider_alarm_id=_alarm_id(event),
            site_provider_id=None,
            at=moment(event.get("event_time")),
            status=status,
            entry=entry,
            known=name in WEBHOOKS,
        )


def _signature(headers: Sequence[tuple[str, str]], name: str) -> bytes:
    values = [value for header, value in headers if header.lower() == name.lower()]
    if len(values) != 1:
        raise BadSignature
    try:
        text = values[0].encode("ascii")
        given = base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadSignature from None
    # A second spelling of the same bytes (loose padding bits) is refused.
    if base64.b64encode(given) != text:
        raise BadSignature
    return given


def _compact(raw: bytes) -> list[bytes]:
    try:
        return [json_bytes(parse_json(raw))]
    except (ValueError, RecursionError):
        return []


def _delivered(event: object) -> Delivered:
    fields = event if isinstance(event, dict) else {}
    body = _COMPACT.encode(event).encode()
    verdict = _verdict(fields)
    if verdict is not None:
        return Delivered(f"verification:{verdict.task_id}", None, body)
    return Delivered(text_id(fields.get("event_id")) or None, _alarm_id(fields), body)


def _verdict(fields: dict[str, Any]) -> Verdict | None:
    """A verification's result is told by its keys (Tasks, "Results"): `id` and `conclusive`, and no `event_type`."""
    task_id, conclusive = text_id(fields.get("id")), fields.get("conclusive")
    if not task_id or not isinstance(conclusive, bool) or "event_type" in fields:
        return None
    result = fields.get("result")
    if conclusive and result in ("yes", "no"):
        return Verdict(task_id, str(result))
    error = fields.get("error")
    return Verdict(task_id, "inconclusive", one_line(error)[:80] if isinstance(error, str) else "")


def _alarm_id(event: dict[str, Any]) -> str | None:
    meta = event.get("meta")
    return (text_id(meta.get("alarm_id")) if isinstance(meta, dict) else "") or None
