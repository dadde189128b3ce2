"""Redis: restarted, killed, emptied, filled, frozen, cut off, and with junk in its lists."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from random import Random

from redis.exceptions import RedisError

from shared.domain.lanes import Lane
from tests.chaos.faults.registry import fault
from tests.chaos.rig import REDIS, Rig
from tests.e2e.test_outages import JUNK

FAMILY = "Redis"
# Larger than any wait of the callers, smaller than what Redis needs by itself.
FULL = "1"


@fault("Redis: restart", FAMILY, hold_s=1.0, brief_s=1.0)
def _restart(rig: Rig, dice: Random) -> Iterator[None]:
    rig.embedded.redis.stop()
    yield
    rig.embedded.redis.start()


@fault("Redis: kill -9", FAMILY, hold_s=5.0, brief_s=2.0)
def _kill(rig: Rig, dice: Random) -> Iterator[None]:
    rig.embedded.redis.kill()
    yield
    rig.embedded.redis.start()


@fault("Redis: FLUSHALL again and again", FAMILY, hold_s=6.0, brief_s=2.0)
def _flush(rig: Rig, dice: Random) -> Iterator[None]:
    stop = threading.Event()

    def flush() -> None:
        with rig.redis() as client:
            while not stop.wait(0.05):
                with suppress(RedisError):
                    client.flushall()

    flushing = threading.Thread(target=flush)
    flushing.start()
    yield
    stop.set()
    flushing.join()


@fault("Redis: junk in each lane", FAMILY, hold_s=3.0, brief_s=2.0)
def _junk(rig: Rig, dice: Random) -> Iterator[None]:
    with suppress(RedisError), rig.redis() as client:
        for lane in Lane:
            client.lpush(lane.value, *dice.sample(JUNK, len(JUNK)))
    yield


@fault("Redis: full", FAMILY, hold_s=10.0, brief_s=3.0)
def _full(rig: Rig, dice: Random) -> Iterator[None]:
    with suppress(RedisError), rig.redis() as client:
        client.config_set("maxmemory", FULL)
    yield
    with suppress(RedisError), rig.redis() as client:
        client.config_set("maxmemory", "0")


@fault("Redis: frozen", FAMILY, hold_s=30.0, brief_s=4.0)
def _frozen(rig: Rig, dice: Random) -> Iterator[None]:
    rig.embedded.redis.freeze()
    yield
    rig.embedded.redis.thaw()


@fault("Redis: cut off, packets vanish", FAMILY, hold_s=12.0, brief_s=4.0)
def _silent(rig: Rig, dice: Random) -> Iterator[None]:
    rig.wires.turn(REDIS, "silent")
    yield
    rig.wires.turn(REDIS, "open")


@fault("Redis: cut off, connections reset", FAMILY, hold_s=8.0, brief_s=3.0)
def _reset(rig: Rig, dice: Random) -> Iterator[None]:
    rig.wires.turn(REDIS, "reset")
    yield
    rig.wires.turn(REDIS, "open")
