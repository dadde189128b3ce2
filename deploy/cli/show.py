"""What commands print: a table or a record for a person, JSON for a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def say(line: str, *, quiet: bool = False) -> None:
    """Print at once; a quiet command says it on stderr, so that stdout stays JSON."""
    print(line, file=sys.stderr if quiet else sys.stdout, flush=True)


def show(value: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one record."""
    if as_json:
        say(json.dumps(value, default=_plain))
        return
    width = max((len(name) for name in value), default=0)
    for name, item in value.items():
        say(f"{name.ljust(width)}  {_cell(item)}")


def show_all(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print records of one kind."""
    if as_json:
        say(json.dumps(rows, default=_plain))
    elif not rows:
        say("none")
    else:
        say(table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows]))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of plain text; the last one is not padded."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    )
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, str):
        # A reference or a name is somebody else's text: it must not move the cursor of a person's terminal.
        return "".join(char if char.isprintable() else "\ufffd" for char in value)
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
