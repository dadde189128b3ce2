"""The short form of `make chaos`: one fault or more of each family, two minutes, the same schedule every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults.all import FAULTS
from tests.chaos.running import run
from tests.chaos.schedule import Episode

SEED = 20261122
PLAN = (
    ("kill -9: worker_intake_1", "webhooks: duplicated"),
    ("Redis: full",),
    ("SIGTERM: web",),
    ("provider: lost answers",),
    ("Postgres: immediate restart", "webhooks: reordered"),
    ("Redis: cut off, connections reset",),
    ("webhooks: forged", "rows: poison in the inbox"),
    ("platform: endpoint down for long", "kill -9: watchman"),
    ("Redis: FLUSHALL again and again", "two beats"),
    ("Postgres: cut off, packets vanish",),
    ("clock: jumps in workers and a watchman",),
    ("workers of the previous release beside the new",),
    ("kill -9: every process",),
)


def test_short_plan_touches_every_family() -> None:
    """The long form alone has the others."""
    assert {FAULTS[name].family for names in PLAN for name in names} == {fault.family for fault in FAULTS.values()}


@pytest.mark.timeout(600)
def test_promises_hold_when_everything_breaks_in_turn(tmp_path: Path) -> None:
    """No alarm is lost, doubled unseen, or silent; the report says what it found otherwise."""
    plan = [Episode(number, names, (SEED,) * len(names), 0.5, 0.5) for number, names in enumerate(PLAN)]
    verdict = run(SEED, 600, tmp_path, print, plan=plan, brief=True, pause_s=1.5, settle_s=90)
    assert len(verdict.history.incidents) > 30
    assert verdict.violations == [], verdict.text
