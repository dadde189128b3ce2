"""`POST /webhooks/<provider>`: verify the raw bytes, store each event, answer, ring. It knows no provider."""

from __future__ import annotations

from flask import Response, jsonify, request
from sqlalchemy.orm import Session

from shared.accounts import account_value
from shared.crypto import digest
from shared.domain.lanes import Lane
from shared.providers import registry
from shared.providers.base import BadDelivery, BadSignature, Delivered, HookNotConfigured, Provider
from shared.store import hooks, reception
from shared.store.reception import Delivery
from webhooks_app import auth
from webhooks_app import door as doors
from webhooks_app.door import Door, Hooked
from webhooks_app.errors import BAD_REQUEST, NOT_FOUND, UNAUTHENTICATED, UNCONFIGURED, Problem
from webhooks_app.intake import raw_body

WEBHOOK_PRIORITY = 55
UNCONFIGURED_RETRY_S = "60"
MAX_ID_CHARS = 400


def receive(provider_name: str, account_id: str | None = None) -> Response:
    """Take one delivery. A replay gets the same answer and changes nothing; who is authentic is never told to slow."""
    here = doors.door()
    try:
        provider = registry.get(provider_name)
    except registry.UnknownProvider:
        raise _unknown() from None
    hooked = _hooked(here, provider_name, account_id)
    raw = raw_body(here.settings.max_body_bytes)
    try:
        events = _events(provider, hooked, raw)
    except Problem as problem:
        here.figures.refused_hooks.labels(provider_name, str(problem.kind.status)).inc()
        raise
    if events:
        _store(here, hooked, events)
        here.ring(Lane.INTAKE)
    here.figures.deliveries.labels(provider_name).inc(len(events))
    return jsonify(accepted=len(events))


def _hooked(here: Door, provider_name: str, account_id: str | None) -> Hooked:
    key = f"{provider_name}/{account_id or ''}"
    known = here.hooks.get(key)
    if known is None:
        row = here.database.run(lambda session: hooks.hook_account(session, provider_name, account_id))
        if row is None:
            raise auth.failed(_unknown())
        known = Hooked(account_value(row, here.box), row.platform_id)
        here.hooks.put(key, known)
    return known


def _events(provider: Provider, hooked: Hooked, raw: bytes) -> list[Delivered]:
    """The authentic events of a delivery. Every fault of the sender is a problem and never an accident."""
    try:
        provider.webhooks.verify(hooked.account, list(request.headers.items()), raw)
    except BadSignature:
        headers = {"WWW-Authenticate": 'Webhook realm="tocsin"'}
        raise auth.failed(
            Problem(UNAUTHENTICATED, "It carries no valid signature or secret.", headers=headers)
        ) from None
    except HookNotConfigured:
        detail = "No webhook secret is configured for this account, so nothing can be trusted."
        raise Problem(UNCONFIGURED, detail, headers={"Retry-After": UNCONFIGURED_RETRY_S}) from None
    try:
        events = list(provider.webhooks.split(raw))
    except (BadDelivery, RecursionError):
        raise Problem(BAD_REQUEST, "The delivery is not what the provider documents.") from None
    if not all(_storable(event.event_id) and _storable(event.subject) for event in events):
        raise Problem(BAD_REQUEST, "The delivery carries an id that cannot be one.")
    return events


def _storable(text: str | None) -> bool:
    """Whether Postgres can keep it: no NUL, no half surrogate pair, and fit for an index."""
    if text is None:
        return True
    return len(text) <= MAX_ID_CHARS and "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _store(here: Door, hooked: Hooked, events: list[Delivered]) -> None:
    rows = [_row(here, hooked.account.id, event) for event in events]
    report = here.seen.get(hooked.account.id) is None

    def work(session: Session) -> None:
        reception.deliver(session, hooked.platform_id, hooked.account.id, WEBHOOK_PRIORITY, rows)
        if report:
            reception.webhook_seen(session, hooked.account.id)

    here.database.run(work)
    if report:
        here.seen.put(hooked.account.id, True)


def _row(here: Door, account_id: str, event: Delivered) -> Delivery:
    own_digest = digest(event.body)
    return Delivery(
        event_id=event.event_id,
        digest=own_digest,
        stream=f"{account_id}:{event.subject or own_digest}",
        subject=event.subject,
        body=here.box.seal(event.body.decode("utf-8")),
    )


def _unknown() -> Problem:
    return Problem(NOT_FOUND, "There is no such hook.")
