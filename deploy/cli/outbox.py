"""`tocsin outbox`: what was given up on its way out, and another try for it by a named person."""

from __future__ import annotations

import argparse
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from deploy.cli.acting import ask
from deploy.cli.faults import CommandError
from deploy.cli.reach import Reach, reach
from deploy.cli.show import show, show_all
from deploy.cli.words import Commands, command, group, take_by, take_limit
from shared.domain.lanes import Lane
from shared.store.models import Notice, Outbox


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "outbox", "what must go out: see it, and try again what was given up")
    listing = command(own, "list", run_list, "list rows, by default the dead ones")
    listing.add_argument(
        "--state", action="append", choices=("pending", "dead", "void", "done"), help="can be repeated"
    )
    listing.add_argument("--incident", metavar="ID")
    take_limit(listing)
    one = command(own, "replay", run_replay, "try a dead row again; a create becomes a resend of its incident")
    one.add_argument("id", type=int)
    take_by(one)


def run_list(arguments: argparse.Namespace) -> int:
    """List rows, newest first."""
    query = select(Outbox).where(Outbox.state.in_(arguments.state or ["dead"]))
    if arguments.incident:
        query = query.where(Outbox.incident_id == arguments.incident)
    with reach() as here:
        rows = here.session.scalars(query.order_by(Outbox.id.desc()).limit(arguments.limit))
        shown = [_shown(row) for row in rows]
    show_all(shown, as_json=arguments.json)
    return 0


def run_replay(arguments: argparse.Namespace) -> int:
    """Try a dead row again.

    A create is not simply sent again: whether the first one arrived may be unknown, its leg may be over, and its age
    needs a name. The incident's own transition knows all that and gives it a new `expires_at`: a resend by that name.
    """
    with reach() as here:
        row = here.session.get(Outbox, arguments.id, with_for_update=True)
        if row is None or row.state != "dead":
            raise CommandError(f"there is no dead row {arguments.id}")
        if row.kind == "create":
            assert row.platform_id is not None
            assert row.incident_id is not None
            ask(
                here,
                row.platform_id,
                row.incident_id,
                "resend",
                {"by": arguments.by, "reason": f"replay of row {row.id}"},
            )
            shown = _shown(row) | {"asked": "resend"}
        else:
            _revive(here, row)
            shown = _shown(row) | {"asked": "replay"}
        _write_down(here, row, arguments.by)
    show(shown, as_json=arguments.json)
    return 0


def _revive(here: Reach, row: Outbox) -> None:
    row.state, row.attempts, row.lost_leases = "pending", 0, 0
    row.lease_until, row.done_at = None, None
    row.next_attempt_at = here.session.execute(select(func.now())).scalar_one()
    try:
        here.session.flush()
    except IntegrityError:
        raise CommandError("a newer row of the same purpose is on its way already") from None
    here.ring(Lane(row.lane))


def _write_down(here: Reach, row: Outbox, by: str) -> None:
    """In the audit; the row's notice ends, so that another failure is told anew."""
    subject = f"outbox:{row.id}"
    here.session.execute(
        update(Notice).where(Notice.subject == subject, Notice.ended_at.is_(None)).values(ended_at=func.now())
    )
    here.write_down(row.platform_id, "outbox.replay", subject, {"by": by, "kind": row.kind})


def _shown(row: Outbox) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "destination": row.destination,
        "incident_id": row.incident_id,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "next_attempt_at": row.next_attempt_at,
        "last_error": row.last_error,
    }
