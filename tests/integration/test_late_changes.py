"""What changes after a create was planned and before its first byte: it is asked again under locks, and obeyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import DOUBTFUL, hurry, legs, sweep, take_in
from tests.integration.test_leases import _slow_engine, _SlowTokens
from tests.town import Town, open_town

Change = Callable[[Town, str, str], None]


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **DOUBTFUL) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """The town, swept."""
    return sweep(street)


def _cancel_arrives(town: Town, incident: str, site: str) -> None:
    assert town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm"}).status_code == 202


def _cancel_is_worked(town: Town, incident: str, site: str) -> None:
    _cancel_arrives(town, incident, site)
    town.turn(Lane.INTAKE)


def _site_is_deleted(town: Town, incident: str, site: str) -> None:
    town.change("UPDATE site SET deleted_at = now() WHERE reference = :r", r=site)


def _site_is_ambiguous(town: Town, incident: str, site: str) -> None:
    town.change("UPDATE site SET conflict = 'two records' WHERE reference = :r", r=site)


def _site_is_forgotten(town: Town, incident: str, site: str) -> None:
    """Its record at the provider has gone, and it has to be registered anew."""
    town.change("UPDATE site SET provider_site_id = NULL, sync_state = 'failed' WHERE reference = :r", r=site)


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        (_cancel_arrives, "cancelled"),
        (_cancel_is_worked, "cancelled"),
        (_site_is_deleted, "failed"),
        (_site_is_ambiguous, "failed"),
        (_site_is_forgotten, "failed"),
    ],
)
def test_nothing_is_sent_when_it_changes_while_the_create_connects(town: Town, change: Change, ends: str) -> None:
    """The plan was right when it was made."""
    site = town.guarded_site()
    incident = take_in(town, "burglary", site=site)
    tokens = _SlowTokens(town)
    engine = _slow_engine(town, tokens)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(engine.drain)
        assert tokens.asked.wait(10)
        change(town, incident, site)
        tokens.go_on.set()
        work.result(20)
    hurry(town)
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    assert town.status(incident) == ends
    assert town.creates("aura") == []
    assert legs(town, incident)[-1] in ("void", "failed")
