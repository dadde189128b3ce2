"""A portfolio of sites as CSV: read by the names of its columns, each bad row named by line and column, and written."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from shared.domain.alarm import Address, Coordinates, Site

# A cell that a spreadsheet would take for a formula (OWASP, "CSV Injection").
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_DELIMITERS = (",", ";", "\t")
_NAMES: dict[str, tuple[str, ...]] = {
    "site_ref": ("site_ref", "reference", "externalReferenceId"),
    "name": ("name", "site_name", "locationDescription"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lng", "lon"),
    "line1": ("line1", "address", "street", "formattedAddress"),
    "line2": ("line2",),
    "city": ("city", "town"),
    "state": ("state", "province"),
    "zip": ("zip", "postcode", "postal_code"),
    "country": ("country",),
    "account_number": ("account_number",),
    "gate_instructions": ("gate_instructions",),
    "notes": ("notes", "locationAdditionalInformation"),
}
_REQUIRED = ("site_ref", "name", "latitude", "longitude")
_LIMITS = dict.fromkeys(_NAMES, 200) | {"gate_instructions": 2_000, "notes": 2_000}
COLUMNS = tuple(_NAMES)
# What no portfolio has: beyond it a file is one that should fill our memory.
_MOST_ROWS = 1_000_000
_MOST_ROW_CHARS = 65_536


@dataclass(frozen=True)
class Fault:
    """What is wrong, without the value: `line` counts from 1 as an editor does, `column` is a name, "" for the row."""

    line: int
    column: str
    what: str


@dataclass(frozen=True)
class Entry:
    """One row: a site, or the reasons why it is none."""

    line: int
    site: Site | None = field(repr=False)
    faults: tuple[Fault, ...] = ()


class NoPortfolio(Exception):
    """The file as a whole cannot be read; `fault` says where and why."""

    def __init__(self, fault: Fault) -> None:
        """Keep the fault."""
        super().__init__(fault.what)
        self.fault = fault


def read(content: bytes, delimiter: str | None = None) -> Iterator[Entry]:
    """Each row after the header, in order; blank lines are skipped. Raises NoPortfolio, also in the middle.

    UTF-8 with or without a byte order mark; the delimiter is found in the header unless it is given; a quoted cell may
    hold line breaks. A reference that stood in the file before is a fault.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NoPortfolio(Fault(line, "", "is not UTF-8")) from None
    if "\x00" in text:
        raise NoPortfolio(Fault(text.count("\n", 0, text.index("\x00")) + 1, "", "contains a NUL character"))
    delimiter = delimiter or _delimiter(text)
    rows = _rows(text, delimiter)
    first = next(rows, None)
    if first is None:
        raise NoPortfolio(Fault(1, "", "is empty"))
    columns = _columns(first[1])
    seen: dict[str, int] = {}
    for count, (line, cells) in enumerate(rows, 1):
        if count > _MOST_ROWS:
            raise NoPortfolio(Fault(line, "", f"is the row after {_MOST_ROWS:,}, which a file may have"))
        entry = _entry(line, cells, columns, decimal_comma=delimiter == ";")
        if entry.site is not None:
            before = seen.setdefault(entry.site.reference, line)
            if before != line:
                fault = Fault(line, "site_ref", f"stands in line {before} already")
                entry = Entry(line, None, (fault,))
        yield entry


