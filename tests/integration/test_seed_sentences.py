"""Sentences of the providers' two documents that no other test speaks of, and the table that lists them all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import Embedded
from tests.town import Town, open_town

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(?:([\w/]+\.py)::)?(test_\w+)`")


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """A town."""
    with open_town(embedded) as opened:
        yield opened


def rows() -> list[list[str]]:
    """The cells of the table "The seeds, sentence by sentence"."""
    text = (ROOT / "docs" / "providers.md").read_text()
    section = text.partition("## The seeds, sentence by sentence")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_every_row_names_what_does_it_and_what_shows_it() -> None:
    """No cell is empty; a capability that is not there says "not yet" in place of its test."""
    found = rows()
    assert {row[0] for row in found} == {"AURA", "Noonlight"}
    for row in found:
        assert len(row) == 5, row
        assert all(row), row
        assert NAMED.search(row[3]) or row[3] == "not yet", row


def test_every_test_that_the_table_names_exists() -> None:
    """In the file that it names."""
    there = {
        (path.relative_to(ROOT / "tests").as_posix(), name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    names = {name for _, name in there}
    for row in rows():
        for file, name in NAMED.findall(row[3]):
            assert (file, name) in there if file else name in names, (file, name)


def test_each_call_to_the_answering_point_is_an_entry_when_there_are_many(town: Town) -> None:
    """ "This event can happen multiple times": each one is told, and the badge stays."""
    incident = town.alarm(ref="many-calls")
    town.until(lambda: town.status(incident) == "requested")
    (alarm,) = town.alarms()
    for _ in range(3):
        town.noonlight("_step", id=alarm["id"], event="alarm.psap_contacted")
    town.until(lambda: town.events(incident).count("authorities_contacted") == 3)
    town.until(lambda: [body["event"] for body in town.writebacks("many-calls")].count("authorities_contacted") == 3)
    assert town.status(incident) == "authorities_contacted"


@pytest.mark.parametrize(("kind", "service"), [("burglary", "police"), ("fire", "fire"), ("medical", "medical")])
def test_services_are_those_of_the_kind_when_nobody_names_any(town: Town, kind: str, service: str) -> None:
    """The provider's default is police, also for a fire; so it is never left to its default."""
    town.noonlight("_reset")
    incident = town.alarm(kind)
    town.until(lambda: town.status(incident) == "requested")
    (alarm,) = town.alarms()
    assert alarm["request"]["services"][service] is True
