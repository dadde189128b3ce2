"""A worker whose own clock is off by an hour is believed all the same: what leaves is signed by the database's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import lone_worker
from tests.shifted_clock import shifted_clock
from tests.town import Town, open_town

OFF_S = 3_600


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """A person is told of what is not sent within two seconds."""
    with open_town(embedded, told_after_s=2.0) as town:
        yield town


def test_write_backs_and_notices_are_taken_when_the_workers_clock_is_off(town: Town, tmp_path: Path) -> None:
    """The receiver refuses what was signed five minutes ago, as Standard Webhooks has it."""
    off = shifted_clock(tmp_path, OFF_S)
    if off is None:
        pytest.skip("there is no C compiler here")
    town.alarm("burglary", ref="off")
    with lone_worker(town, lane=Lane.OUTGOING, **off) as worker:
        assert float(worker.order("clock").answer()) - time.time() > OFF_S / 2
        worker.order("serve")
        lanes = (Lane.INTAKE, Lane.PERIODIC)  # nobody sends it, so a person has to be told
        town.until(lambda: town.writebacks("off") and town.escalations(), lanes=lanes)
    assert town.writebacks("off")[0]["event"] == "received"
