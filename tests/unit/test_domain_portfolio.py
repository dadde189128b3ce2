"""CSV portfolios: what people's spreadsheets make of them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.alarm import Address, Coordinates, Site
from shared.domain.portfolio import Fault, NoPortfolio, guarded, read, shrinks, unguarded, write

HEAD = "site_ref,name,latitude,longitude\n"
printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn", "Co", "Cf", "Zs"]), max_size=20)
words = printable.filter(lambda text: text != "")
addresses = st.none() | st.builds(Address, words, printable, printable, printable, printable, printable)
sites = st.builds(
    Site,
    reference=words,
    name=words,
    address=addresses,
    coordinates=st.builds(Coordinates, st.integers(-90, 90).map(float), st.integers(-180, 180).map(float)),
    notes=printable,
    gate_instructions=st.sampled_from(["", "=1+1", "two\nlines", '"quoted", and comma']),
)


def only(text: str) -> tuple[Site | None, tuple[Fault, ...]]:
    """The one row of a file."""
    (entry,) = read(text.encode())
    return entry.site, entry.faults


@given(st.lists(sites, max_size=5, unique_by=lambda site: site.reference))
def test_what_was_written_is_read_again(portfolio: list[Site]) -> None:
    """Formulas, quotes, line breaks and all."""
    entries = list(read("".join(write(portfolio)).encode()))
    assert [entry.faults for entry in entries] == [()] * len(portfolio)
    assert [entry.site for entry in entries] == portfolio


@given(st.binary(max_size=200))
def test_junk_is_a_fault_and_never_an_accident(content: bytes) -> None:
    """Whatever was uploaded."""
    for text in (content, HEAD.encode() + content):
        with suppress(NoPortfolio):
            assert all(entry.site is not None or entry.faults for entry in read(text))


@given(st.text(max_size=10))
def test_guard_is_undone_and_leaves_no_formula(text: str) -> None:
    """A spreadsheet shows it and runs nothing."""
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEAD + "a,Depot,1.5,2\n",
        "site_ref;name;latitude;longitude\r\na;Depot;1,5;2\r\n",
        "Longitude\tLATITUDE\tName\tExternal Reference ID\n2\t1.5\tDepot\ta\n",
        "extra,site_ref,name,lat,lng\nx,a,Depot,1.5,2\n\n",
    ],
)
def test_columns_are_found_by_name(text: str) -> None:
    """In any order, with any usual delimiter, beside others."""
    site, faults = only(text)
    assert faults == ()
    assert site is not None
    assert (site.reference, site.name, site.coordinates) == ("a", "Depot", Coordinates(1.5, 2.0))


def test_line_is_the_one_in_the_editor_when_cells_hold_line_breaks() -> None:
    """The second row begins in line 4."""
    text = HEAD.strip() + ',notes\na,Depot,1,2,"one\ntwo"\nb,,91,x,\n'
    good, bad = read(text.encode())
    assert good.site is not None
    assert good.site.notes == "one\ntwo"
    assert [(fault.line, fault.column) for fault in bad.faults] == [(4, "name"), (4, "latitude"), (4, "longitude")]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("a,Depot,1", ""),
        (",Depot,1,2", "site_ref"),
        ("a,Depot,nan,2", "latitude"),
        ("a,Depot,1,181", "longitude"),
        ("a,De\x07pot,1,2", "name"),
        (f"{'a' * 201},Depot,1,2", "site_ref"),
    ],
)
def test_row_is_refused_with_its_column(row: str, column: str) -> None:
    """Without the value."""
    site, faults = only(HEAD + row + "\n")
    assert site is None
    assert faults[0].column == column
    assert faults[0].line == 2


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"", 1, ""),
        (b"name,latitude,longitude\n", 1, "site_ref"),
        (b"site_ref,reference,name,latitude,longitude\n", 1, "site_ref"),
        (HEAD.encode() + b'a,Depot,1,2\nb,"Depot,1,2\n', 3, ""),
        (HEAD.encode() + b"a,\xff,1,2\n", 2, ""),
    ],
)
def test_file_is_refused_when_it_is_no_portfolio(content: bytes, line: int, column: str) -> None:
    """By line and column."""
    with pytest.raises(NoPortfolio) as caught:
        list(read(content))
    assert (caught.value.fault.line, caught.value.fault.column) == (line, column)


def test_reference_is_taken_once() -> None:
    """The second row names the first."""
    first, second = read((HEAD + "a,One,1,2\na,Two,1,2\n").encode())
    assert first.site is not None
    assert second.faults == (Fault(3, "site_ref", "stands in line 2 already"),)


@pytest.mark.parametrize(
    ("before", "after", "guarded_"), [(100, 90, False), (100, 89, True), (0, 0, False), (100, 0, True), (10, 20, False)]
)
def test_fall_is_suspect_from_its_share_on(before: int, after: int, guarded_: bool) -> None:
    """More than a tenth."""
    assert shrinks(before, after, 0.1) is guarded_