def _delimiter(text: str) -> str:
    header = text.lstrip().partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line in which each begins. Raises NoPortfolio for a quote without an end and for endless rows."""
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.row = reader.line_num + 1
        lines.left = _MOST_ROW_CHARS
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise NoPortfolio(Fault(line, "", "is not CSV: a quote is misplaced or does not end")) from None
        if any(cell.strip() for cell in cells):
            yield line, cells


class _Lines:
    """The lines of a text, for a parser that takes several for a row when a quote is open; a row may take so much."""

    def __init__(self, text: str) -> None:
        """`row` is the line in which the present row begins, `left` how many characters it may still have."""
        self._lines = io.StringIO(text, newline="")
        self.row = 1
        self.left = _MOST_ROW_CHARS

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.left -= len(line)
            if self.left < 0:
                raise NoPortfolio(Fault(self.row, "", f"begins a row longer than {_MOST_ROW_CHARS:,} characters"))
            yield line


def _columns(header: list[str]) -> list[str | None]:
    """For each place the name of what stands there; None for what is not ours."""
    known = {_plain(alias): name for name, aliases in _NAMES.items() for alias in aliases}
    columns = [known.get(_plain(cell)) for cell in header]
    for name in _REQUIRED:
        if name not in columns:
            raise NoPortfolio(Fault(1, name, "is not among the columns"))
    for found in columns:
        if found is not None and columns.count(found) > 1:
            raise NoPortfolio(Fault(1, found, "stands twice among the columns"))
    return columns


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _entry(line: int, cells: list[str], columns: list[str | None], *, decimal_comma: bool) -> Entry:
    if len(cells) != len(columns):
        return Entry(line, None, (Fault(line, "", f"has {len(cells)} cells instead of {len(columns)}"),))
    given = {name: unguarded(cell.strip()) for name, cell in zip(columns, cells, strict=True) if name is not None}
    faults = [Fault(line, name, what) for name, what in _faults(given)]
    lat, lng = (_degrees(given[name], decimal_comma) for name in ("latitude", "longitude"))
    for name, value, most in (("latitude", lat, 90), ("longitude", lng, 180)):
        if value is None or abs(value) > most:
            faults.append(Fault(line, name, f"is not a number of degrees up to {most}"))
    if faults or lat is None or lng is None:
        return Entry(line, None, tuple(faults))
    parts = {name: given.get(name, "") for name in ("line1", "line2", "city", "state", "zip", "country")}
    site = Site(
        reference=given["site_ref"],
        name=given["name"],
        address=Address(**parts) if any(parts.values()) else None,
        coordinates=Coordinates(lat, lng),
        account_number=given.get("account_number", ""),
        notes=given.get("notes", ""),
        gate_instructions=given.get("gate_instructions", ""),
    )
    return Entry(line, site)


def _faults(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in ("site_ref", "name"):
        if not given[name]:
            yield name, "is empty"
    for name, value in given.items():
        if len(value) > _LIMITS[name]:
            yield name, f"is longer than {_LIMITS[name]} characters"
        if name not in ("notes", "gate_instructions") and not value.isprintable():
            yield name, "contains a control character"


def _degrees(text: str, decimal_comma: bool) -> float | None:
    """A decimal number; "" and words are none. With `;` between the cells a comma may stand for the point."""
    if decimal_comma:
        text = text.replace(",", ".")
    if not re.fullmatch(r"[+-]?\d{1,3}(\.\d{1,20})?", text, re.ASCII):
        return None
    return float(text)


def write(sites: Iterable[Site]) -> Iterator[str]:
    """The lines of a file that `read` takes, for spreadsheets: no cell of text reads as a formula."""
    yield _line(COLUMNS)
    for site in sites:
        a, point = site.address, site.coordinates
        texts = (site.reference, site.name)
        place = ("", "") if point is None else (f"{point.lat:.7f}", f"{point.lng:.7f}")
        address = ("",) * 6 if a is None else (a.line1, a.line2, a.city, a.state, a.zip, a.country)
        rest = (*address, site.account_number, site.gate_instructions, site.notes)
        yield _line([*map(guarded, texts), *place, *map(guarded, rest)])


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def guarded(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would run."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    return text[1:] if _GUARDED.match(text) else text


def shrinks(before: int, after: int, share: float) -> bool:
    """True when so many rows fewer than before look like a file that was cut."""
    return before > 0 and (before - after) / before > share


def fall(before: int, after: int, share: float) -> str:
    """What is said of a file that shrinks."""
    return f"{after} rows after {before}: that is a fall of more than {share:.0%}, as of a file that was cut"
