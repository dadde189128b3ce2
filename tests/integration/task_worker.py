"""Calls Celery tasks by name, as a worker process does: settings on the first line, then `name [row id]` lines."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

# Logs go elsewhere, so that every line of the output is an answer.
ANSWERS = sys.stdout
sys.stdout = sys.stderr


def main() -> None:
    """Obey until the input ends; each order is answered with one line."""
    for name, value in json.loads(sys.stdin.readline()).items():
        os.environ[f"TOCSIN_{name.upper()}"] = json.dumps(value) if isinstance(value, dict) else str(value)
    from workers.app import app  # reads the environment

    app.loader.import_default_modules()
    say("ready")
    for order in sys.stdin:
        if order.strip() == "names":
            say(" ".join(sorted(name for name in app.tasks if not name.startswith("celery."))))
            continue
        name, *args = order.split()
        task = app.tasks[name]
        with ThreadPoolExecutor(2) as pool:  # twice in this process, and as often in the next one
            copies = [pool.submit(task, *map(int, args)) for _ in range(2)]
            for copy in copies:
                copy.result()
        say("done")


def say(word: str) -> None:
    """Answer."""
    ANSWERS.write(word + "\n")
    ANSWERS.flush()


if __name__ == "__main__":
    main()
