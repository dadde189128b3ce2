"""Tables that read well on a terminal and are Markdown as they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float, digits: int = 0) -> str:
    """A figure with so many digits behind the point; a dash for none."""
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def times(value: float) -> str:
    """A ratio."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    aligned = [_line(row, widths) for row in (header, *rows)]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([aligned[0], f"|{rule}|", *aligned[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return f"| {' | '.join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])} |"
