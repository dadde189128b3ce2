"""The whole stack of `tocsin up` for one measurement, gone afterwards; and the alarms that are posted to a door."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.processes import cpu_of, cpu_of_family, cpu_of_session
from deploy.cli.stack import Stack

PERSON = {"name": "Jane Example", "phone": "+12025550142", "pin": "4711"}
HOME = {
    "provider": "noonlight",
    "person": PERSON,
    "location": {"address": {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}},
}


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


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU seconds so far, by process of the Procfile, and of the servers."""
    pids: dict[str, int] = json.loads((stack.data_dir / "run.json").read_text())["pids"]
    del pids["up"]
    found = {name: cpu_of_session(pid) for name, pid in pids.items()}
    return found | {"postgres": cpu_of_family(pids["postgres"]), "redis": cpu_of(pids["redis"])}


def door_port(stack: Stack) -> int:
    """Where its door listens."""
    return int(stack.described["web"].rpartition(":")[2])


def post(api_key: str, body: dict[str, Any]) -> bytes:
    """An alarm as the bytes of its request."""
    content = json.dumps(body).encode()
    return (
        b"POST /v1/alarms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (api_key.encode(), len(content), content)
    )
