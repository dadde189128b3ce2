"""Secrets that a command takes: from a prompt, from stdin or from a variable, never from its arguments.

Arguments are seen by every user of the machine (`ps`) and kept in the shell's history.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Collection

from deploy.cli.faults import CommandError


def take_secrets(parser: argparse.ArgumentParser, names: str) -> None:
    """Declare `--secret NAME` and `--from-env NAME=VARIABLE`; `names` is for the help text."""
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME",
        help=f"ask for it, or read a line of stdin where that is no terminal; one of: {names}",
    )
    parser.add_argument(
        "--from-env",
        action="append",
        default=[],
        metavar="NAME=VARIABLE",
        help="take it from an environment variable",
    )


def read_secrets(arguments: argparse.Namespace, allowed: Collection[str] | None = None) -> dict[str, str]:
    """The secrets by name, in the order of the arguments. Raises CommandError that quotes no secret."""
    found: dict[str, str] = {}
    for pair in arguments.from_env:
        name, _, variable = pair.partition("=")
        if not variable or variable not in os.environ:
            raise CommandError(f"--from-env {name}: give NAME=VARIABLE, and a variable that is set")
        found[name] = os.environ[variable]
    for name in arguments.secret:
        found[name] = _asked(name)
    for name, value in found.items():
        if allowed is not None and name not in allowed:
            raise CommandError(f"there is no secret {name} here; known are: {', '.join(sorted(allowed))}")
        if not value:
            raise CommandError(f"the secret {name} is empty")
    return found


def _asked(name: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ").strip()
    return sys.stdin.readline().strip()
