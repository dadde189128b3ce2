"""Free ports on loopback, the same from start to start where they can be."""

from __future__ import annotations

import random
import socket

from deploy.embedded import PORTS


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if nobody listens there, else another free port of 127.0.0.1. Raises RuntimeError."""
    candidates = random.sample(PORTS, 200)
    for port in candidates if preferred is None else [preferred, *candidates]:
        if _is_free(port):
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
