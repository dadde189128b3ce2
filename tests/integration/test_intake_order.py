"""Rows of one stream are worked in order of arrival, whatever becomes of one or its owner; others wait for none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from deploy.embedded import Embedded
from shared.store.inbox import Taken, lease_batch
from tests.town import QUICK, Town, open_town
from workers.services import intake


@pytest.fixture(scope="module")
def street(embedded: Embedded) -> Iterator[Town]:
    """Nobody works here but the test."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(street: Town) -> Town:
    """With an empty inbox."""
    street.change("DELETE FROM inbox WHERE state = 'pending'")
    return street


def _lease(town: Town, size: int = 200) -> list[Taken]:
    with town.sessions.begin() as session:
        return lease_batch(session, size)


def _leases_run_out(town: Town) -> None:
    town.change("UPDATE inbox SET lease_until = now() - interval '1 ms' WHERE state = 'pending'")


def _dropped_and_sent_again(town: Town, ref: str) -> str:
    """A failed alarm, of which a person says drop, and another one resend; both words are in the inbox."""
    incident = town.alarm("burglary", ref=ref)
    intake.work_batch(town.deps)
    town.change("UPDATE outbox SET state = 'done' WHERE incident_id = :i AND kind = 'create'", i=incident)
    town.change("UPDATE dispatch SET outcome = 'failed' WHERE incident_id = :i", i=incident)
    town.change("UPDATE incident SET status = 'failed' WHERE id = :i", i=incident)
    assert town.post(f"/v1/incidents/{incident}/drop", {"by": "ann", "reason": "no"}).status_code == 202
    assert town.post(f"/v1/incidents/{incident}/resend", {"by": "bob"}).status_code == 202
    return incident


def test_resend_does_not_overtake_a_drop_that_failed_in_the_same_batch(town: Town) -> None:
    """Else the last word would be the drop, and nobody would be sent."""
    incident = _dropped_and_sent_again(town, "failed-word")
    body = town.one("SELECT body FROM inbox WHERE source = 'drop' AND incident_id = :i", i=incident)
    town.change("UPDATE inbox SET body = 'spoilt' WHERE source = 'drop' AND incident_id = :i", i=incident)
    intake.work_batch(town.deps)
    assert town.status(incident) == "failed"

    town.change("UPDATE inbox SET body = :b, next_attempt_at = now() WHERE source = 'drop'", b=bytes(body))
    _leases_run_out(town)
    intake.work_batch(town.deps)
    assert town.status(incident) == "requesting"


def test_owner_that_thaws_overtakes_nobody(town: Town) -> None:
    """His leases ran out, and the first of two rows is somebody else's: he works neither."""
    incident = _dropped_and_sent_again(town, "thawed")
    frozen = _lease(town)
    assert len(frozen) == 2
    _leases_run_out(town)
    other = _lease(town, 1)
    assert len(other) == 1

    intake.work_rows(town.deps, frozen)
    intake.work_rows(town.deps, other)
    assert town.status(incident) == "dropped"
    _leases_run_out(town)
    intake.work_batch(town.deps)
    assert town.status(incident) == "requesting"


def test_others_are_leased_when_an_urgent_row_has_to_wait(town: Town) -> None:
    """The cancel of an alarm whose owner was killed waits for his lease to run out, and keeps nobody from work."""
    left = town.alarm("burglary", ref="left")
    assert len(_lease(town)) == 1
    assert town.post(f"/v1/incidents/{left}/cancel", {"reason": "false_alarm", "by": "ann"}).status_code == 202
    others = {town.alarm("burglary", ref=f"other-{number}") for number in range(2)}
    assert {one.incident_id for one in _lease(town)} == others


def test_leasing_waits_for_nobody_when_an_owner_outlives_his_lease(town: Town) -> None:
    """He is in his transaction still, frozen or at a slow disk: a panic is leased beside him."""
    slow = town.alarm("burglary", ref="slow")
    [held] = _lease(town)
    _leases_run_out(town)
    with town.engine.connect() as owner:
        owner.execute(text("SELECT 1 FROM inbox WHERE id = :id FOR UPDATE"), {"id": held.id})
        event = {"event_id": "later", "kind": "burglary"}
        assert town.post(f"/v1/incidents/{slow}/events", event).status_code == 202
        began = time.monotonic()
        assert _lease(town) == []
        panic = town.alarm("panic", ref="beside")
        assert [one.incident_id for one in _lease(town)] == [panic]
        assert time.monotonic() - began < 2.0  # the lock timeout of a lease is four
        owner.rollback()
