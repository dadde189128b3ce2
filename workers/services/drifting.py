"""Drift as others hear of it: written back once when it is found and once when it is over; grave kinds as a notice."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, select

from shared.domain.drift import GRAVE, Finding
from shared.domain.lanes import Lane
from shared.providers.base import Account
from shared.store.models import Drift, Outbox
from shared.store.reconciling import Run
from workers.services.ledger import Ledger

# After all that belongs to an incident: a listing may show thousands at once.
PRIORITY = 80


def tell_found(book: Ledger, run: Run, account: Account, fresh: Iterable[tuple[int, Finding]]) -> None:
    """Write each new difference back."""
    for drift_id, finding in fresh:
        about = {
            "drift_id": drift_id,
            "kind": finding.kind.value,
            "site_ref": finding.reference or None,
            "provider_site_id": finding.provider_site_id,
            "entry": finding.entry,
            "detail": dict(finding.detail),
        }
        _write_back(book, run, account, "found", about)


def tell_cleared(book: Ledger, run: Run, account: Account, gone: Sequence[Row[Any]]) -> None:
    """Write back that a difference is over."""
    for row in gone:
        about = {
            "drift_id": row.id,
            "kind": row.kind,
            "site_ref": row.reference or None,
            "provider_site_id": row.provider_site_id,
            "entry": f"Over: {row.entry}",
            "detail": {},
        }
        _write_back(book, run, account, "cleared", about)


def _write_back(book: Ledger, run: Run, account: Account, state: str, about: Mapping[str, Any]) -> None:
    platform = book.platform(run.platform_id)
    if not platform.writeback_url:
        return
    body = {
        "id": f"wb_{uuid.uuid4().hex}",
        "event": "site.drift",
        "state": state,
        "provider": account.provider,
        "account": account.id,
        "reconciliation_id": run.id,
        "occurred_at": book.now.isoformat(),
        **about,
    }
    book.send(
        Outbox(
            lane=Lane.OUTGOING.value,
            kind="writeback",
            destination=f"platform:{platform.id}",
            platform_id=platform.id,
            priority=PRIORITY,
            body=body,
        )
    )


def tell_people(book: Ledger, run: Run) -> None:
    """One notice per account as long as alarms of some sites would reach nobody; told anew when there are more."""
    subject = f"drift:{run.account_id}"
    standing = (
        select(Drift.kind, func.count(), func.count().filter(Drift.first_run_id == run.id))
        .where(
            Drift.account_id == run.account_id,
            Drift.cleared_at.is_(None),
            Drift.kind.in_([kind.value for kind in GRAVE]),
        )
        .group_by(Drift.kind)
        .order_by(Drift.kind)
    )
    rows = book.session.execute(standing).all()
    if not rows or any(fresh for _, _, fresh in rows):
        book.end_notice(subject)
    if rows:
        kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count, _ in rows)
        words = f"Sites of account {run.account_id} whose alarms would reach nobody: {kinds}"
        book.notice(run.platform_id, subject, "site_drift", words, once=True)
