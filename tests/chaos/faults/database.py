"""Postgres: crashed, frozen, cut off, and with no space left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from random import Random

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.chaos.faults.registry import BOTH_WAYS, fault
from tests.chaos.rig import POSTGRES, Rig

FAMILY = "Postgres"
WRITTEN = ("inbox", "incident", "outbox", "timeline", "dispatch", "repeat_key", "notice", "attempt")


@fault("Postgres: immediate restart", FAMILY, hold_s=1.0, brief_s=1.0, silences=BOTH_WAYS)
def _immediate(rig: Rig, dice: Random) -> Iterator[None]:
    pid = rig.embedded.postgres.pid
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)  # "immediate": no checkpoint, the sessions are cut, the log is replayed
    rig.embedded.postgres.kill()
    yield
    rig.embedded.postgres.start()


@fault("Postgres: frozen", FAMILY, hold_s=12.0, brief_s=4.0, silences=BOTH_WAYS)
def _frozen(rig: Rig, dice: Random) -> Iterator[None]:
    rig.embedded.postgres.freeze()
    yield
    rig.embedded.postgres.thaw()


@fault("Postgres: cut off, packets vanish", FAMILY, hold_s=12.0, brief_s=4.0, silences=BOTH_WAYS)
def _silent(rig: Rig, dice: Random) -> Iterator[None]:
    rig.wires.turn(POSTGRES, "silent")
    yield
    rig.wires.turn(POSTGRES, "open")


@fault("Postgres: cut off, connections reset", FAMILY, hold_s=8.0, brief_s=3.0, silences=BOTH_WAYS)
def _reset(rig: Rig, dice: Random) -> Iterator[None]:
    rig.wires.turn(POSTGRES, "reset")
    yield
    rig.wires.turn(POSTGRES, "open")


@fault("Postgres: disk full (simulated by triggers)", FAMILY, hold_s=8.0, brief_s=3.0, silences=BOTH_WAYS)
def _disk_full(rig: Rig, dice: Random) -> Iterator[None]:
    """A real full disk needs a file system of our own, hence root: the tables raise what it raises, SQLSTATE 53100."""
    _each(rig, "ENABLE")
    yield
    _each(rig, "DISABLE")


def prepare(rig: Rig) -> None:
    """Make the triggers, asleep."""
    rig.change(
        "CREATE FUNCTION chaos_disk_full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$"
    )
    for table in WRITTEN:
        rig.change(
            f"CREATE TRIGGER chaos_disk_full BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION chaos_disk_full()"
        )
    _each(rig, "DISABLE")


def _each(rig: Rig, what: str) -> None:
    """One table after the other, each as soon as nobody has it: all at once would wait for each other for ever."""
    for table in WRITTEN:
        for _ in range(100):
            with suppress(OperationalError), rig.engine.begin() as connection:
                connection.execute(text("SET LOCAL lock_timeout = '200ms'"))
                connection.execute(text(f"ALTER TABLE {table} {what} TRIGGER chaos_disk_full"))
                break
