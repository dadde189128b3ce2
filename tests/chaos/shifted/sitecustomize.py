"""First on a process's PYTHONPATH: its wall clock is off by what the file `TOCSIN_CHAOS_CLOCK` says, from moment to
moment. Only `time.time` and `time.time_ns` can be replaced from inside: `datetime.now` reads the kernel's clock.
"""

from __future__ import annotations

import os
import time

_time, _time_ns, _monotonic = time.time, time.time_ns, time.monotonic
_known = [0.0, -1.0]


def _shift() -> float:
    now = _monotonic()
    if now - _known[1] > 0.2:
        _known[1] = now
        try:
            with open(os.environ["TOCSIN_CHAOS_CLOCK"]) as file:
                _known[0] = float(file.read() or 0)
        except (OSError, ValueError, KeyError):
            pass
    return _known[0]


time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + int(_shift() * 1e9)
