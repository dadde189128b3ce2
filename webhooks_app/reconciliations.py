"""`/v1/site-reconciliations` and `/v1/site-drift`: ask for a comparison with the provider's listing, and read it."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane
from shared.providers import registry
from shared.store import reconciling, site_saving
from shared.store.models import Drift, ReconciliationRun
from shared.store.reconciling import DriftFilter
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import ReconcileBody
from webhooks_app.errors import CANNOT, INVALID, NOT_FOUND, Problem
from webhooks_app.intake import model_body
from webhooks_app.queries import DriftQuery, Page, cursor_of, number_cursor, query


def ask() -> Response:
    """Compare the sites of one account, or of all, with what the provider lists. 409 where no provider lists sites."""
    here, own = doors.door(), principal().platform_id
    body, _ = model_body(ReconcileBody, here.settings.max_body_bytes)
    rows = here.database.run(lambda session: site_saving.accounts(session, own))
    if body.account is not None:
        rows = [row for row in rows if row.id == body.account]
        if not rows:
            raise Problem(INVALID, "There is no such account.", [("account", "must name an account of this platform")])
    able = [row.id for row in rows if registry.get(row.provider).sites is not None]
    if not able:
        reasons = sorted({registry.get(row.provider).cannot.get("sites", "") for row in rows} - {""})
        raise Problem(CANNOT, "; ".join(reasons) or "No provider of this platform keeps a directory of sites.")

    def want(session: Session) -> list[ReconciliationRun]:
        wanted = [reconciling.want(session, own, account_id, "asked") for account_id in able]
        reconciling.hurry(session)
        return wanted

    runs = here.database.run(want)
    here.ring(Lane.PERIODIC)
    answer = jsonify(reconciliations=[shown(run) for run in runs])
    answer.status_code = 202
    return answer


def list_runs() -> Response:
    """Newest first."""
    asked, own = query(Page), principal().platform_id
    before = number_cursor(asked.cursor)
    rows = doors.door().database.run(lambda session: reconciling.runs(session, own, before=before, limit=asked.limit))
    page, more = rows[: asked.limit], len(rows) > asked.limit
    following = cursor_of(page[-1].id) if more else None
    return jsonify(reconciliations=[shown(run) for run in page], next_cursor=following)


def show_run(run_id: int) -> Response:
    """One comparison; while it runs, how far it is."""
    own = principal().platform_id
    run = doors.door().database.run(lambda session: session.get(ReconciliationRun, run_id))
    if run is None or run.platform_id != own:
        raise Problem(NOT_FOUND, "There is no such comparison.")
    return jsonify(shown(run))


def list_drift() -> Response:
    """Newest first."""
    asked, own = query(DriftQuery), principal().platform_id
    wanted = DriftFilter(
        open_only=asked.open,
        kinds=[kind.value for kind in asked.kind],
        account_id=asked.account,
        site_ref=asked.site_ref,
        before=number_cursor(asked.cursor),
        limit=asked.limit,
    )
    rows = doors.door().database.run(lambda session: reconciling.drift(session, own, wanted))
    page, more = rows[: asked.limit], len(rows) > asked.limit
    return jsonify(drift=[_difference(row) for row in page], next_cursor=cursor_of(page[-1].id) if more else None)


def shown(run: ReconciliationRun) -> dict[str, Any]:
    """A comparison as the API shows it."""
    return {
        "id": run.id,
        "account": run.account_id,
        "cause": run.cause,
        "state": run.state,
        "reason": run.reason,
        "sites": run.sites,
        "listed": run.listed,
        "compared": run.compared,
        "drift": run.counts,
        "opened": run.opened,
        "cleared": run.cleared,
        "repairs": run.repairs,
        "withheld": run.withheld,
        "asked_at": run.asked_at.isoformat(),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
    }


def _difference(row: Drift) -> dict[str, Any]:
    return {
        "id": row.id,
        "account": row.account_id,
        "kind": row.kind,
        "site_ref": row.reference or None,
        "provider_site_id": row.provider_site_id,
        "entry": row.entry,
        "detail": row.detail,
        "first_reconciliation": row.first_run_id,
        "last_reconciliation": row.last_run_id,
        "repair_asked_at": row.repair_asked_at.isoformat() if row.repair_asked_at else None,
        "opened_at": row.opened_at.isoformat(),
        "cleared_at": row.cleared_at.isoformat() if row.cleared_at else None,
    }
