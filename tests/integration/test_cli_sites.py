"""`tocsin sites`: what it prints, and what it leaves behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from deploy.embedded import Embedded
from tests.town import QUICK, Town, open_town
from workers.services import importing, reconciling

HEAD = "site_ref,name,latitude,longitude,notes\n"


@pytest.fixture(scope="module")
def shared_town(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **QUICK) as town:
        town.change("UPDATE provider_account SET site_mode = 'csv' WHERE provider = 'aura'")
        yield town


@pytest.fixture
def town(shared_town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """The town as the environment of a command names it, with a worker beside it."""
    settings = shared_town.settings
    monkeypatch.setenv("TOCSIN_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("TOCSIN_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("TOCSIN_ENCRYPTION_KEYS", shared_town.encryption_key)
    halt = threading.Event()
    deps = shared_town.new_deps(public_url=shared_town.url)

    def work() -> None:
        while not halt.wait(0.05):
            while importing.work_due(deps) or reconciling.work_wanted(deps):
                pass

    worker = threading.Thread(target=work)
    worker.start()
    yield shared_town
    halt.set()
    worker.join()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Exit code and JSON of a command."""
    code = main(["sites", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_portfolio_goes_in_and_comes_out(town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Formulas guarded in the export; compared without a difference; a change at the provider is drift."""
    file, back = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_text(HEAD + "a,Depot,1.5,2,=1+1\nb,Mill,-3.5,4,\n")
    code, shown = run(capsys, "import", str(file))
    assert (code, shown["state"], shown["uploaded"]) == (0, "done", 2)

    code, shown = run(capsys, "export", "--account", "aura", "--to", str(back))
    assert (code, shown["sites"]) == (0, 2)
    assert "'=1+1" in back.read_text()
    assert run(capsys, "import", str(back), "--dry-run")[1] == {"good": 2, "bad": 0, "faults": [], "reason": ""}

    code, runs = run(capsys, "reconcile")
    assert (code, runs[0]["state"], runs[0]["drift"]) == (0, "done", {})
    town.aura("_control", portal=[{"reference": "a", "set": {"locationDescription": "Elsewhere"}}])
    code, runs = run(capsys, "reconcile")
    assert (code, runs[0]["drift"]) == (1, {"renamed": 1})
    code, drift = run(capsys, "drift")
    assert [(row["site"], row["kind"]) for row in drift] == [("a", "renamed")]


def test_dry_run_says_that_a_small_file_would_be_refused(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the guard that the upload has, unless the fall is meant."""
    file, short = tmp_path / "in.csv", tmp_path / "short.csv"
    file.write_text(HEAD + "a,Depot,1.5,2,\nb,Mill,-3.5,4,\n")
    assert run(capsys, "import", str(file), "--allow-fall")[1]["state"] == "done"
    short.write_text(HEAD + "a,Depot,1.5,2,\n")
    code, shown = run(capsys, "import", str(short), "--dry-run")
    assert (code, shown["good"], shown["bad"]) == (1, 1, 0)
    assert "1 rows after 2" in shown["reason"]
    assert run(capsys, "import", str(short), "--dry-run", "--allow-fall")[0] == 0


def test_dry_run_names_each_bad_row(town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By line and column; good ones are counted; the exit code says it."""
    file = tmp_path / "in.csv"
    file.write_text(HEAD + "a,Depot,1.5,2,\nb,,1,2,\nc,Null,0,0,\n")
    code, shown = run(capsys, "import", str(file), "--dry-run")

    assert (code, shown["good"], shown["bad"]) == (1, 1, 2)
    assert [(fault["line"], fault["column"]) for fault in shown["faults"]] == [(3, "name"), (4, "")]
