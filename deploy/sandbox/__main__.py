"""`python -m deploy.sandbox`: the three services in one process until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from deploy.sandbox import Sandbox


def main() -> None:
    """Start, print one JSON line with the three URLs (never a secret), and wait for a signal."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sandbox", description=__doc__)
    parser.add_argument("--config", type=Path, help="JSON file; see deploy/sandbox/config.py for its keys")
    for name in ("noonlight", "aura", "platform"):
        parser.add_argument(f"--{name}-port", type=int, help="0 takes a free port")
    arguments = parser.parse_args()

    config: dict[str, Any] = json.loads(arguments.config.read_text()) if arguments.config else {}
    for name in ("noonlight", "aura", "platform"):
        port = getattr(arguments, f"{name}_port")
        if port is not None:
            config[name] = {**config.get(name, {}), "port": port}

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with Sandbox(config) as sandbox:
        urls = {name: getattr(sandbox, name).url for name in ("noonlight", "aura", "platform")}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
