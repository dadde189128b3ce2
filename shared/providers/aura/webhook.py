"""AURA's webhooks: a secret in a header that we registered, and one event per delivery, without id or time."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any

from shared.providers.answers import object_in, parse_json, text_id
from shared.providers.aura.mapping import REREAD, WEBHOOKS, callout_of, eta_seconds, site_of
from shared.providers.base import Account, BadDelivery, BadSignature, Delivered, HookNotConfigured, ProviderEvent


class Hook:
    """The capability `Webhooks`."""

    def verify(self, account: Account, headers: Sequence[tuple[str, str]], raw: bytes) -> None:
        """Raise unless exactly one header carries one of the secrets. No signature is documented (Webhooks).

        Options: `webhook_header` (default Authorization), `webhook_scheme` (default Bearer for that header, else none).
        """
        name, prefix = hook_header(account)
        secrets = [secret for secret in account.webhook_secrets if secret]
        if not secrets:
            raise HookNotConfigured
        given = [value for header, value in headers if header.lower() == name.lower()]
        if len(given) != 1:
            raise BadSignature
        digest = _digest(given[0])
        fits = False
        for secret in secrets:
            fits |= hmac.compare_digest(digest, _digest(f"{prefix}{secret}"))
        if not fits:
            raise BadSignature

    def split(self, raw: bytes) -> Sequence[Delivered]:
        """One event; AURA gives deliveries no id."""
        try:
            event = parse_json(raw)
            if not isinstance(event, dict):
                raise BadDelivery("not an object")
            body = json.dumps(event, allow_nan=False, separators=(",", ":")).encode()
        except (ValueError, RecursionError):
            raise BadDelivery("not JSON") from None
        return [Delivered(None, _callout_id(event), body)]

    def interpret(self, account: Account, body: bytes) -> ProviderEvent:
        """One event; a name that is not listed (subscriptions, customers) moves nothing."""
        event = object_in(body)
        message = event.get("message")
        name = message if isinstance(message, str) and re.fullmatch(r"[\w.\-]{1,80}", message) else ""
        status, entry = WEBHOOKS.get(name, (None, f"unknown event {name}".rstrip()))
        callout = event.get("callout")
        places = (callout if isinstance(callout, dict) else {}, event)
        return ProviderEvent(
            name=name,
            event_id=None,
            provider_alarm_id=_callout_id(event),
            site_provider_id=site_of(*places),
            at=None,
            status=status,
            entry=entry,
            eta_seconds=eta_seconds(account, *places) if name.startswith("RESPONDER_") else None,
            known=name in WEBHOOKS,
            reread=name in REREAD,
        )


def hook_header(account: Account) -> tuple[str, str]:
    """The header that carries our secret, and what stands before the secret in it."""
    name = str(account.options.get("webhook_header", "Authorization"))
    scheme = str(account.options.get("webhook_scheme", "Bearer" if name.lower() == "authorization" else ""))
    return name, f"{scheme} " if scheme else ""


def _digest(text: str) -> bytes:
    # Of equal length for every text, so that the comparison tells nothing about a secret's length.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _callout_id(event: dict[str, Any]) -> str | None:
    callout = callout_of(event)
    return (text_id(callout.get("id")) if callout is not event else "") or None
