"""One step written back to the operator's platform: signed, in order as far as it can be, from seconds to hours."""

from __future__ import annotations

import random

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.domain import retry
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.platforms.delivery import Endpoint, deliver
from shared.platforms.endpoints import guard_of
from shared.store.models import Outbox, Platform
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger


def write_back(deps: Deps, lease: Lease) -> None:
    """Deliver one leased write-back."""
    with deps.sessions() as session:
        # Signed by the database's clock: where this machine's own is off by minutes, the platform would refuse it.
        row, now = session.execute(select(Outbox, func.now()).where(Outbox.id == lease.id)).one()
        platform = session.get_one(Platform, row.platform_id)
        endpoint = platform_endpoint(deps, platform)
        body = dict(row.body or {})
    if not calling.may_start(deps, lease):
        return
    outcome = deliver(endpoint, body["id"], body, now, calling.deadline(deps, lease))
    deps.record(lambda session: _settle(session, deps, lease, outcome))


def platform_endpoint(deps: Deps, platform: Platform) -> Endpoint:
    """The platform's write-back address and secret."""
    secret = deps.box.open(platform.writeback_secret) if platform.writeback_secret else ""
    return Endpoint(platform.writeback_url, secret, guard_of(deps.settings))


def _settle(session: Session, deps: Deps, lease: Lease, outcome: Outcome) -> None:
    row = fenced(session, lease)
    if row is None:
        return
    book = Ledger(session, deps)
    row.attempts += 1
    if isinstance(outcome, Accepted):
        finish(row, book.now, "done")
        book.end_notice(f"outbox:{row.id}")
        return
    row.last_error = outcome.reason[:500]
    delay = None
    if not isinstance(outcome, Permanent):
        delay = retry.writeback_delay(row.attempts, calling.retry_after(outcome), random.random())  # noqa: S311 - jitter
    if delay is not None:
        release(row, book.now, book.in_seconds(delay))
        return
    finish(row, book.now, "dead", outcome.reason[:500])
    assert row.platform_id is not None
    book.notice(
        row.platform_id,
        f"outbox:{row.id}",
        "writeback_dead",
        f"A write-back was given up: {outcome.reason}",
        incident_id=row.incident_id,
        once=True,
    )
