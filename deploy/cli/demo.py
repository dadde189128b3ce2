"""`tocsin demo`: the whole stack on a folder of its own, and a rehearsal of what it is for."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from deploy.cli.faults import CommandError
from deploy.cli.show import say
from deploy.cli.stack import Stack
from deploy.cli.up import FAULTS, Stopped, ignore_signals, stop_on_signals
from deploy.cli.words import Commands, command
from deploy.sandbox.rehearsal import Ground, rehearse
from deploy.sandbox.rehearsal_calls import SceneFailedError
from deploy.sandbox.rehearsal_verdict import Verdict
from shared.accounts import DEFAULT_PLATFORM
from shared.store.keys import create_key
from shared.store.models import Incident


def add(commands: Commands) -> None:
    """Declare the command."""
    command(commands, "demo", run, "play an alarm through each provider on a stack of its own, then stop")


def run(arguments: argparse.Namespace) -> int:
    """Play, print the timelines and the verdict; exit code 1 when an alarm was late, doubled or lost."""
    stop_on_signals()
    # Not inside the project: the account that runs Postgres for root must be able to enter.
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder:
        Path(folder).chmod(0o711)
        stack = Stack(Path(folder) / "data", lambda line: say(line, quiet=arguments.json))
        try:
            verdict = _play(stack, quiet=arguments.json)
        except Stopped:
            raise CommandError("stopped before the end") from None
        except FAULTS as fault:
            raise CommandError(str(fault)) from None
        finally:
            ignore_signals()
            stack.erase()
    if arguments.json:
        say(json.dumps(verdict.as_json()))
    return 0 if verdict.passed else 1


def _play(stack: Stack, *, quiet: bool) -> Verdict:
    began = time.monotonic()
    say("Starting Postgres, Redis, the sandbox and Tocsin on a fresh folder ...", quiet=quiet)
    stack.start()
    say(f"Up after {time.monotonic() - began:.1f} s.", quiet=quiet)
    try:
        verdict = rehearse(_ground(stack), lambda line: say(line, quiet=quiet))
    except SceneFailedError as error:
        raise CommandError(f"the demo failed: {error}\n{stack.last_words()}") from None
    if not verdict.passed:
        say(stack.last_words(), quiet=quiet)
    say(f"\n{time.monotonic() - began:.0f} s in all.", quiet=quiet)
    return verdict


def _ground(stack: Stack) -> Ground:
    sandbox = stack.described["sandbox"]

    def panel_key(site_ref: str) -> str:
        with stack.session() as session, session.begin():
            return create_key(session, DEFAULT_PLATFORM, "the panel of the demo", ["panel"], site_ref)[1]

    def last_seq(incident_id: str) -> int:
        with stack.session() as session:
            return session.get_one(Incident, incident_id).seq

    return Ground(
        web=stack.described["web"],
        api_key=stack.described["api_key"],
        sandbox={name: part["url"] for name, part in sandbox.items()},
        panel_key=panel_key,
        last_seq=last_seq,
        stop_redis=stack.embedded.redis.stop,
        start_redis=stack.embedded.redis.start,
    )
