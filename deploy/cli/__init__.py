"""The `tocsin` command: the stack at a desk, and what an operator of a running Tocsin does by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deploy.cli.faults import CommandError


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 not done (the reason is on stderr), 2 wrong usage."""
    arguments = _parser().parse_args(words)
    try:
        code: int = arguments.run(arguments)
    except CommandError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `tocsin ... | head` has read enough
        sys.stderr.close()
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    from deploy.cli import (  # the parts are loaded for the command only, not for whoever imports one of them
        accounts,
        demo,
        golive,
        inbox,
        incidents,
        keys,
        migrating,
        notices,
        outbox,
        platforms,
        sites,
        up,
        webhook,
    )

    parser = argparse.ArgumentParser(prog="tocsin", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    desk = (up, demo, golive, migrating)
    for part in (*desk, platforms, accounts, webhook, keys, incidents, notices, sites, inbox, outbox):
        part.add(commands)
    return parser
