"""A wall clock that is off, for single processes: a shim that is preloaded, compiled when it is first used."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SHIM = Path(__file__).with_name("shifted_clock.c")


def shifted_clock(folder: Path, by_s: int) -> dict[str, str] | None:
    """What a process needs in its environment to be off; None without a C compiler. `set_clock` moves it later."""
    made = folder / "shifted_clock.so"
    if not made.exists() and shutil.which("cc") is not None:
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(SHIM), "-ldl"], check=True)
    set_clock(folder, by_s)
    return {"LD_PRELOAD": str(made), "CHAOS_CLOCK": str(folder / "clock")} if made.exists() else None


def set_clock(folder: Path, by_s: int) -> None:
    """Within a second, the clock is off by so much."""
    (folder / "clock").write_text(str(by_s))
