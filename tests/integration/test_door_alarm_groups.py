"""Alarms that share a commit: none waits, and none fails, for what is the matter with another."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.integration.door_stage import HOME, Reply, Stage, close_stage, open_stage

AT_ONCE = 12


def post(stage: Stage, ref: str, key: str | None = None, **values: Any) -> Reply:
    """Raise an alarm, from any thread."""
    body = {"incident_ref": ref, "kind": "burglary", **HOME, **values}
    return Reply.of(stage.app.test_client().post("/v1/alarms", json=body, headers=stage.headers(key)))


def references(stage: Stage) -> list[str]:
    """Of the incidents on disk."""
    return [row.incident_ref for row in stage.rows("SELECT incident_ref FROM incident WHERE platform_id = :p "
                                                   "ORDER BY incident_ref", p=stage.platform_id)]  # fmt: skip


def test_each_alarm_gets_its_own_incident_when_many_arrive_at_once(stage: Stage) -> None:
    """The id of an answer is that of its own reference, and each has one row in the inbox."""
    stage.account("noonlight")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(range(120), pool.map(lambda number: post(stage, f"r-{number}"), range(120)), strict=True))

    assert {answer.status_code for answer in answers.values()} == {202}
    rows = stage.rows("SELECT id, incident_ref FROM incident WHERE platform_id = :p", p=stage.platform_id)
    assert {row.id: row.incident_ref for row in rows} == {
        answer.json["incident_id"]: f"r-{number}" for number, answer in answers.items()
    }
    assert sorted(row.incident_id for row in stage.inbox()) == sorted(row.id for row in rows)


def test_alarms_are_fewer_commits_when_they_arrive_at_once(stage: Stage) -> None:
    """What arrived while a commit was on its way shares the next one."""
    stage.account("noonlight")
    post(stage, "first")
    count = "SELECT count(DISTINCT xmin::text) FROM inbox WHERE platform_id = :p"
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert {answer.status_code for answer in pool.map(lambda n: post(stage, f"g-{n}"), range(200))} == {202}

    assert stage.rows(count, p=stage.platform_id)[0][0] < 200


def test_neighbours_are_taken_when_an_alarm_is_misdirected_or_meets_a_fault(stage: Stage, database: str) -> None:
    """A refusal and an accident are told to their own senders."""
    stage.account("noonlight", environment="production")
    other = open_stage(database, stage.settings.redis_url.get_secret_value())
    try:
        stage.change("UPDATE platform SET policies = '[1]' WHERE id = :p", p=other.platform_id)

        def story(number: int) -> int:
            if number % 4 == 0:
                return post(stage, f"test-{number}", test=True).status_code
            return post(stage, f"x-{number}", other.key if number % 4 == 1 else None).status_code

        with ThreadPoolExecutor(AT_ONCE) as pool:
            told = list(pool.map(story, range(80)))
    finally:
        close_stage(other)
    assert [told[number::4] for number in range(4)] == [[422] * 20, [500] * 20, [202] * 20, [202] * 20]
    assert references(stage) == sorted(f"x-{number}" for number in range(80) if number % 4 > 1)


def test_neighbours_do_not_wait_when_a_site_is_held(stage: Stage) -> None:
    """Only the alarm of that site does, until it is let go."""
    stage.account("noonlight")
    for ref in ("held", "free"):
        assert stage.put(f"/v1/sites/{ref}", {"name": ref, **HOME["location"]}).status_code == 201
    with Session(stage.engine) as session, ThreadPoolExecutor(AT_ONCE) as pool:
        session.execute(
            text("SELECT 1 FROM site WHERE platform_id = :p AND reference = 'held' FOR UPDATE"),
            {"p": stage.platform_id},
        )
        began = time.monotonic()
        held = pool.submit(post, stage, "of-held", site_ref="held")
        free = [pool.submit(post, stage, f"of-free-{number}", site_ref="free") for number in range(40)]
        assert {one.result().status_code for one in free} == {202}
        assert time.monotonic() - began < 2.5
        assert not held.done()
        session.rollback()
        assert held.result().status_code == 202
    assert len(references(stage)) == 41


def test_repeats_of_one_reference_are_one_incident_among_others(stage: Stage) -> None:
    """Whoever comes second in a group takes his turn."""
    stage.account("noonlight")
    gate = threading.Barrier(AT_ONCE)

    def story(number: int) -> list[Any]:
        gate.wait(10)
        return [post(stage, f"same-{at}", event_id="e-1").json for at in range(10)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(story, range(AT_ONCE)))
    for at in range(10):
        assert len({answers[at]["incident_id"] for answers in told}) == 1
        assert [answers[at]["repeat"] for answers in told].count(None) == 1
    assert references(stage) == sorted(f"same-{at}" for at in range(10))
