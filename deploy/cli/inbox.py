"""`tocsin inbox`: what came in and could not be worked or matched, and another try for it."""

from __future__ import annotations

import argparse
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from deploy.cli.faults import CommandError
from deploy.cli.reach import reach
from deploy.cli.show import show, show_all
from deploy.cli.words import Commands, command, group, take_by, take_limit
from shared.domain.lanes import Lane
from shared.store.models import Inbox, Notice

_STATES = ("pending", "parked", "unmatched", "set_aside", "done")
_REPLAYABLE = ("set_aside", "unmatched")


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "inbox", "what came in: see it, and work again what was set aside")
    listing = command(own, "list", run_list, "list rows, by default those that were set aside or never matched")
    listing.add_argument("--state", action="append", choices=_STATES, help="can be repeated")
    take_limit(listing)
    one = command(own, "replay", run_replay, "work a row again that was set aside or never matched")
    one.add_argument("id", type=int)
    take_by(one)


def run_list(arguments: argparse.Namespace) -> int:
    """List rows; bodies are sealed and stay so."""
    wanted = arguments.state or list(_REPLAYABLE)
    with reach() as here:
        rows = here.session.scalars(
            select(Inbox).where(Inbox.state.in_(wanted)).order_by(Inbox.id.desc()).limit(arguments.limit)
        )
        shown = [_shown(row) for row in rows]
    show_all(shown, as_json=arguments.json)
    return 0


def run_replay(arguments: argparse.Namespace) -> int:
    """Let a row be worked again; its notice ends, so that another failure is told anew."""
    with reach() as here:
        row = here.session.get(Inbox, arguments.id, with_for_update=True)
        if row is None or row.state not in _REPLAYABLE:
            raise CommandError(f"there is no row {arguments.id} that was set aside or never matched")
        row.state, row.attempts, row.lease_until, row.worked_at = "pending", 0, None, None
        row.next_attempt_at = here.session.execute(select(func.now())).scalar_one()
        here.session.execute(
            update(Notice)
            .where(Notice.subject == f"inbox:{row.id}", Notice.ended_at.is_(None))
            .values(ended_at=func.now())
        )
        subject, detail = f"inbox:{row.id}", {"by": arguments.by, "source": row.source}
        here.write_down(row.platform_id, "inbox.replay", subject, detail)
        try:
            here.session.flush()
        except IntegrityError:
            raise CommandError("an equal delivery is waiting to be worked already") from None
        here.ring(Lane.INTAKE)
        shown = _shown(row)
    show(shown, as_json=arguments.json)
    return 0


def _shown(row: Inbox) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "state": row.state,
        "incident_id": row.incident_id,
        "account": row.account_id,
        "subject": row.subject,
        "attempts": row.attempts,
        "received_at": row.received_at,
        "last_error": row.last_error,
    }
