"""`tocsin golive`: the go-live checklist as a program, against staging or the sandbox."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from deploy.cli.faults import CommandError
from deploy.cli.golive import credentials, dispatching, hooks, operating, registering, resolving
from deploy.cli.golive.ground import DoorFailedError, Ground
from deploy.cli.golive.report import Line, Verdict, judged
from deploy.cli.reach import reach
from deploy.cli.show import show_all
from deploy.cli.words import Commands, command, take_platform
from deploy.embedded import DEFAULT_DATA_DIR
from shared.accounts import account_value
from shared.store.engine import make_engine, make_sessions
from shared.store.keys import create_key, revoke_key
from shared.store.models import ProviderAccount

CHECKS: tuple[tuple[str, Callable[[Ground], Iterator[Line]]], ...] = (
    (credentials.LIVE, credentials.live),
    (registering.REGISTERED, registering.register),
    (resolving.RESOLVES, resolving.resolve),
    (resolving.CALLED_BACK, resolving.called_back),
    (dispatching.DISPATCH, dispatching.dispatch),
    (dispatching.CANCEL, dispatching.cancel),
    (hooks.AUTHENTIC, hooks.hooks),
    (operating.REPORTS, operating.reports),
    (operating.MISSING, operating.missing_sites),
    (operating.DUPLICATES, operating.duplicate_references),
    (operating.DELIVERIES, operating.failed_deliveries),
    (registering.REMOVED, registering.remove),
    (credentials.SERVER_SIDE, credentials.server_side),
)
_SCOPES = ["alarms", "incidents", "sites", "platform"]


def add(commands: Commands) -> None:
    """Declare the command."""
    own = command(
        commands, "golive", run, "go through the go-live checklist with test alarms in staging or the sandbox"
    )
    take_platform(own)
    own.add_argument("--sample", type=int, choices=range(1, 101), default=2, metavar="N", help="sites to register (2)")
    own.add_argument("--wait", type=float, default=30.0, metavar="SECONDS", help="patience with each step (30)")
    own.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_DATA_DIR,
        metavar="DIR",
        help="whose logs are searched (default: ./.tocsin)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Go through the list; exit code 1 when a line failed."""
    with _ground(arguments) as ground:
        lines = [line for name, check in CHECKS for line in _worked(name, check, ground)]
    show_all([line.as_json() for line in lines], as_json=arguments.json)
    return 1 if any(line.verdict is Verdict.FAILED for line in lines) else 0


def _worked(name: str, check: Callable[[Ground], Iterator[Line]], ground: Ground) -> list[Line]:
    """The lines of one check; the door's silence fails it and lets the others go on."""
    lines: list[Line] = []
    try:
        lines.extend(check(ground))
    except DoorFailedError as error:
        lines.append(judged(name, "", [str(error)], ""))
    return lines


@contextmanager
def _ground(arguments: argparse.Namespace) -> Iterator[Ground]:
    """The accounts of the platform, and a key that lives as long as the run."""
    run_id = uuid4().hex[:6]
    with reach() as here:
        platform = here.platform(arguments.platform)
        rows = here.session.scalars(
            select(ProviderAccount).where(ProviderAccount.platform_id == platform.id).order_by(ProviderAccount.id)
        )
        accounts = [account_value(row, here.box) for row in rows]
        if not accounts:
            raise CommandError(f"the platform {platform.id} has no provider account")
        key, text = create_key(here.session, platform.id, f"golive {run_id}", _SCOPES)
        key_id, settings = key.id, here.settings
        here.write_down(platform.id, "golive", run_id, {"sample": arguments.sample})
    engine = make_engine(settings.database_url.get_secret_value(), name="golive", pool_size=2)
    try:
        yield Ground(
            settings=settings,
            sessions=make_sessions(engine),
            platform_id=platform.id,
            accounts=accounts,
            key=text,
            data=arguments.data,
            run=run_id,
            sample=arguments.sample,
            wait_s=arguments.wait,
        )
    finally:
        engine.dispose()
        with reach() as here:
            revoke_key(here.session, arguments.platform, key_id)
