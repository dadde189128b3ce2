"""JSON files that only their owner may read, replaced as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_private(file: Path, document: Mapping[str, Any]) -> None:
    """Replace `file` (mode 0600); who reads it meanwhile sees the old or the new one."""
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(document, stream, indent=2)
        stream.write("\n")
    unfinished.rename(file)


def read_private(file: Path) -> dict[str, Any]:
    """Read what `write_private` wrote; empty where there is no such file."""
    if not file.exists():
        return {}
    document: dict[str, Any] = json.loads(file.read_text())
    return document
