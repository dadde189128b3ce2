"""`make audit`: the locked packages against the known advisories, by pip-audit, where its services are reached."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

LOCKS = ("requirements.lock", "requirements-dev.lock")
# By pip-audit's names; each is asked for something small that it has. A mirror of the index alone knows no advisories.
SERVICES = {"pypi": "https://pypi.org/pypi/pip/24.0/json", "osv": "https://api.osv.dev/v1/vulns/GHSA-q4qm-xhf9-4p8f"}
PATIENCE_S = 10
NOT_DONE = 2


def main(program: Path) -> int:
    """0: none of them has a known hole; 1: one has, or the audit failed; 2: nobody could be asked."""
    service = next((name for name, url in SERVICES.items() if _answers(url)), None)
    if service is None:
        print(f"NOT AUDITED: none of pip-audit's services is reached from here ({', '.join(SERVICES)}).")
        print("Offline, tests/security/test_locks.py holds pins, hashes and the floors that it names.")
        return NOT_DONE
    wanted = [part for lock in LOCKS for part in ("--requirement", lock)]
    command = [str(program), "--disable-pip", "--require-hashes", "--strict", "--vulnerability-service", service]
    return subprocess.run([*command, *wanted], check=False).returncode


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
