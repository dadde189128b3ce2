"""When the stack at a desk is ready: each address answers over HTTP, each lane its bell, and the watchman is awake."""

from __future__ import annotations

import time
from collections.abc import Mapping

import requests
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from deploy.cli.supervisor import Supervisor
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell

READY_WITHIN_S = 90.0
ENDS_BEFORE_GIVING_UP = 3
LOOK_EVERY_S = 0.05


class NotReadyError(RuntimeError):
    """The stack did not come up; the message says which part, with the end of its log."""


def database_now(engine: Engine) -> str:
    """The database's clock, by which signs of life are told from those of an earlier start."""
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT now()::text")).scalar_one())


def await_ready(
    addresses: Mapping[str, str], engine: Engine, since: str, redis_url: str, supervisor: Supervisor
) -> None:
    """Wait until every address answers and every lane worked since `since`. Raises NotReadyError."""
    waiting = dict(addresses)
    bell = Doorbell(redis_url)
    end = time.monotonic() + READY_WITHIN_S
    try:
        while time.monotonic() < end:
            waiting = {name: url for name, url in waiting.items() if not _answers(url)}
            silent = _silent(engine, since)
            if not waiting and not silent:
                return
            for lane in Lane:
                if lane.value in silent:
                    bell.ring(lane)
            _give_up_on_the_dying(supervisor)
            time.sleep(LOOK_EVERY_S)
    finally:
        bell.close()
    raise NotReadyError(f"no answer within {READY_WITHIN_S:.0f} s from: {', '.join([*waiting, *sorted(silent)])}")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _silent(engine: Engine, since: str) -> set[str]:
    """The lanes (and the watchman) that gave no sign of life."""
    query = text("SELECT name FROM heartbeat WHERE at > CAST(:since AS timestamptz)")
    with Session(engine) as session:
        alive = {row.name for row in session.execute(query, {"since": since})}
    lanes = {lane.value for lane in Lane if f"worker:{lane.value}" not in alive}
    return lanes | ({"watchman"} if "watchman_loop" not in alive else set())


def _give_up_on_the_dying(supervisor: Supervisor) -> None:
    for name, ends in supervisor.ends().items():
        if ends >= ENDS_BEFORE_GIVING_UP:
            raise NotReadyError(f"{name} ended {ends} times; the end of its log:\n{supervisor.last_words(name)}")
