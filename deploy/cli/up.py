"""`tocsin up` and `tocsin env`: the whole stack at a desk, and how to talk to it from another shell."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from deploy.cli.faults import CommandError
from deploy.cli.private_files import read_private
from deploy.cli.readiness import NotReadyError
from deploy.cli.show import say
from deploy.cli.stack import RUN_FILE, Stack
from deploy.cli.words import Commands, command
from deploy.embedded import DEFAULT_DATA_DIR, EmbeddedInUseError
from deploy.embedded_server import ServerFailedError

FAULTS = (EmbeddedInUseError, NotReadyError, ServerFailedError)


def add(commands: Commands) -> None:
    """Declare the commands."""
    _take_data(command(commands, "up", up, "run the whole stack until Ctrl-C, with the sandbox as both providers"))
    _take_data(command(commands, "env", show_env, "print the settings of a running `tocsin up` as export lines"))


def _take_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA_DIR, metavar="DIR", help="data folder (default: ./.tocsin)"
    )


def up(arguments: argparse.Namespace) -> int:
    """Start, print where everything is, stay until a signal, stop. A second start on the same data goes on with it."""
    stop_on_signals()
    stack = Stack(arguments.data, lambda line: say(line, quiet=arguments.json))
    try:
        try:
            say("starting Postgres, Redis, the sandbox and Tocsin ...", quiet=arguments.json)
            stack.start()
            say(json.dumps(stack.described) if arguments.json else welcome(stack.described))
            while True:
                signal.pause()
        except Stopped:
            say("stopping ...", quiet=arguments.json)
        finally:
            ignore_signals()
            stack.stop()
    except FAULTS as fault:
        raise CommandError(str(fault)) from None
    return 0


def show_env(arguments: argparse.Namespace) -> int:
    """For `eval "$(tocsin env)"`."""
    running = read_private(arguments.data / RUN_FILE)
    if not running:
        raise CommandError(f"no `tocsin up` runs on {arguments.data}: there is no {RUN_FILE}")
    environment: dict[str, str] = running["environment"]
    if arguments.json:
        say(json.dumps(environment))
    else:
        say("\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items()))
    return 0


def welcome(described: Mapping[str, Any]) -> str:
    """Where everything is, for a person."""
    sandbox = described["sandbox"]
    rows = [
        ("API", described["web"]),
        ("docs", described["docs"]),
        ("API key", described["api_key"]),
        ("Flower", f"{described['flower']['url']}  (user {described['flower']['user']})"),
        ("  password", described["flower"]["password"]),
        *((f"sandbox {name}", part["url"]) for name, part in sandbox.items()),
        ("write-backs", sandbox["platform"]["writebacks"]),
        ("escalations", sandbox["platform"]["escalations"]),
        ("Postgres", described["database_url"]),
        ("Redis", described["redis_url"]),
        ("logs", described["logs"]),
        ("all of this", str(Path(described["data_dir"]) / RUN_FILE)),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join(["Tocsin is up.", *lines, 'In another shell: eval "$(tocsin env)". Ctrl-C stops everything.'])


class Stopped(BaseException):
    """A signal asked this process to stop."""


def stop_on_signals() -> None:
    """Let Ctrl-C, a kill and a closed terminal raise `Stopped` wherever the main thread is."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_stopped)


def ignore_signals() -> None:
    """A second Ctrl-C must not interrupt the stopping, which is bounded."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped
