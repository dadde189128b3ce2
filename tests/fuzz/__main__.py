"""`python -m tests.fuzz SECONDS [TARGET...]`: coverage-guided fuzzing with Atheris, a process for each target.

What it finds it leaves in `.fuzz/<target>/`, as it keeps there what taught it something new. Atheris is no part of the
usual environment: `make fuzz` installs it, from its own lock, beside it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import SEEDS

CORPUS = Path(".fuzz")
MOST_BYTES = 4_096
TIMEOUT_S = 10


def main(arguments: list[str]) -> int:
    """Fuzz each target for so long; 1 when one of them broke its promise."""
    seconds, names = int(arguments[0]), arguments[1:] or list(SEEDS)
    broken = []
    for name in names:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS[name]):
            (folder / f"seed-{number}").write_bytes(seed)
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(folder), f"-max_total_time={seconds}"]
        command += [
            f"-max_len={MOST_BYTES}",
            f"-timeout={TIMEOUT_S}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        ran = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(
            f"{name:<20} {ran[0] if ran else '?':>12} executions  {'held' if done.returncode == 0 else 'BROKEN'}",
            flush=True,
        )
        if done.returncode:
            broken.append(name)
            print(done.stdout[-3_000:], done.stderr[-3_000:], sep="\n", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
