"""Does each site resolve to exactly one reference at its provider?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.cli.golive.ground import Ground
from deploy.cli.golive.report import Line, judged, not_applicable, person
from shared.domain.drift import GRAVE
from shared.providers import registry
from shared.providers.base import Account

RESOLVES = "every site resolves to one reference"
CALLED_BACK = "CSV callback and reconciliation"


def resolve(ground: Ground) -> Iterator[Line]:
    """A comparison with the provider's listing; every difference that matters for an alarm fails."""
    for account in ground.accounts:
        if registry.get(account.provider).sites is None:
            yield not_applicable(RESOLVES, account.id, "this provider keeps no directory: the address travels along")
            continue
        asked = ground.request("POST", "/v1/site-reconciliations", {"account": account.id})
        if asked.status_code in (404, 405):
            yield person(RESOLVES, account.id, "not available: this Tocsin cannot compare")
        elif not asked.ok:
            yield judged(RESOLVES, account.id, [f"the comparison was refused ({asked.status_code})"], "")
        else:
            yield _compared(ground, account, asked.json()["reconciliations"][0]["id"])


def _compared(ground: Ground, account: Account, run_id: int) -> Line:
    def run() -> dict[str, Any]:
        return ground.taken("GET", f"/v1/site-reconciliations/{run_id}")

    ground.until(lambda: run()["state"] in ("done", "failed"), ground.settings.listing_s)
    ended = run()
    if ended["state"] != "done":
        return judged(RESOLVES, account.id, [f"the comparison {ended['state']}: {ended['reason']}"], "")
    rows = ground.rows(
        "SELECT kind, reference FROM drift WHERE account_id = :a AND cleared_at IS NULL ORDER BY id", a=account.id
    )
    faults = [f"{row.reference}: {row.kind}" for row in rows if row.kind in {kind.value for kind in GRAVE}]
    shown = [*faults[:10], *([f"and {len(faults) - 10} more"] if len(faults) > 10 else [])]
    words = f"{ended['sites']} sites compared with {ended['listed']} records, {len(rows)} smaller differences"
    return judged(RESOLVES, account.id, shown, words)


def called_back(ground: Ground) -> Iterator[Line]:
    """The newest import of each account that is fed by CSV: the provider called back, and the listing was compared."""
    fed = [account for account in ground.accounts if account.site_mode == "csv"]
    if not fed:
        yield not_applicable(CALLED_BACK, "", "no account is fed by CSV")
    for account in fed:
        rows = ground.rows(
            """
            SELECT state, reason, callback_at, reconciliation_id FROM site_import
            WHERE account_id = :a AND NOT dry_run ORDER BY id DESC LIMIT 1
            """,
            a=account.id,
        )
        if not rows:
            yield person(CALLED_BACK, account.id, "nothing was imported yet: import the portfolio, then run this again")
            continue
        (last,) = rows
        faults = [] if last.state == "done" else [f"the import is {last.state}: {last.reason or 'no reason given'}"]
        faults += [] if last.callback_at else ["the provider has not called back"]
        faults += [] if last.reconciliation_id else ["nothing was compared after it"]
        yield judged(CALLED_BACK, account.id, faults, "called back, and compared afterwards")
