"""How commands are declared: each with a help text, `--json`, and the function that runs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

# The class is generic for type checkers only, so its name is quoted.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace], int]


def group(commands: Commands, name: str, about: str) -> Commands:
    """A word that other words follow: `tocsin keys ...`."""
    parser = commands.add_parser(name, help=about, description=about)
    return parser.add_subparsers(metavar="COMMAND", required=True)


def command(commands: Commands, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    """A command, to which the caller adds arguments."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="print JSON for a program")
    parser.set_defaults(run=run)
    return parser


def take_platform(parser: argparse.ArgumentParser) -> None:
    """Whose rows; a Tocsin with one tenant never needs it."""
    parser.add_argument("--platform", default="default", metavar="ID", help="the tenant (default: default)")


def take_by(parser: argparse.ArgumentParser) -> None:
    """Who acts: it stands on the timeline or in the audit."""
    parser.add_argument("--by", required=True, type=_name, metavar="NAME", help="who decides this")


def take_limit(parser: argparse.ArgumentParser) -> None:
    """How many rows at most."""
    parser.add_argument("--limit", type=int, choices=range(1, 1001), default=50, metavar="N", help="rows at most (50)")


def _name(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise argparse.ArgumentTypeError("a name of 1 to 200 printable characters")
    return text.strip()
