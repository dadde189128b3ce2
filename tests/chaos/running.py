"""`make chaos`: a seeded run of some minutes or hours, its audit, its table, and what broke."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos import report
from tests.chaos.conducting import Run
from tests.chaos.faults.all import FAULTS
from tests.chaos.gathering import gather
from tests.chaos.history import History, settled
from tests.chaos.ledger import Ledger
from tests.chaos.promises.all import audit
from tests.chaos.promises.promise import Violation
from tests.chaos.rig import Rig, open_rig
from tests.chaos.schedule import Episode, episodes

LOOK_EVERY_S = 240.0
# By then an alarm has been through all that its dispatcher does, and through what a fault did to it.
SETTLED_AFTER = timedelta(seconds=120)


@dataclass(frozen=True)
class Verdict:
    """What came of a run; `text` is the report as Markdown."""

    history: History = field(repr=False)
    violations: list[Violation]
    text: str = field(repr=False)


@dataclass
class Looking:
    """While it goes on: every few minutes what has settled is judged, so that nobody waits an hour for bad news."""

    rig: Rig
    ledger: Ledger
    file: Path
    tell: Callable[[str], None]
    looked_at: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Between two episodes, when it is time."""
        if time.monotonic() - self.looked_at < LOOK_EVERY_S:
            return
        self.looked_at = time.monotonic()
        history = settled(gather(self.rig, self.ledger, whole=False), datetime.now(UTC) - SETTLED_AFTER)
        found = audit(history)
        notes = [f"- {len(history.incidents)} incidents have settled"]
        self.file.write_text(report.markdown(history, found, notes))
        self.tell(f"{time.strftime('%H:%M:%S')}  {len(history.incidents)} settled, {len(found)} violations so far")


def families(names: Sequence[str] | None = None) -> dict[str, str]:
    """The faults of a run (all of them by default), with the family of each."""
    return {name: FAULTS[name].family for name in names or FAULTS}


def run(
    seed: int,
    seconds: float,
    keep: Path,
    tell: Callable[[str], None],
    *,
    plan: Sequence[Episode] | None = None,
    brief: bool = False,
    pause_s: float = 2.0,
    settle_s: float = 180.0,
) -> Verdict:
    """Run for so long (or through `plan`), settle, audit. The ledger, and of a broken run the logs, stay in `keep`."""
    keep.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(keep / "ledger.jsonl")
    with open_rig() as rig:
        played = Run(rig, ledger, seed, brief=brief, pause_s=pause_s, tell=tell)
        began = time.monotonic()
        looking = Looking(rig, ledger, keep / "interim.md", tell)
        played.play(plan if plan is not None else episodes(seed, families()), seconds, looking.look)
        took = time.monotonic() - began
        tell("all is healed; waiting for quiet")
        quiet = played.settle(settle_s)
        history = gather(rig, ledger, played.vitals.samples)
        violations = [*audit(history), *_not_recovered(history)]
        text = report.markdown(history, violations, _notes(rig, history, seed, took, quiet))
        (keep / "report.md").write_text(text)
        if violations:
            for log in rig.folder.glob("*.log"):
                shutil.copy(log, keep / log.name)
    return Verdict(history, violations, text)


def _not_recovered(history: History) -> list[Violation]:
    return [
        Violation(f"no fresh alarm came through after: {spell.name}", promise="the system recovers")
        for spell in history.spells
        if spell.healed_at is not None and spell.recovered_at is None
    ]


def _notes(rig: Rig, history: History, seed: int, took: float, quiet: float) -> list[str]:
    alarms = [one for one in history.operations if one.kind == "alarm"]
    outcomes = {word: sum(one.outcome == word for one in alarms) for word in ("ok", "refused", "unknown")}
    asked = sum(one.kind != "alarm" for one in history.operations)
    ends: dict[str, int] = {}
    for end in rig.ends():
        ends[end.name] = ends.get(end.name, 0) + 1
    described: dict[str, Any] = {
        "seed": seed,
        "minutes": f"{took / 60:.1f}, then quiet after {quiet:.0f} s",
        "alarms sent": f"{len(alarms)}: {outcomes['ok']} accepted, {outcomes['refused']} refused,"
        f" {outcomes['unknown']} unanswered",
        "other wishes": asked,
        "incidents": len(history.incidents),
        "alarms at the providers": len(history.alarms),
        "webhooks": len(history.emitted),
        "write-backs": len(history.heard),
        "processes that ended unasked": ends or "none",
        "rows that the watchman worked": rig.acted(),
    }
    if rig.left_out:
        described["not tried"] = "; ".join(sorted(rig.left_out))
    return [f"- {name}: {value}" for name, value in described.items()]
