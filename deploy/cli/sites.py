"""`tocsin sites reconcile|drift`: compare sites with what their provider lists, and read what differs."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sqlalchemy import select

from deploy.cli import portfolios
from deploy.cli.faults import CommandError
from deploy.cli.progress import Progress
from deploy.cli.reach import reach
from deploy.cli.show import show_all
from deploy.cli.words import Commands, command, group, take_limit, take_platform
from shared.domain.drift import Kind
from shared.domain.lanes import Lane
from shared.providers import registry
from shared.store import reconciling
from shared.store.models import Drift, ProviderAccount, ReconciliationRun

LOOK_EVERY_S = 0.5


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "sites", "sites beside their provider's directory, and whole portfolios of them")
    portfolios.add(own)
    one = command(own, "reconcile", run_reconcile, "compare sites with the provider's listing; workers must run")
    take_platform(one)
    one.add_argument("--account", metavar="ID", help="one account (default: each whose provider keeps a directory)")
    one.add_argument("--no-wait", action="store_true", help="only ask for it")
    listing = command(own, "drift", run_drift, "list what differs, newest first")
    take_platform(listing)
    listing.add_argument("--account", metavar="ID")
    listing.add_argument("--site", metavar="REF")
    listing.add_argument("--kind", action="append", choices=[kind.value for kind in Kind], help="can be repeated")
    listing.add_argument("--all", action="store_true", help="what is over, too")
    take_limit(listing)


def run_reconcile(arguments: argparse.Namespace) -> int:
    """Ask for it, and show how far it is; 1 when a comparison failed or found something."""
    with reach() as here:
        here.platform(arguments.platform)
        query = select(ProviderAccount).where(ProviderAccount.platform_id == arguments.platform)
        if arguments.account:
            query = query.where(ProviderAccount.id == arguments.account)
        accounts = [row for row in here.session.scalars(query) if registry.get(row.provider).sites is not None]
        if not accounts:
            raise CommandError("there is no account whose provider keeps a directory of sites")
        ids = [reconciling.want(here.session, row.platform_id, row.id, "asked").id for row in accounts]
        reconciling.hurry(here.session)
        here.write_down(arguments.platform, "sites.reconcile", f"platform:{arguments.platform}", {"runs": ids})
        here.ring(Lane.PERIODIC)
    rows = [_run(run_id) for run_id in ids] if arguments.no_wait else [_watched(run_id) for run_id in ids]
    show_all([_shown(row) for row in rows], as_json=arguments.json)
    bad = any(row.state == "failed" or row.counts for row in rows)
    return 1 if bad and not arguments.no_wait else 0


def _run(run_id: int) -> ReconciliationRun:
    with reach() as here:
        return here.session.get_one(ReconciliationRun, run_id)


def _watched(run_id: int) -> ReconciliationRun:
    """The run at its end, with a bar on the way: first the listing, then the comparison."""
    bar = Progress("waiting")
    try:
        while (row := _run(run_id)).ended_at is None:
            if row.compared:
                bar.draw(row.compared, max(row.sites, row.listed), f"compared {row.account_id}")
            elif row.state == "running":
                bar.draw(row.listed, row.sites or None, f"listed {row.account_id}")
            time.sleep(LOOK_EVERY_S)
        bar.draw(row.compared, row.compared, f"compared {row.account_id}")
    finally:
        bar.end()
    return row


def _shown(row: ReconciliationRun) -> dict[str, Any]:
    return {
        "id": row.id,
        "account": row.account_id,
        "state": row.state,
        "sites": row.sites,
        "listed": row.listed,
        "drift": row.counts,
        "opened": row.opened,
        "cleared": row.cleared,
        "repairs": row.repairs,
        "reason": row.reason or row.withheld,
    }


def run_drift(arguments: argparse.Namespace) -> int:
    """List differences."""
    wanted = reconciling.DriftFilter(
        open_only=not arguments.all,
        kinds=arguments.kind or (),
        account_id=arguments.account,
        site_ref=arguments.site,
        limit=arguments.limit,
    )
    with reach() as here:
        here.platform(arguments.platform)
        rows = reconciling.drift(here.session, arguments.platform, wanted)[: arguments.limit]
    show_all([_difference(row) for row in rows], as_json=arguments.json)
    return 0


def _difference(row: Drift) -> dict[str, Any]:
    return {
        "id": row.id,
        "account": row.account_id,
        "site": row.reference,
        "kind": row.kind,
        "opened_at": row.opened_at,
        "cleared_at": row.cleared_at,
        "entry": row.entry,
    }
