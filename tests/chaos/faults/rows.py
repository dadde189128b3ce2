"""Poison: rows that make whoever works them raise. They must be set aside or buried, told, and hold up nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared.store.patience import patience
from tests.chaos.faults.registry import fault
from tests.chaos.rig import Rig

FAMILY = "rows"
# Another fault may have frozen Postgres.
PATIENCE_S = 3.0
NEWEST = "(SELECT id FROM incident WHERE ended_at IS NULL AND incident_ref NOT LIKE 'probe-%' ORDER BY id DESC LIMIT 1)"


def _put(rig: Rig, sql: str) -> None:
    with suppress(SQLAlchemyError), patience(PATIENCE_S), rig.engine.begin() as connection:
        connection.execute(text(sql))


@fault("rows: poison in the inbox", FAMILY, hold_s=6.0, brief_s=3.0)
def _inbox(rig: Rig, dice: Random) -> Iterator[None]:
    """A note, a cancel and a webhook whose bodies cannot be opened."""
    for source in ("note", "cancel"):
        _put(
            rig,
            "INSERT INTO inbox (source, platform_id, incident_id, digest, stream, body)"
            f" SELECT '{source}', 'default', id, 'poison', id, 'no seal' FROM incident WHERE id = {NEWEST}",
        )
    _put(
        rig,
        "INSERT INTO inbox (source, platform_id, account_id, digest, stream, body)"
        " VALUES ('webhook', 'default', 'aura', 'poison-' || random(), 'aura:poison', 'no seal')",
    )
    yield


@fault("rows: an alarm that cannot be opened", FAMILY, hold_s=6.0, brief_s=3.0)
def _alarm(rig: Rig, dice: Random) -> Iterator[None]:
    """As after the loss of a key: nobody can send it, so both addresses must hear of it."""
    _put(
        rig,
        "WITH spoilt AS (INSERT INTO incident (id, platform_id, incident_ref, account_id, kind, services, details,"
        " occurred_at) SELECT 'inc_spoilt' || id, 'default', 'spoilt-' || id, 'noonlight', 'panic', '{police}',"
        " 'no seal', now() FROM (SELECT gen_random_uuid()) AS made (id) RETURNING id)"
        " INSERT INTO inbox (source, platform_id, account_id, incident_id, digest, stream, body)"
        " SELECT 'alarm', 'default', 'noonlight', id, 'spoilt', id, 'no seal' FROM spoilt",
    )
    yield


@fault("rows: poison in the outbox", FAMILY, hold_s=6.0, brief_s=3.0)
def _outbox(rig: Rig, dice: Random) -> Iterator[None]:
    """A call that nobody knows, and one whose secret cannot be opened, in each lane."""
    for lane in ("dispatch", "outgoing"):
        for kind in ("nonsense", "note"):
            _put(
                rig,
                "INSERT INTO outbox (lane, kind, destination, platform_id, account_id, sealed)"
                f" VALUES ('{lane}', '{kind}', 'account:aura', 'default', 'aura', 'no seal')",
            )
    yield
