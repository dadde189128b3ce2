"""What the stories of an incident's life share: engines in the background, and waits for what the sandbox has seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shared.domain.lanes import Lane
from tests.town import Town
from workers.engine import Engine

DISPATCHED = "RESPONDER_MANUALLY_DISPATCHED"
ACKNOWLEDGED = "RESPONDER_ACKNOWLEDGED_CALLOUT"
ARRIVED = "RESPONDER_ARRIVED_ON_SCENE"
COMPLETED = "RESPONDER_COMPLETED"
CANCELLED = "CALLOUT_NO_LONGER_REQUIRES_RESPONSE"
CLOSED = "CALLOUT_CLOSED"


def await_that(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Wait for what others do, without working."""
    ends = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < ends, f"did not come true within {within_s} s"
        time.sleep(0.01)
    return found


def await_request(town: Town, provider: str, method: str, path_end: str, *, count: int = 1) -> None:
    """Wait until a request stands in the provider's journal, answered or not."""

    def arrived() -> bool:
        log: list[dict[str, Any]] = getattr(town, provider)("_log")
        return len([e for e in log if e["method"] == method and str(e["path"]).endswith(path_end)]) >= count

    await_that(arrived)


@contextmanager
def another_worker(town: Town, *lanes: Lane) -> Iterator[None]:
    """A worker of its own drains these lanes until the block ends."""
    stop = threading.Event()

    def work(lane: Lane) -> None:
        engine = Engine(town.deps, lane, 8)
        while not stop.is_set():
            engine.drain_lane()
            stop.wait(0.01)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def requested(town: Town, site: str, kind: str, **more: Any) -> str:
    """An alarm at a site, with its response requested."""
    incident = town.site_alarm(site, kind, **more)
    town.until(lambda: town.status(incident) == "requested")
    return incident


def dispatched_home(town: Town, kind: str = "burglary", **more: Any) -> tuple[str, str]:
    """An alarm at a home with its response requested, and the provider's id."""
    incident = town.alarm(kind, **more)
    town.until(lambda: town.status(incident) == "requested")
    return incident, legs_of(town, incident)[-1]


def legs_of(town: Town, incident: str) -> list[str]:
    """The provider's ids of an incident's legs, in order."""
    return [
        row[0]
        for row in town.rows(
            "SELECT d.provider_alarm_id FROM incident_leg l JOIN dispatch d ON d.id = l.leg_id "
            "WHERE l.incident_id = :i AND d.provider_alarm_id IS NOT NULL ORDER BY d.id",
            i=incident,
        )
    ]


def cancel(town: Town, incident: str, key: str | None = None, **more: Any) -> None:
    """Ask for a cancel; the inbox has it."""
    answer = town.post(f"/v1/incidents/{incident}/cancel", {"reason": "false_alarm"} | more, key)
    assert answer.status_code == 202, answer.text


def calm(town: Town) -> None:
    """Forget what the test before told the sandbox and the platform."""
    town.noonlight("_reset")
    town.aura("_reset")
    town.platform("_reset")
    town.policy()
    town.change("UPDATE notice SET ended_at = now() WHERE ended_at IS NULL")
    town.change("UPDATE outbox SET state = 'void' WHERE state = 'pending'")
    town.change("UPDATE inbox SET state = 'done' WHERE state IN ('pending', 'parked')")
