"""The whole stack of `tocsin up` for one measurement, gone afterwards."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cli.stack import Stack


@contextmanager
def open_desk() -> Iterator[Stack]:
    """Every process of the Procfile, on servers and with a sandbox of its own; what happens is told on stderr."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        Path(folder).chmod(0o711)
        stack = Stack(Path(folder) / "data", lambda line: print(line, file=sys.stderr))
        try:
            stack.start()
            yield stack
        finally:
            stack.erase()
