"""A progress bar for what takes minutes: on a terminal one line that is drawn again, elsewhere nothing."""

from __future__ import annotations

import sys

WIDTH = 30


class Progress:
    """Draws on stderr, so that stdout stays what was asked for."""

    def __init__(self, what: str) -> None:
        """`what` stands before the bar."""
        self._what = what
        self._shown = sys.stderr.isatty()
        self._last = ""

    def draw(self, done: int, total: int | None, note: str = "") -> None:
        """How far it is; a total of None is not known yet."""
        if total:
            filled = min(WIDTH, WIDTH * done // total)
            bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total}"
        else:
            bar = f"{done}"
        line = f"{self._what} {bar} {note}".rstrip()
        if self._shown and line != self._last:
            sys.stderr.write(f"\r{line.ljust(len(self._last))}")
            sys.stderr.flush()
            self._last = line

    def end(self) -> None:
        """Leave the last state standing."""
        if self._shown and self._last:
            sys.stderr.write("\n")
