"""Processes that a killed `tocsin up` left behind: found by a mark in their environment, and stopped."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

# Set for every child, to the data folder it belongs to; never exported by `tocsin env`.
MARK = "TOCSIN_SUPERVISED_IN"
STOPPED_WITHIN_S = 5.0


def stop_leftovers(data_dir: Path) -> int:
    """Stop what still runs on `data_dir` and say how many processes that were.

    The caller holds the folder's lock, so nothing that is found belongs to a living stack.
    """
    left = [process for process in psutil.process_iter() if _belongs(process, str(data_dir))]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            process.resume()
    _, alive = psutil.wait_procs(left, timeout=STOPPED_WITHIN_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=STOPPED_WITHIN_S)
    return len(left)


def _belongs(process: psutil.Process, data_dir: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == data_dir)
    except (psutil.Error, OSError):  # gone meanwhile, or not ours to look at
        return False
