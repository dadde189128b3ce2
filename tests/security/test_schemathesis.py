"""Schemathesis against the running door: every operation of /openapi.json, every check, every phase."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.door_stage import Stage, close_stage, granian, open_stage
from webhooks_app.routes import ROUTES

HERE = Path(__file__).parent
PHASES = "examples,coverage,fuzzing,stateful"
UNLIMITED = {
    "TOCSIN_KEY_READS_PER_MINUTE": "0",
    "TOCSIN_ADDRESS_READS_PER_MINUTE": "0",
    "TOCSIN_ADDRESS_FAILURES_PER_MINUTE": "0",
}


@pytest.fixture
def stage(database: str, redis_url: str) -> Iterator[Stage]:
    """A door whose platform has an account at each provider."""
    made = open_stage(database, redis_url)
    made.account("noonlight", id="noonlight", is_default=True)
    made.account("aura", id="aura", is_default=True, site_mode="csv")
    yield made
    close_stage(made)


@pytest.mark.timeout(900)
def test_document_is_true_of_the_running_door(stage: Stage, tmp_path: Path) -> None:
    """Valid, invalid, unauthenticated and linked requests: each answer is one that the document promises.

    A fixed seed, so that it finds today what it found yesterday; `st run` with another one looks further.
    """
    with granian(stage, **UNLIMITED) as address:
        command = [str(Path(sys.executable).parent / "st"), "--config-file", str(HERE / "schemathesis.toml")]
        command += ["run", f"{address}/openapi.json", "--header", f"Authorization: Bearer {stage.key}"]
        command += ["--checks", "all", "--phases", PHASES, "--max-examples", "5", "--seed", "1", "--no-color"]
        command += ["--continue-on-failure", "--generation-database", "none", "--warnings", "off"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    # All of them; it leaves out the document's own.
    assert f"Tested: {len(ROUTES) - 1}" in done.stdout, done.stdout[-3_000:]
