"""`tocsin up` as a person runs it: one process that starts, watches and stops all the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from deploy.cli.leftovers import MARK

PATIENCE_S = 120.0
WORKERS = {"intake1", "intake2", "dispatch1", "dispatch2", "outgoing", "periodic"}
HOME = {
    "provider": "noonlight",
    "person": {"name": "Ann Example", "phone": "+1 202 555 0123"},
    "location": {"address": {"line1": "1 Main St", "city": "Austin", "state": "TX", "zip": "78701"}},
}


class Up:
    """A `tocsin up` on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder.parent / "output"
        with self.output.open("ab") as output:
            command = [sys.executable, "-c", "import sys; from deploy.cli import main; sys.exit(main())"]
            self.process = subprocess.Popen([*command, "up", "--data", str(folder)], stdout=output, stderr=output)

    def await_ready(self) -> None:
        """Until `run.json` is this process's own."""
        _until(lambda: self._is_ready() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()

    def _is_ready(self) -> bool:
        return (self.folder / "run.json").exists() and bool(self.run["pids"]["up"] == self.process.pid)

    @property
    def run(self) -> dict[str, Any]:
        """What `run.json` says now."""
        document: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return document

    def children(self) -> list[psutil.Process]:
        """What runs on the folder, by the mark in its environment."""
        return [process for process in psutil.process_iter() if _is_on(process, self.folder)]

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        """Call the API with the ready key."""
        run = self.run
        headers = {"Authorization": f"Bearer {run['api_key']}"}
        return requests.request(method, f"{run['web']}{path}", json=body, headers=headers, timeout=10)

    def alarm(self, reference: str) -> str:
        """Raise a burglary."""
        taken = self.request("POST", "/v1/alarms", {"incident_ref": reference, "kind": "burglary", **HOME})
        assert taken.status_code == 202, taken.text
        return str(taken.json()["incident_id"])

    def is_told(self, reference: str, event: str) -> bool:
        """Whether the platform was told."""
        url = self.run["sandbox"]["platform"]["writebacks"]
        items = requests.get(url, params={"incident_ref": reference}, timeout=10).json()["items"]
        return any(item["body"].get("event") == event for item in items)

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the account of Postgres can enter."""
    with tempfile.TemporaryDirectory(prefix="tocsin-up-") as made:
        Path(made).chmod(0o711)
        yield Path(made) / "data"


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    """A running stack for all tests of this module but the last."""
    made = Up(folder)
    try:
        made.await_ready()
        yield made
    finally:
        if made.process.poll() is None:
            made.end(signal.SIGTERM)


def test_run_file_is_private_and_complete(up: Up) -> None:
    """Every address, the key, the sandbox's secrets, and who runs."""
    file = up.folder / "run.json"
    assert file.stat().st_mode & 0o777 == 0o600
    run = up.run
    assert {"web", "docs", "api_key", "flower", "sandbox", "database_url", "redis_url", "pids"} <= set(run)
    assert {"webhook_secret", "url"} <= set(run["sandbox"]["noonlight"]) & set(run["sandbox"]["aura"])
    assert {"web", "beat", "watchman", "worker_dispatch_1", "worker_dispatch_2", "sandbox"} <= set(run["pids"])
    assert requests.get(run["docs"], timeout=10).ok
    assert run["api_key"] in up.output.read_text()


def test_alarm_reaches_the_provider_and_comes_back(up: Up) -> None:
    """With the ready key, and nothing else to set up."""
    up.alarm("up-1")
    _until(lambda: up.is_told("up-1", "requested"))
    assert up.request("GET", "/readyz").json()["failure"] is None


def test_worker_is_started_again_when_it_is_killed(up: Up) -> None:
    """And the run file names the new one, while alarms go on."""
    before = up.run["pids"]["worker_dispatch_1"]
    os.kill(before, signal.SIGKILL)
    _until(lambda: up.run["pids"].get("worker_dispatch_1", before) != before)
    up.alarm("up-2")
    _until(lambda: up.is_told("up-2", "requested"))


def test_flower_shows_the_lanes_to_who_knows_the_password(up: Up) -> None:
    """401 without it; with it, each worker and its queue."""
    flower = up.run["flower"]
    own = (flower["user"], flower["password"])
    assert requests.get(flower["url"], timeout=10).status_code == 401
    assert requests.get(flower["url"], auth=(flower["user"], "guess"), timeout=10).status_code == 401
    assert requests.get(flower["url"], auth=own, timeout=10).status_code == 200

    def seen() -> dict[str, set[str]]:
        workers = requests.get(f"{flower['url']}/api/workers?refresh=1", auth=own, timeout=30).json()
        return {
            name.partition("@")[0]: {queue["name"] for queue in told.get("active_queues") or []}
            for name, told in workers.items()
        }

    _until(lambda: set(seen()) >= WORKERS)
    assert seen()["outgoing"] == {"outgoing"}


@pytest.mark.parametrize(
    "path", ["/api/worker/shutdown/intake@x", "/api/task/async-apply/intake.drain", "/api/task/revoke/abc"]
)
def test_flower_changes_nothing(up: Up, path: str) -> None:
    """Read-only, also for who knows the password."""
    flower = up.run["flower"]
    own = (flower["user"], flower["password"])
    assert requests.post(f"{flower['url']}{path}", auth=own, timeout=10).status_code == 403


def test_second_up_is_refused_on_the_same_folder(up: Up) -> None:
    """And leaves the first one alone."""
    second = Up(up.folder)
    assert second.process.wait(PATIENCE_S) == 1
    assert "already runs" in up.output.read_text()
    assert up.request("GET", "/healthz").ok


def test_env_prints_what_other_commands_need(up: Up) -> None:
    """For `eval`, and with the mark of the children left out."""
    command = [sys.executable, "-c", "from deploy.cli import main; main()", "env", "--data", str(up.folder)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"export TOCSIN_DATABASE_URL", "export TOCSIN_REDIS_URL", "export TOCSIN_ENCRYPTION_KEYS"} <= names
    assert f"export {MARK}" not in names


def test_up_goes_on_after_a_kill_and_leaves_nothing_after_a_stop(up: Up) -> None:
    """`kill -9`: its processes end with it. A second start: the same data, a new key. SIGTERM: all gone, exit 0."""
    incident_id = up.alarm("up-3")
    before = up.run
    servers = [psutil.Process(before["pids"][name]) for name in ("postgres", "redis")]
    up.end(signal.SIGKILL)
    _until(lambda: not up.children())

    again = Up(up.folder)
    again.await_ready()
    assert not any(server.is_running() and server.status() != psutil.STATUS_ZOMBIE for server in servers)
    assert again.run["web"] == before["web"]
    assert again.run["api_key"] != before["api_key"]
    assert again.request("GET", f"/v1/incidents/{incident_id}").json()["incident_ref"] == "up-3"
    headers = {"Authorization": f"Bearer {before['api_key']}"}
    assert requests.get(f"{before['web']}/v1/incidents", headers=headers, timeout=10).status_code == 401
    pids = list(again.run["pids"].values())

    assert again.end(signal.SIGTERM) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert again.children() == []
    assert not (up.folder / "run.json").exists()


def _is_on(process: psutil.Process, folder: Path) -> bool:
    try:
        mine = process.environ().get(MARK) == str(folder)
        return bool(mine and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
