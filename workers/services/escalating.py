"""Open notices, bundled per address: to the platform, and independently to the escalation address (law 13)."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.crypto import digest
from shared.domain import retry
from shared.domain.outcome import Accepted, Outcome
from shared.platforms.delivery import Endpoint, deliver
from shared.platforms.endpoints import guard_of
from shared.store.models import Incident, Notice, Outbox, Platform
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger
from workers.services.writing_back import platform_endpoint

BUNDLE = 200
# Which count of a notice says up to which telling this way has taken it.
HEARD = {"notice": "heard_by_platform", "escalation": "heard_by_escalation"}


def escalation_endpoint(deps: Deps, platform: Platform) -> Endpoint | None:
    """The platform's own escalation address, else the one of the settings; None when there is none."""
    own = platform.escalation_url
    url = own or deps.settings.escalation_url
    if not url:
        return None
    guard = guard_of(deps.settings)
    if own:
        secret = deps.box.open(platform.escalation_secret) if platform.escalation_secret else ""
        return Endpoint(url, secret, guard)
    # Whoever runs Tocsin chose it, and may well have a pager on this machine.
    return Endpoint(url, deps.settings.escalation_secret.get_secret_value(), replace(guard, allow_loopback=True))


def announce(deps: Deps, lease: Lease) -> None:
    """Deliver one bundle: what this address has not taken yet of the notices that are open at this moment."""
    with deps.sessions() as session:
        # Signed by the database's clock, as write-backs are.
        row, now = session.execute(select(Outbox, func.now()).where(Outbox.id == lease.id)).one()
        platform = session.get_one(Platform, row.platform_id)
        endpoint = (platform_endpoint if row.kind == "notice" else escalation_endpoint)(deps, platform)
        notices = _unheard(session, platform.id, row.kind)
        body = {
            "id": _bundle_id(row.id, notices),
            "event": "notices",
            "platform": platform.id,
            "notices": notices,
        }
    if not calling.may_start(deps, lease):
        return
    outcome: Outcome = Accepted()
    if notices and endpoint is not None and endpoint.url:
        outcome = deliver(endpoint, str(body["id"]), body, now, calling.deadline(deps, lease))
    deps.record(lambda session: _settle(session, deps, lease, outcome, notices))


def _bundle_id(row_id: int, notices: list[dict[str, Any]]) -> str:
    """The same while the bundle says the same, so that a repeat after a lost answer is recognised."""
    said = json.dumps([(notice["notice_id"], notice["told"]) for notice in notices])
    return f"nt_{row_id}_{digest(said.encode())[:16]}"


def _unheard(session: Session, platform_id: str, way: str) -> list[dict[str, Any]]:
    rows = session.execute(
        select(Notice, Incident.incident_ref, Incident.status, Incident.kind)
        .outerjoin(Incident, Incident.id == Notice.incident_id)
        .where(
            Notice.platform_id == platform_id,
            Notice.ended_at.is_(None),
            Notice.acknowledged_at.is_(None),
            Notice.told > getattr(Notice, HEARD[way]),
        )
        .order_by(Notice.opened_at)
        .limit(BUNDLE)
    )
    return [
        {
            "notice_id": notice.id,
            "kind": notice.kind,
            "text": notice.text,
            "since": notice.opened_at.isoformat(),
            "told": notice.told,
            "incident_id": notice.incident_id,
            "incident_ref": incident_ref,
            "incident_kind": kind,
            "status": status,
        }
        for notice, incident_ref, status, kind in rows
    ]


def _settle(session: Session, deps: Deps, lease: Lease, outcome: Outcome, notices: list[dict[str, Any]]) -> None:
    row = fenced(session, lease)
    if row is None:
        return
    book = Ledger(session, deps)
    row.attempts += 1
    if not isinstance(outcome, Accepted):
        row.last_error = outcome.reason[:500]
        release(row, book.now, book.in_seconds(retry.escalation_delay(row.attempts, random.random())))  # noqa: S311
        return
    if notices:
        heard = [{"id": notice["notice_id"], HEARD[row.kind]: notice["told"]} for notice in notices]
        session.execute(update(Notice), heard)
    assert row.platform_id is not None
    if notices and _unheard(session, row.platform_id, row.kind):  # told again meanwhile, or more than one bundle
        row.attempts = 0
        release(row, book.now)
        return
    finish(row, book.now, "done")
