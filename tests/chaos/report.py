"""The table of a run, and the whole story of each incident that broke a promise, for a person and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.chaos.history import History
from tests.chaos.ledger import Spell
from tests.chaos.promises.alarms import DOUBLED, LOST, WAITING
from tests.chaos.promises.all import PROMISES
from tests.chaos.promises.promise import Violation

COLUMNS = ("fault", "times", "alarms in flight", "lost", "doubled", "longest recovery, s")
STORIES = 25
OUTBOX = ("id", "kind", "state", "seq", "attempts", "done_at", "last_error")


@dataclass(frozen=True)
class Span:
    """From the moment at which an alarm was first sent to the moment at which it came to rest."""

    incident_id: str
    began_at: float
    ended_at: float


def table(history: History, violations: Sequence[Violation]) -> list[tuple[str, ...]]:
    """One row for each fault, and their sum."""
    spans = _spans(history)
    lost = {one.incident_id for one in violations if one.promise == LOST}
    doubled = {one.incident_id for one in violations if one.promise == DOUBLED}
    rows: list[tuple[str, ...]] = []
    for name in sorted({spell.name for spell in history.spells}):
        spells = [spell for spell in history.spells if spell.name == name]
        rows.append(_row(name, spells, spans, lost, doubled))
    together = _row("all", history.spells, spans, lost, doubled)
    return [*rows, together]


def _row(
    name: str, spells: Sequence[Spell], spans: Sequence[Span], lost: set[str | None], doubled: set[str | None]
) -> tuple[str, ...]:
    flying = {
        span.incident_id
        for span in spans
        for spell in spells
        if span.began_at <= (spell.healed_at or spell.began_at) and span.ended_at >= spell.began_at
    }
    took = [spell.recovery_s() for spell in spells]
    never = any(one is None for one in took)
    longest = "never" if never else f"{max((one for one in took if one is not None), default=0.0):.1f}"
    counts = (len(spells), len(flying), len(flying & lost), len(flying & doubled))
    return (name, *map(str, counts), longest)


def _spans(history: History) -> list[Span]:
    began: dict[str, float] = {}
    for operation in history.operations:
        if operation.kind == "alarm" and operation.incident_id is not None:
            began.setdefault(operation.incident_id, operation.invoked_at)
    found = []
    for incident_id, at in began.items():
        steps = history.steps.get(incident_id, [])
        rest = next((step for step in steps if step["status"] not in WAITING), None)
        found.append(Span(incident_id, at, history.now if rest is None else rest["recorded_at"].timestamp()))
    return found


def markdown(history: History, violations: Sequence[Violation], notes: Iterable[str]) -> str:
    """The whole report."""
    rows = table(history, violations)
    lines = [*notes, "", f"| {' | '.join(COLUMNS)} |", f"|{'|'.join([' --- ', *(' ---: ' for _ in COLUMNS[1:])])}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "| promise | violations |", "| --- | ---: |"]
    broken = Counter(one.promise for one in violations)
    lines += [f"| {name} | {broken[name]} |" for name in PROMISES]
    told: set[str | None] = set()
    for number, violation in enumerate(violations, 1):
        lines += ["", f"### {number}. {violation.promise}", "", f"{violation.ref or ''} {violation.words}".strip()]
        if violation.incident_id is not None and violation.incident_id not in told and len(told) < STORIES:
            told.add(violation.incident_id)
            lines += ["", "```", *story(history, violation.incident_id), "```"]
    return "\n".join(lines) + "\n"


def plain(rows: Sequence[tuple[str, ...]]) -> str:
    """A table for a terminal."""
    widths = [max(len(row[column]) for row in (COLUMNS, *rows)) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in (COLUMNS, *rows))
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def story(history: History, incident_id: str) -> list[str]:
    """All that is known of one incident, in the order in which it happened."""
    incident = history.incident_by_id.get(incident_id)
    moments = [*_asked(history, incident_id), *_done(history, incident_id), *_said(history, incident_id)]
    began = min((at for at, _ in moments), default=0.0)
    ended = max((at for at, _ in moments), default=0.0)
    moments += _faults(history, began, ended)
    legs = sorted(leg["id"] for leg in history.legs_of(incident_id))
    lines = [str(dict(incident)) if incident is not None else f"{incident_id}: no such incident"]
    lines += [f"leg {dict(history.leg_by_id[leg])}" for leg in legs]
    lines += [f"{_clock(at)}  {words}" for at, words in sorted(moments)]
    return lines + _logged(history, incident_id)


Moments = Iterator[tuple[float, str]]


def _asked(history: History, incident_id: str) -> Moments:
    for one in history.operations:
        if one.incident_id == incident_id:
            answer = f"{one.outcome} {one.status} after {one.tries} tries"
            yield one.invoked_at, f"client    {one.kind} {one.facts}: {answer}"
    for row in history.inbox:
        if row["incident_id"] == incident_id:
            yield _at(row["received_at"]), f"inbox     {row['source']} {row['state']} {row['last_error']}"


def _done(history: History, incident_id: str) -> Moments:
    for step in history.steps.get(incident_id, []):
        leg = f" leg {step['leg_id']}" if step["leg_id"] else ""
        yield _at(step["recorded_at"]), f"timeline  {step['event']} [{step['status']}]{leg}: {step['entry']}"
    for row in history.attempts:
        if row["incident_id"] == incident_id:
            ended = f"{row['outcome']} {row['reason']} at {_clock(_at(row['ended_at']))}" if row["ended_at"] else "lost"
            yield _at(row["started_at"]), f"attempt   {row['kind']} leg {row['leg_id']}: {ended}"
    for row in history.outbox:
        if row["incident_id"] == incident_id and (row["state"] != "done" or row["kind"] != "writeback"):
            facts = [f"{name} {row[name]}" for name in OUTBOX if row[name] not in (None, "")]
            yield _at(row["created_at"]), f"outbox    {', '.join(facts)}"


def _said(history: History, incident_id: str) -> Moments:
    for heard in history.heard_of.get(incident_id, []):
        yield heard.at, f"platform  heard {heard.body['seq']} {heard.body['event']}"
    for told in history.told_of.get(incident_id, []):
        yield told.at, f"{told.way:9} told {told.kind}"


def _faults(history: History, began: float, ended: float) -> Moments:
    for spell in history.spells:
        if spell.began_at <= ended and (spell.recovered_at or history.now) >= began:
            yield spell.began_at, f"FAULT     {spell.name}"
            yield spell.healed_at or history.now, f"HEALED    {spell.name}"


def _logged(history: History, incident_id: str) -> list[str]:
    logs = {name: text for name, text in history.texts.items() if name.endswith(".log")}
    return [f"{name}: {line}" for name, text in logs.items() for line in text.splitlines() if incident_id in line]


def _at(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
