"""The watchman: without Celery, on the clock. It rings for what is due, and works itself what nobody takes."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from sqlalchemy import text

from shared import log as logging
from shared.clock import boot_time
from shared.domain.lanes import Lane
from shared.providers.http import AnswerLost, NotSent, exchange
from shared.settings import current
from workers.deps import Deps, build
from workers.engine import Engine, beat
from workers.services.attending import count_watchman_acts, oldest_unserved_s
from workers.services.starting import prepare

log = structlog.get_logger(__name__)

EVERY_S = 0.5
RING_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)
PAST_HELD_BELL_S = 2.0
AUDIT_EVERY_S = 10.0
# For this long after it had to work the inbox itself, the watchman waits for nobody in `dispatch` either.
ALONE_S = 2.0

# Per lane: how many rows are due and not leased, for how long the oldest, and how long ago the lane took a lease.
_SURVEY = text("""
    WITH due AS (
        SELECT 'intake' AS lane, min(greatest(next_attempt_at, coalesce(lease_until, next_attempt_at))) AS since
        FROM inbox WHERE state = 'pending' AND next_attempt_at <= now()
            AND (lease_until IS NULL OR lease_until < now())
        UNION ALL
        SELECT lane, min(greatest(next_attempt_at, coalesce(lease_until, next_attempt_at)))
        FROM outbox o WHERE state = 'pending' AND next_attempt_at <= now()
            AND (lease_until IS NULL OR lease_until < now())
            AND (o.seq IS NULL OR o.urgent OR o.created_at < now() - interval '60 seconds' OR NOT EXISTS (
                SELECT 1 FROM outbox p WHERE p.incident_id = o.incident_id AND p.state = 'pending' AND p.seq < o.seq))
        GROUP BY lane
        UNION ALL
        SELECT 'periodic', min(greatest(next_run_at, coalesce(lease_until, next_run_at))) FROM job
        WHERE next_run_at <= now() AND (lease_until IS NULL OR lease_until < now())
    )
    SELECT d.lane, extract(epoch FROM now() - d.since) AS waiting_s,
        coalesce(extract(epoch FROM now() - h.at), 1e9) AS idle_s
    FROM due d LEFT JOIN heartbeat h ON h.name = 'lane:' || d.lane WHERE d.since IS NOT NULL
""")


@dataclass
class Ringing:
    """How often a lane was rung for in vain."""

    times: int = 0
    next_at: float = 0.0


@dataclass
class Watchman:
    """One watchman. Two of them are harmless: they lease like everybody else."""

    deps: Deps
    rung: dict[Lane, Ringing] = field(default_factory=dict)
    acting: dict[Lane, Future[int]] = field(default_factory=dict)
    audited_at: float = 0.0
    worked_intake_at: float = float("-inf")

    def __post_init__(self) -> None:
        """Engines and threads of its own: nobody else's trouble holds it up."""
        threads = self.deps.settings.watchman_threads
        self.engines = {lane: Engine(self.deps, lane, threads, name="watchman") for lane in Lane}
        self.pool = ThreadPoolExecutor(len(Lane) + 1, thread_name_prefix="watchman")
        self.pinging: Future[None] | None = None

    def round(self) -> None:
        """One look: ring for what is due, and act where nobody does. Never calls out by itself."""
        with self.deps.sessions.begin() as session:
            beat(session, "watchman_loop")
            waiting = {Lane(row.lane): row for row in session.execute(_SURVEY)}
        for lane in Lane:
            row = waiting.get(lane)
            if row is None:
                self.rung.pop(lane, None)
                continue
            self._ring(lane, float(row.waiting_s))
            if self._must_act(lane, float(row.waiting_s), float(row.idle_s)):
                self.acting[lane] = self.pool.submit(self._work, lane)
        self._audit()

    def _ring(self, lane: Lane, waiting_s: float) -> None:
        state = self.rung.setdefault(lane, Ringing())
        if time.monotonic() < state.next_at:
            return
        self.deps.ringer.ring(lane, force=waiting_s > PAST_HELD_BELL_S)
        state.next_at = time.monotonic() + RING_BACKOFF_S[min(state.times, len(RING_BACKOFF_S) - 1)]
        state.times += 1

    def _must_act(self, lane: Lane, waiting_s: float, idle_s: float) -> bool:
        if lane in self.acting and not self.acting[lane].done():
            return False
        if lane is Lane.DISPATCH:
            return waiting_s >= self._patience()
        return min(waiting_s, idle_s) >= self.deps.settings.watchman_patience_s

    def _patience(self) -> float:
        """Seconds that a create or cancel may lie before it is worked here; none while nobody answers intake's bell."""
        alone = time.monotonic() - self.worked_intake_at < ALONE_S
        return 0.0 if alone else self.deps.settings.watchman_patience_s

    def _work(self, lane: Lane) -> int:
        engine = self.engines[lane]
        done = engine.drain(overdue_s=self._patience) if lane is Lane.DISPATCH else engine.drain_lane()
        if not done:
            return 0
        log.warning("watchman.acted", lane=lane.value, rows=done)
        if lane is Lane.INTAKE:
            self.worked_intake_at = time.monotonic()
        self.deps.record(lambda session: count_watchman_acts(session, done))
        return done

    def _audit(self) -> None:
        """Ping the outside heartbeat, but only when no alarm waits for longer than its limit: silence pages someone."""
        now = time.monotonic()
        if now - self.audited_at < AUDIT_EVERY_S or (self.pinging and not self.pinging.done()):
            return
        self.audited_at = now
        with self.deps.sessions() as session:
            unserved = oldest_unserved_s(session)
        if unserved > self.deps.settings.told_after_s:
            log.warning("watchman.audit", oldest_unserved_s=round(unserved))
        elif self.deps.settings.heartbeat_url:
            self.pinging = self.pool.submit(_ping, self.deps.settings.heartbeat_url)


def _ping(url: str) -> None:
    try:
        exchange("GET", url, deadline=boot_time() + 5.0)
    except (NotSent, AnswerLost) as error:
        log.warning("watchman.heartbeat_not_sent", reason=error.reason)


def run(deps: Deps, stop: threading.Event) -> None:
    """Look twice a second until `stop` is set; no fault of the database ends it."""
    watchman = Watchman(deps)
    while not stop.is_set():
        try:
            watchman.round()
        except Exception as error:  # noqa: BLE001 - the watchman goes on, whatever happens
            log.error("watchman.round_failed", error=type(error).__name__)
        stop.wait(EVERY_S)


def main() -> None:
    """The process `watchman` of the Procfile."""
    settings = current()
    logging.configure(settings.log_level)
    deps = build(settings, "watchman")
    prepare(deps)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(deps, stop)


if __name__ == "__main__":
    main()
