"""`/v1/sites`: a bad site is refused when it is saved, not when there is an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify
from sqlalchemy.exc import IntegrityError

from shared import accounts
from shared.accounts import account_value
from shared.domain.lanes import Lane
from shared.providers.base import Account
from shared.store import platforms, site_saving
from shared.store.models import Site
from shared.store.site_saving import Saved, SiteInUse, Wanted
from webhooks_app import door as doors
from webhooks_app import site_checks
from webhooks_app.auth import principal
from webhooks_app.bodies import SiteBody
from webhooks_app.errors import CONFLICT, INVALID, NOT_FOUND, Problem
from webhooks_app.intake import model_body
from webhooks_app.queries import Page, cursor_of, query, text_cursor


def put_site(site_ref: str) -> Response:
    """Create or replace a site."""
    here = doors.door()
    site_checks.check_reference(site_ref)
    body, _ = model_body(SiteBody, here.settings.max_body_bytes)
    account, policies = _account(body, site_ref)
    verified_only = policies.get("unverified_phone") == "refuse"
    found = site_checks.problems(account, site_ref, body, refuse_unverified=verified_only)
    if found:
        raise Problem(INVALID, "The site cannot be used for an alarm.", found)
    saved = _save(site_ref, body, account)
    if saved.goes_out:
        here.ring(Lane.OUTGOING)
    answer = jsonify(_shown(saved.site, account.provider))
    answer.status_code = 201 if saved.created else 200
    return answer


def get_site(site_ref: str) -> Response:
    """One site; of its contacts only how many they are."""
    own = principal().platform_id
    site_checks.check_reference(site_ref)
    found = doors.door().database.run(lambda session: site_saving.find(session, own, site_ref))
    if found is None:
        raise Problem(NOT_FOUND, "There is no such site.")
    return jsonify(_shown(*found))


def delete_site(site_ref: str) -> Response:
    """Take a site out, here and at its provider. 409 while an incident of it lives; afterwards its alarms fail."""
    here, own = doors.door(), principal().platform_id
    site_checks.check_reference(site_ref)
    found = here.database.run(lambda session: site_saving.find(session, own, site_ref))
    if found is None:
        raise Problem(NOT_FOUND, "There is no such site.")
    site, provider = found
    account = here.database.run(lambda session: accounts.account(session, site.account_id, here.box))
    listed = site_checks.keeps_directory(account)
    try:
        gone = here.database.run(lambda session: site_saving.delete(session, own, site_ref, listed=listed))
    except SiteInUse:
        raise Problem(CONFLICT, "The site has an incident that has not ended.") from None
    if gone is None:
        raise Problem(NOT_FOUND, "There is no such site.")
    if not gone.goes_out:
        return Response(status=204)
    here.ring(Lane.OUTGOING)
    answer = jsonify(_shown(gone.site, provider))
    answer.status_code = 202
    return answer


def list_sites() -> Response:
    """By reference."""
    asked = query(Page)
    own = principal().platform_id
    after = text_cursor(asked.cursor)
    rows = doors.door().database.run(lambda session: site_saving.page(session, own, after=after, limit=asked.limit))
    shown, more = rows[: asked.limit], len(rows) > asked.limit
    return jsonify(
        sites=[_shown(site, provider) for site, provider in shown],
        next_cursor=cursor_of(shown[-1][0].reference) if more else None,
    )


def _account(body: SiteBody, site_ref: str) -> tuple[Account, Mapping[str, Any]]:
    """The account that shall keep the site: as named, as before, or the only one; and the platform's policies."""
    own = principal().platform_id
    rows, before, policies = doors.door().database.run(
        lambda session: (
            site_saving.accounts(session, own),
            site_saving.find(session, own, site_ref),
            platforms.policies(session, own),
        )
    )
    if body.account is not None:
        fitting = [row for row in rows if row.id == body.account and body.provider in (None, row.provider)]
        where = "account"
    else:
        provider = body.provider or (before[1] if before else policies.get("default_provider"))
        fitting = [row for row in rows if provider in (None, row.provider)]
        kept = [row for row in fitting if before and row.id == before[0].account_id]
        fitting = kept or sorted(fitting, key=lambda row: not row.is_default)
        where = "provider"
        if provider is None and len({row.provider for row in rows}) > 1:
            fitting = []
    if not fitting:
        raise Problem(INVALID, "No provider account fits the site.", [(where, "must name an account of this platform")])
    return account_value(fitting[0], doors.door().box), policies


def _save(site_ref: str, body: SiteBody, account: Account) -> Saved:
    here, own = doors.door(), principal().platform_id
    wanted = Wanted(
        account_id=account.id,
        reference=site_ref,
        listed=site_checks.keeps_directory(account),
        columns={
            "name": body.name,
            "address": body.address.model_dump() if body.address else None,
            "lat": body.coordinates.lat if body.coordinates else None,
            "lng": body.coordinates.lng if body.coordinates else None,
            "account_number": body.account_number,
            "gate_instructions": body.gate_instructions,
            "notes": body.notes,
        },
        contacts=[contact.model_dump(mode="json", exclude_none=True) for contact in body.contacts],
    )
    try:
        return here.database.run(lambda session: site_saving.save(session, own, wanted, here.box))
    except IntegrityError:
        raise Problem(CONFLICT, "Another site of this account has the reference already.") from None


def _shown(site: Site, provider: str) -> dict[str, Any]:
    return {
        "site_ref": site.reference,
        "provider": provider,
        "account": site.account_id,
        "provider_site_id": site.provider_site_id,
        "name": site.name,
        "address": site.address,
        "coordinates": None if site.lat is None else {"lat": site.lat, "lng": site.lng},
        "account_number": site.account_number,
        "contacts": len(doors.door().box.open(site.contacts) or []),
        "sync_state": "conflict" if site.conflict and site.deleted_at is None else site.sync_state,
        "sync_error": site.conflict or site.sync_error,
        "coverage": site.coverage,
        "warnings": _warnings(site),
        "version": site.version,
        "synced_version": site.synced_version,
        "synced_at": site.synced_at.isoformat() if site.synced_at else None,
        "updated_at": site.updated_at.isoformat(),
    }


def _warnings(site: Site) -> list[str]:
    """What an operator should know before there is an alarm; coverage never holds one back."""
    found = [
        f"the provider says: no {name} coverage here" if covered is False else f"{name} coverage is not known"
        for name, covered in sorted(site.coverage.items())
        if not covered
    ]
    return [f"no alarm is sent: {site.conflict}", *found] if site.conflict else found
