"""Representative sites, registered in staging for this run and taken out at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.cli.golive.ground import DoorFailedError, Ground, site_path
from deploy.cli.golive.report import Line, judged, not_applicable, person
from shared.providers import registry
from shared.providers.base import Account

REGISTERED = "representative sites in staging"
REMOVED = "the rehearsal's sites are removed"
# Where a platform has no site yet: the address of a provider's own example.
_EXAMPLE: dict[str, Any] = {
    "name": "Rehearsal",
    "address": {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101", "country": "US"},
    "coordinates": {"lat": 38.6304, "lng": -90.1991},
}
# One for the alarm that is cancelled, one for the alarm that is played to its end.
LEAST = 2


def register(ground: Ground) -> Iterator[Line]:
    """Copies of the platform's own sites at this provider, without their contacts: nobody real is to be called."""
    if not ground.staging:
        yield not_applicable(REGISTERED, "", "there is no staging account")
    for account in ground.staging:
        if account.site_mode == "csv":
            yield _imported(ground, account)
            continue
        models = _models(ground, account)
        faults = [fault for place, model in enumerate(models) if (fault := _put(ground, account, place, model))]
        ground.sites[account.id] = ground.registered.get(account.id, [])
        count = len(ground.sites[account.id])
        yield judged(
            REGISTERED, account.id, faults, f"{count} sites saved, and known to the provider where it keeps any"
        )


def remove(ground: Ground) -> Iterator[Line]:
    """What was registered, where the API can take sites out."""
    for account in ground.staging:
        faults, left = [], []
        for reference in ground.registered.get(account.id, []):
            answer = ground.request("DELETE", site_path(reference))
            if answer.status_code == 405:
                left.append(reference)
            elif not answer.ok:
                faults.append(f"{reference}: {answer.status_code}")
            elif not ground.until(lambda: _is_gone(ground, reference)):  # noqa: B023 - it is called at once
                faults.append(f"{reference} is still at the provider")
        if left:
            yield person(REMOVED, account.id, f"remove them by hand: {', '.join(left)}")
        else:
            yield judged(REMOVED, account.id, faults, "taken out again")


def _imported(ground: Ground, account: Account) -> Line:
    """An account that is fed by CSV is rehearsed with sites of its own portfolio, which stay."""
    rows = ground.rows(
        "SELECT reference FROM site WHERE account_id = :a AND deleted_at IS NULL ORDER BY md5(reference) LIMIT :k",
        a=account.id,
        k=max(LEAST, ground.sample),
    )
    if len(rows) < LEAST:
        return person(REGISTERED, account.id, "its sites come by CSV: import some to staging, then run this again")
    ground.sites[account.id] = [row.reference for row in rows]
    return judged(REGISTERED, account.id, [], f"{len(rows)} sites of its imported portfolio")


def _models(ground: Ground, account: Account) -> list[dict[str, Any]]:
    wanted = max(LEAST, ground.sample)
    rows = ground.rows(
        """
        SELECT s.name, s.address, s.lat, s.lng FROM site s JOIN provider_account a ON a.id = s.account_id
        WHERE s.platform_id = :p AND a.provider = :n AND s.deleted_at IS NULL ORDER BY md5(s.reference) LIMIT :k
        """,
        p=ground.platform_id,
        n=account.provider,
        k=wanted,
    )
    found = [_model(row) for row in rows]
    return found + [_EXAMPLE] * (wanted - len(found))


def _model(row: Any) -> dict[str, Any]:
    model: dict[str, Any] = {"name": row.name, "address": row.address}
    if row.lat is not None:
        model["coordinates"] = {"lat": row.lat, "lng": row.lng}
    return model


def _put(ground: Ground, account: Account, place: int, model: dict[str, Any]) -> str:
    """What went wrong, if anything did."""
    reference = f"golive-{ground.run}-{account.id}-{place}"
    body = model | {"account": account.id, "name": f"TEST {model['name']}"[:200]}
    try:
        ground.taken("PUT", site_path(reference), body)
    except DoorFailedError as error:
        return str(error)
    ground.registered.setdefault(account.id, []).append(reference)
    if registry.get(account.provider).sites is None or ground.until(lambda: _is_synced(ground, reference)):
        return ""
    return f"{reference} did not reach the provider: {ground.taken('GET', site_path(reference))['sync_state']}"


def _is_synced(ground: Ground, reference: str) -> bool:
    shown = ground.taken("GET", site_path(reference))
    return bool(shown["sync_state"] == "synced" and shown["provider_site_id"])


def _is_gone(ground: Ground, reference: str) -> bool:
    rows = ground.rows(
        "SELECT sync_state, deleted_at FROM site WHERE platform_id = :p AND reference = :r",
        p=ground.platform_id,
        r=reference,
    )
    return not rows or (rows[0].deleted_at is not None and rows[0].sync_state != "deleting")
