"""`tocsin notices`: what persons are told, and their word that they heard it."""

from __future__ import annotations

import argparse
from typing import Any

from deploy.cli.faults import CommandError
from deploy.cli.reach import actor, reach
from deploy.cli.show import show, show_all
from deploy.cli.words import Commands, command, group, take_by, take_limit, take_platform
from shared.store import reading
from shared.store.models import Notice


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "notices", "what persons are told, and their word that they heard it")
    listing = command(own, "list", run_list, "list notices that are not over, newest first")
    listing.add_argument("--all", action="store_true", help="those that are over, too")
    take_limit(listing)
    take_platform(listing)
    one = command(own, "acknowledge", run_acknowledge, "silence a notice; what it is about goes on")
    one.add_argument("id", type=int)
    take_by(one)
    take_platform(one)


def run_list(arguments: argparse.Namespace) -> int:
    """List notices."""
    with reach() as here:
        platform = here.platform(arguments.platform)
        rows = reading.notices(
            here.session, platform.id, open_only=not arguments.all, before=None, limit=arguments.limit
        )
        shown = [_shown(row) for row in rows[: arguments.limit]]
    show_all(shown, as_json=arguments.json)
    return 0


def run_acknowledge(arguments: argparse.Namespace) -> int:
    """Silence a notice; the first name stays."""
    with reach() as here:
        platform = here.platform(arguments.platform)
        row = reading.acknowledge_notice(here.session, platform.id, arguments.id, arguments.by, actor())
        if row is None:
            raise CommandError(f"the platform {platform.id} has no notice {arguments.id}")
        here.session.refresh(row)
        shown = _shown(row)
    show(shown, as_json=arguments.json)
    return 0


def _shown(row: Notice) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "subject": row.subject,
        "incident_id": row.incident_id,
        "told": row.told,
        "opened_at": row.opened_at,
        "acknowledged_by": row.acknowledged_by,
        "ended_at": row.ended_at,
        "text": row.text,
    }
