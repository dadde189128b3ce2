"""What is installed is what was locked, by version and hash, and nothing below a version that mended a known hole."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock", "requirements-audit.lock")
PINNED = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+")
# The first version without the fault, and the advisory. Newer ones are for `make audit` to know.
FLOORS = {
    "celery": ("5.2.2", "CVE-2021-23727: a command through the result backend"),
    "flower": ("1.2.0", "CVE-2022-30034, GHSA-q4qm-xhf9-4p8f: OAuth bypass and missing CSRF protection"),
}


def locked(name: str) -> dict[str, str]:
    """Version by package."""
    found: dict[str, str] = {}
    for line in re.sub(r" \\\n\s*", " ", (ROOT / name).read_text()).splitlines():
        if line and not line.startswith("#"):
            pinned = PINNED.fullmatch(line)
            assert pinned, f"{name}: not pinned by version and hash: {line[:60]}"
            found[canonicalize_name(pinned[1])] = pinned[2]
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_by_version_and_hash(name: str) -> None:
    """No range, no address, no other index: what an index serves tomorrow under the same name is not installed."""
    assert locked(name)


def test_lock_holds_what_the_project_asks_for() -> None:
    """Each dependency, in a version that fits; and what runs is what is tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    running, testing = locked("requirements.lock"), locked("requirements-dev.lock")
    for text in [*project["dependencies"], *extras["embedded"], *extras["dev"]]:
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        assert wanted.specifier.contains(testing[name], prereleases=True), text
        if text not in extras["dev"]:
            assert name in running, text
    assert running.items() <= testing.items()


def test_environment_is_the_locked_one() -> None:
    """The tests speak of these versions."""
    differing = {}
    for name, wanted in locked("requirements-dev.lock").items():
        if name != "async-timeout" and (found := version(name)) != wanted:
            differing[name] = (wanted, found)
    assert not differing


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_has_a_known_hole(name: str) -> None:
    """Of those that are known here; `make audit` asks who knows them all."""
    floor, advisory = FLOORS[name]
    assert Version(locked("requirements.lock")[name]) >= Version(floor), advisory
