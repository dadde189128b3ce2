"""`/v1/certificates`: monitoring certificates for home insurances, by address."""

from __future__ import annotations

from flask import Response, jsonify, request

from shared.accounts import account_value
from shared.domain.alarm import Address
from shared.domain.lanes import Lane
from shared.providers import registry
from shared.providers.base import Account
from shared.store import certificates, site_saving
from shared.store.certificates import KeyUsed
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import CertificateBody
from webhooks_app.errors import CANNOT, CONFLICT, INVALID, NOT_FOUND, Problem
from webhooks_app.intake import json_body, parse

MAX_KEY_CHARS = 200


def ask() -> Response:
    """Ask for a certificate. With an idempotency key there is one only, however often it is asked for."""
    here = doors.door()
    value = json_body(here.settings.max_body_bytes)
    if isinstance(value, dict) and "address" not in value and {"coordinates", "location"} & value.keys():
        raise Problem(INVALID, "A certificate is for an address.", [("address", "coordinates get no certificate")])
    body = parse(CertificateBody, value)
    account = _account(body)
    address = body.address.model_dump()
    capability = registry.get(account.provider).certificates
    assert capability is not None
    found = capability.check_address(account, Address(**address))
    if found:
        raise Problem(INVALID, "The provider would refuse the address.", [("address", reason) for reason in found])
    key, own = _key(body), principal().platform_id
    try:
        row, is_new = here.database.run(
            lambda session: certificates.ask(session, own, account.id, key, address, here.box), again=key is not None
        )
    except KeyUsed:
        raise Problem(CONFLICT, "The idempotency key was used for another certificate.") from None
    if is_new:
        here.ring(Lane.OUTGOING)
    answer = jsonify(id=row.id, state=row.state or "pending")
    answer.status_code = 202
    return answer


def show(certificate_id: str) -> Response:
    """Its state, and the provider's raw answer."""
    here, own = doors.door(), principal().platform_id
    found = here.database.run(lambda session: certificates.find(session, own, certificate_id))
    if found is None:
        raise Problem(NOT_FOUND, "There is no such certificate.")
    row, provider = found
    return jsonify(
        id=row.id,
        state=row.state,
        provider=provider,
        reason=row.reason,
        answer=here.box.open(row.answer),
        created_at=row.created_at.isoformat(),
        answered_at=row.answered_at.isoformat() if row.answered_at else None,
    )


def _key(body: CertificateBody) -> str | None:
    header = request.headers.get("Idempotency-Key", "").strip()
    if len(header) > MAX_KEY_CHARS or not header.isprintable():
        raise Problem(INVALID, "The idempotency key is not valid.", [("Idempotency-Key", "1 to 200 characters")])
    if header and body.idempotency_key and header != body.idempotency_key:
        raise Problem(INVALID, "Two idempotency keys.", [("idempotency_key", "differs from the header")])
    return body.idempotency_key or header or None


def _account(body: CertificateBody) -> Account:
    """The named account, else the platform's first whose provider issues certificates."""
    here, own = doors.door(), principal().platform_id
    rows = here.database.run(lambda session: site_saving.accounts(session, own))
    named = [row for row in rows if body.account in (None, row.id) and body.provider in (None, row.provider)]
    if not named:
        where = "account" if body.account else "provider"
        raise Problem(INVALID, "No provider account fits.", [(where, "must name an account of this platform")])
    able = [row for row in named if registry.get(row.provider).certificates is not None]
    if not able:
        names = sorted({row.provider for row in named})
        reasons = (registry.get(name).cannot.get("certificates", "") for name in names)
        raise Problem(CANNOT, "; ".join(reason for reason in reasons if reason) or "no account issues certificates")
    return account_value(sorted(able, key=lambda row: not row.is_default)[0], here.box)
