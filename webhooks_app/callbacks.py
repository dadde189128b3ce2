"""`POST /webhooks/<provider>`: verify the raw bytes, store each event, answer, ring. It knows no provider."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Response, request
from sqlalchemy.orm import Session

from shared.accounts import account_value
from shared.crypto import digest
from shared.domain.lanes import Lane
from shared.providers import registry
from shared.providers.base import BadDelivery, BadSignature, Delivered, HookNotConfigured
from shared.store import hooks, reception
from shared.store.engine import each_alone
from shared.store.reception import Delivery
from webhooks_app import auth
from webhooks_app import door as doors
from webhooks_app.database import DatabaseAway
from webhooks_app.door import Door, Hooked
from webhooks_app.errors import BAD_REQUEST, NOT_FOUND, UNAUTHENTICATED, UNCONFIGURED, Problem
from webhooks_app.intake import raw_body

WEBHOOK_PRIORITY = 55
UNCONFIGURED_RETRY_S = "60"
MAX_ID_CHARS = 400
TAKEN_TYPE = "application/json"
_CANNOT_BE_KEPT = re.compile("[\x00\ud800-\udfff]")


def receive(provider_name: str, account_id: str | None = None) -> Response:
    """Take one delivery. A replay gets the same answer and changes nothing; who is authentic is never told to slow."""
    here = doors.door()
    if provider_name not in registry.names():
        raise _unknown()
    hooked = here.hooks.get(hook_key(provider_name, account_id)) or look_up(here, provider_name, account_id)
    if hooked is None:
        raise auth.failed(_unknown())
    raw = raw_body(here.settings.max_body_bytes)
    try:
        rows = authentic(here, hooked, list(request.headers.items()), raw)
    except Problem as problem:
        told = auth.failed(problem) if problem.kind is UNAUTHENTICATED else problem
        here.figures.refused_hooks.labels(provider_name, str(told.kind.status)).inc()
        raise told from None
    if rows:
        store(here, rows)
    return Response(taken(here, provider_name, rows), content_type=TAKEN_TYPE)


def taken(here: Door, provider_name: str, rows: Sequence[Delivery]) -> bytes:
    """What is answered, and counted, when a delivery is on disk."""
    here.figures.delivered(provider_name, len(rows))
    return b'{"accepted":%d}\n' % len(rows)


def hook_key(provider_name: str, account_id: str | None) -> str:
    """By what the account of a hook is remembered for a few seconds."""
    return f"{provider_name}/{account_id or ''}"


def look_up(here: Door, provider_name: str, account_id: str | None) -> Hooked | None:
    """The account of a hook, from the database, to be remembered; None when there is none. Raises DatabaseAway."""
    row = here.database.run(lambda session: hooks.hook_account(each_alone(session), provider_name, account_id))
    if row is None:
        return None
    found = Hooked(account_value(row, here.box), row.platform_id)
    here.hooks.put(hook_key(provider_name, account_id), found)
    return found


def authentic(here: Door, hooked: Hooked, headers: Sequence[tuple[str, str]], raw: bytes) -> list[Delivery]:
    """The events of a delivery, verified and sealed. Every fault of the sender is a problem and never an accident."""
    webhooks = registry.get(hooked.account.provider).webhooks
    try:
        webhooks.verify(hooked.account, headers, raw)
    except BadSignature:
        challenge = {"WWW-Authenticate": 'Webhook realm="tocsin"'}
        raise Problem(UNAUTHENTICATED, "It carries no valid signature or secret.", headers=challenge) from None
    except HookNotConfigured:
        detail = "No webhook secret is configured for this account, so nothing can be trusted."
        raise Problem(UNCONFIGURED, detail, headers={"Retry-After": UNCONFIGURED_RETRY_S}) from None
    try:
        events = webhooks.split(raw)
    except (BadDelivery, RecursionError):
        raise Problem(BAD_REQUEST, "The delivery is not what the provider documents.") from None
    if not all(_storable(event.event_id) and _storable(event.subject) for event in events):
        raise Problem(BAD_REQUEST, "The delivery carries an id that cannot be one.")
    return [_row(here, hooked, event) for event in events]


def store(here: Door, rows: Sequence[Delivery], *, hold_s: float | None = None) -> None:
    """Commit events, of one delivery or of many, all or none, and ring. Raises DatabaseAway when the hold is over."""
    unseen = sorted({row.account_id for row in rows if here.seen.get(row.account_id) is None})

    def work(session: Session) -> None:
        each_alone(session)
        for account_id in unseen:
            reception.webhook_seen(session, account_id)
        reception.deliver(session, WEBHOOK_PRIORITY, rows)  # last: what follows a commit might have it done again

    here.database.run(work, hold_s=hold_s)
    for account_id in unseen:
        here.seen.put(account_id, True)
    here.ring(Lane.INTAKE)


def store_together(here: Door, deliveries: Sequence[Sequence[Delivery]], hold_s: float) -> list[Exception | None]:
    """Commit several deliveries at once; what each of their senders is told. Raises DatabaseAway for all of them.

    If the database refuses them, each is stored by itself, so that none fails for a neighbour.
    """
    fault = _fault(here, [row for rows in deliveries for row in rows], hold_s)
    if isinstance(fault, DatabaseAway):
        raise fault
    if fault is None or len(deliveries) == 1:
        return [fault] * len(deliveries)
    return [_fault(here, rows, hold_s) for rows in deliveries]


def _fault(here: Door, rows: Sequence[Delivery], hold_s: float) -> Exception | None:
    try:
        store(here, rows, hold_s=hold_s)
    except Exception as fault:  # noqa: BLE001 - whatever it is, those whom it concerns are told
        return fault
    return None


def _storable(text: str | None) -> bool:
    """Whether Postgres can keep it: no NUL, no half surrogate pair, and fit for an index."""
    return text is None or (len(text) <= MAX_ID_CHARS and _CANNOT_BE_KEPT.search(text) is None)


def _row(here: Door, hooked: Hooked, event: Delivered) -> Delivery:
    own_digest = digest(event.body)
    account_id = hooked.account.id
    return Delivery(
        platform_id=hooked.platform_id,
        account_id=account_id,
        event_id=event.event_id,
        digest=own_digest,
        stream=f"{account_id}:{event.subject or own_digest}",
        subject=event.subject,
        body=here.box.seal(event.body.decode("utf-8")),
    )


def _unknown() -> Problem:
    return Problem(NOT_FOUND, "There is no such hook.")
