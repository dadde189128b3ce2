"""The dwell of an alarm, idle and in a storm: from the door to the provider, beside the sum of its unavoidable parts.

200 alarms, one after another, on the whole stack of `tocsin up`; then more of them for half a minute in which 200
trouble alarms come in each second. The parts (`dwell_parts.py`) are timed in the same run, between the alarms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import requests
from sqlalchemy import text

from bench.desk import HOME, door_port, open_desk, post
from bench.dwell_parts import RINGS, WITHIN_S, Parts, arrivals
from bench.figures import Goal, percentile, ratio
from bench.load import Gun
from bench.tables import number, table, times
from deploy.cli.stack import Stack

ALARMS = 200
WARM_UP = 20
# Long enough for all that follows an alarm (its answer, its write-backs) to be over: nobody asks how it stands
# meanwhile, since the question would take the processor from the alarm.
REST_S = 0.25
STORM_S = 30.0
STORM_PER_S = 200


@dataclass(frozen=True)
class Measured:
    """Seconds: the unavoidable parts, bare tasks; until the provider has it, from the commit and from the post on."""

    parts: dict[str, list[float]]
    tasks: list[float]
    dwell: list[float]
    whole: list[float]

    def sums(self) -> list[float]:
        """The parts of one alarm, together."""
        return [sum(at) for at in zip(*self.parts.values(), strict=True)]

    def ratio(self, percent: float) -> float:
        """The dwell as a multiple of the sum of the parts."""
        return ratio(percentile(self.dwell, percent), percentile(self.sums(), percent))


def main() -> None:
    """Measure and print."""
    gun = Gun()
    try:
        with open_desk() as stack, Parts(stack) as parts:
            measure(stack, parts, lambda count: count < WARM_UP)
            idle = measure(stack, parts, lambda count: count < ALARMS)
            show("idle system", idle)
            show(f"{STORM_PER_S} trouble alarms a second", measure_in_a_storm(stack, parts, gun))
            with stack.session() as session:
                acted = session.execute(text("SELECT detail->>'acted' FROM heartbeat WHERE name = 'watchman'")).scalar()
    finally:
        gun.close()
    print(f"\nRows worked by the watchman: {acted or 0}\n")
    print(f"- {Goal('p50 of the idle dwell, times the sum of its parts', idle.ratio(50), 4, below=True).line()}\n")


def measure_in_a_storm(stack: Stack, parts: Parts, gun: Gun) -> Measured:
    """Raise alarms for as long as the storm lasts."""
    count = int(STORM_S * STORM_PER_S)
    key = stack.described["api_key"]
    troubles = [post(key, {"incident_ref": f"trouble-{n}", "kind": "trouble", **HOME}) for n in range(count)]
    due = [n / STORM_PER_S for n in range(count)]
    with ThreadPoolExecutor(1) as pool:
        storm = pool.submit(gun.fire, door_port(stack), troubles, seconds=2 * STORM_S, due=due)
        found = measure(stack, parts, lambda count: not storm.done())
        storm.result()
    return found


def measure(stack: Stack, parts: Parts, goes_on: Callable[[int], bool]) -> Measured:
    """Raise alarms one after another, and measure the parts between them."""
    sent: dict[str, float] = {}
    with requests.Session() as client:
        while goes_on(len(sent)):
            ref = f"dwell-{uuid4().hex[:12]}"
            sent[ref] = raise_alarm(stack, client, ref)
            time.sleep(REST_S)
            parts.measure()
    arrived = await_arrivals(stack, list(sent))
    with stack.session() as session:
        rows = session.execute(
            text("SELECT incident_ref, extract(epoch FROM received_at) FROM incident WHERE incident_ref = ANY(:refs)"),
            {"refs": list(sent)},
        ).all()
    received = {row[0]: float(row[1]) for row in rows}
    whole = [arrived[ref] - began for ref, began in sent.items()]
    dwell = [arrived[ref] - received[ref] for ref in sent]
    return Measured(*parts.take(stack), dwell, whole)


def raise_alarm(stack: Stack, client: requests.Session, ref: str) -> float:
    """Post one alarm; the moment (epoch seconds) at which it was posted."""
    bearer = {"Authorization": f"Bearer {stack.described['api_key']}"}
    body = {"incident_ref": ref, "kind": "burglary", **HOME}
    began = time.time()
    answer = client.post(f"{stack.described['web']}/v1/alarms", json=body, headers=bearer, timeout=WITHIN_S)
    answer.raise_for_status()
    return began


def await_arrivals(stack: Stack, refs: list[str]) -> dict[str, float]:
    """When (epoch seconds) the provider's server had each; in a storm the last may be on its way still."""
    ends = time.monotonic() + WITHIN_S
    while True:
        try:
            return arrivals(stack, refs)
        except RuntimeError:
            if time.monotonic() > ends:
                raise
            time.sleep(REST_S)


def show(words: str, measured: Measured) -> None:
    """Print milliseconds."""
    values = {
        **measured.parts,
        "sum of the parts": measured.sums(),
        f"(beside it: {RINGS} tasks of a bare Celery worker)": measured.tasks,
        "dwell: door -> provider request": measured.dwell,
        "client posts -> provider request": measured.whole,
    }
    rows = [[name, *(number(percentile(found, at) * 1000, 2) for at in (50, 99))] for name, found in values.items()]
    rows.append(["the dwell, times the sum", times(measured.ratio(50)), times(measured.ratio(99))])
    print(f"\n{table([f'{len(measured.dwell)} alarms, {words}', 'p50 ms', 'p99 ms'], rows)}")


if __name__ == "__main__":
    main()
