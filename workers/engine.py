"""One engine for every lane: lease, work, record, until nothing is due; run by bell, or by the watchman's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.clock import boot_time
from shared.domain.lanes import Lane
from shared.doorbell import Hold
from shared.store.engine import each_alone
from shared.store.outbox import Lease, lease_due, lease_row
from workers.batches import Batches
from workers.deps import Deps
from workers.services import (
    calling,
    cancelling,
    certifying,
    creating,
    describing,
    escalating,
    hooking,
    informing,
    intake,
    introducing,
    jobs,
    locating,
    mirroring,
    poison,
    polling,
    probing,
    reading,
    registering,
    verifying,
    watching,
    writing_back,
)
from workers.slots import Room, Slots
from workers.turn import NO_TURN, TURN_S, Turn

log = structlog.get_logger(__name__)

HANDLERS: dict[str, Callable[[Deps, Lease], None]] = {
    "create": creating.create,
    "cancel": cancelling.cancel,
    "site": registering.register,
    "note": informing.inform,
    "event": informing.inform,
    "people": introducing.introduce,
    "person": describing.describe,
    "location": locating.send,
    "poll": polling.poll,
    "probe": probing.probe,
    "certificate": certifying.certify,
    "read": reading.read,
    "hook": hooking.check,
    "verify": verifying.ask,
    "watch": watching.watch,
    "stream": mirroring.mirror,
    "writeback": writing_back.write_back,
    "notice": escalating.announce,
    "escalation": escalating.announce,
}
# While calls are in flight, new rows are looked for this often; a finished call looks at once.
LOOK_AGAIN_S = 0.1
SIGN_OF_LIFE_S = 1.0


class Engine:
    """Drains one lane in one process."""

    def __init__(self, deps: Deps, lane: Lane, threads: int, *, name: str = "worker") -> None:
        """`threads` calls at most are in flight at once; half of them at most to one destination.

        `name` signs its heartbeats: the watchman's work must not look like life in a lane of dead workers.
        """
        self.deps = deps
        self.name = name
        self.lane = lane
        self.slots = Slots(
            threads,
            per_destination=max(1, threads // 2),
            for_first_tries=max(1, threads // 4) if lane is Lane.DISPATCH else 0,
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=lane.value)
        self._signs: dict[bool, float] = {}
        self._batches = Batches(
            lambda rows: intake.work_batch(deps, rows),
            deps.settings.intake_batch,
            lambda worked: self.sign_of_life(worked=worked),
        )

    # -- rows of the outbox ----------------------------------------------------------------------------------------

    def work_row(self, row_id: int) -> bool:
        """Lease and work one row of the dispatch lane, if it is due and a thread is free for it."""

        def take(room: Room) -> list[Lease]:
            boot_now = boot_time()
            with self.deps.sessions.begin() as session:
                lease = lease_row(
                    each_alone(session),
                    row_id,
                    lease_s=self.deps.settings.lease_s(),
                    boot_now=boot_now,
                    full=room.full,
                    any_try=room.retries > 0,
                    idle=room.idle,
                )
            if lease is None and room.full:
                self.deps.ringer.ring(self.lane)  # this process has its share; another may have threads free
            return [] if lease is None else [lease]

        turn = Turn(time.monotonic() + TURN_S)
        leases = self.slots.lease(take, want=1)
        worked = bool(leases)
        while leases:
            self._work(leases[0])
            self.sign_of_life(worked=True)
            leases = [] if turn.over() else self.slots.lease(lambda room: self._take(room, 0.0), want=1)
            if leases:
                self.deps.ringer.ring(self.lane)  # more waits than this process had threads for
        return worked

    def drain(self, *, overdue_s: Callable[[], float] = lambda: 0.0, turn: Turn = NO_TURN) -> int:
        """Work what is due (and could have been leased for `overdue_s`) until nothing is; how many rows were leased."""
        running: set[Future[None]] = set()
        count = 0
        while True:
            leases = [] if turn.over() else self.slots.lease(lambda room: self._take(room, overdue_s()))
            count += len(leases)
            running |= {self._pool.submit(self._work, lease) for lease in leases}
            turn.renew()
            self.sign_of_life(worked=bool(leases))
            if not leases and not running:
                return count
            if not leases:
                _, running = wait(running, timeout=LOOK_AGAIN_S, return_when=FIRST_COMPLETED)
            running = {future for future in running if not future.done()}

    def _take(self, room: Room, overdue_s: float) -> list[Lease]:
        with self.deps.sessions.begin() as session:
            return lease_due(
                session,
                self.lane,
                room.free,
                lease_s=self.deps.settings.lease_s(),
                boot_now=boot_time(),
                retries=room.retries,
                share=room.share,
                in_flight=room.in_flight,
                idle=room.idle,
                overdue_s=overdue_s,
            )

    def _work(self, lease: Lease) -> None:
        try:
            if poison.is_dead(lease):
                poison.bury(self.deps, lease)
            elif not calling.may_start(self.deps, lease):  # it was leased long ago by a process that stood still
                poison.give_back(self.deps, lease)
            else:
                HANDLERS[lease.kind](self.deps, lease)
        except Exception as error:
            log.exception("engine.row_failed", row=lease.id, kind=lease.kind)
            poison.put_off(self.deps, lease, error)
        finally:
            self.slots.give_back(lease)

    # -- the other lanes -------------------------------------------------------------------------------------------

    def drain_lane(self, turn: Turn = NO_TURN) -> int:
        """Work this engine's lane until nothing is due, whichever lane it is."""
        if self.lane is Lane.INTAKE:
            return self._batches.drain(turn)
        if self.lane is Lane.PERIODIC:
            return self._one_by_one(lambda: jobs.work_due(self.deps), turn)
        return self.drain(turn=turn)

    def _one_by_one(self, work: Callable[[], int], turn: Turn) -> int:
        total = 0
        while not turn.over():
            count = work()
            turn.renew()
            self.sign_of_life(worked=count > 0)
            total += count
            if count == 0:
                break
        return total

    def answer_bell(self) -> None:
        """Hold the bell, drain, let go, and look once more: a row behind a suppressed ring is always seen."""
        with self.deps.bell.hold(self.lane) as bell:
            turn = Turn(time.monotonic() + TURN_S, bell.renew, self._caller(bell))
            while True:
                self.drain_lane(turn)
                bell.let_go()
                if turn.over() or self.drain_lane(Turn(turn.ends)) == 0:
                    break
        if turn.over():
            self.deps.ringer.ring(self.lane, force=True)  # under steady load somebody else goes on

    def _caller(self, bell: Hold) -> Callable[[], None]:
        """Rings for another process that is idle; two threads of this one would only share an interpreter."""
        open_to_all = False

        def call() -> None:
            nonlocal open_to_all
            if not open_to_all:
                bell.let_go()
            open_to_all = True
            self.deps.ringer.ring(self.lane)

        return call

    # -- signs of life ---------------------------------------------------------------------------------------------

    def sign_of_life(self, *, worked: bool) -> None:
        """Write this lane's heartbeat, at most once a second; `worked` also notes that the lane took a lease.

        It comes after what it tells of: no alarm waits for its commit.
        """
        now = time.monotonic()
        if now - self._signs.get(worked, 0.0) < SIGN_OF_LIFE_S:
            return
        self._signs[worked] = now
        try:
            with self.deps.sessions.begin() as session:
                beat(session, f"{self.name}:{self.lane.value}")
                if worked and self.name == "worker":
                    beat(session, f"lane:{self.lane.value}")
        except Exception as error:  # noqa: BLE001 - the sign is not worth the work
            log.warning("engine.no_sign", error=type(error).__name__)


def beat(session: Session, name: str) -> None:
    """Note that `name` is alive."""
    session.execute(
        text(
            "INSERT INTO heartbeat (name, at, detail) VALUES (:name, now(), '{}') "
            "ON CONFLICT (name) DO UPDATE SET at = now()"
        ),
        {"name": name},
    )
