"""What all routes of one application share: settings, database, box, bell, figures and short memories."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from flask import current_app

from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.doorbell import Bell
from shared.providers.base import Account
from shared.settings import Settings
from webhooks_app.database import Database
from webhooks_app.figures import Figures
from webhooks_app.limits import Limits
from webhooks_app.looking import Look
from webhooks_app.principal import Principal
from webhooks_app.taking import Taker

V = TypeVar("V")

KEY_MEMORY_S = 2.0
# For so long a key that worked is looked up again, however often others fail from its address.
PROVEN_S = 3_600.0
ACCOUNT_MEMORY_S = 5.0
MEMORY_ENTRIES = 10_000


class Memory(Generic[V]):
    """Remembers values for a few seconds, so that a busy sender costs no look-up each time."""

    def __init__(self, seconds: float) -> None:
        """Entries are forgotten after `seconds`."""
        self._seconds = seconds
        self._entries: dict[str, tuple[float, V]] = {}
        self._fading: set[str] = set()

    def get(self, key: str) -> V | None:
        """The value, None when it is unknown or too old."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and time.monotonic() < entry[0] else None

    def put(self, key: str, value: V) -> None:
        """Remember; a full memory starts anew, which costs look-ups only."""
        if len(self._entries) >= MEMORY_ENTRIES:
            self._entries, self._fading = {}, set()
        self._entries[key] = (time.monotonic() + self._seconds, value)
        self._fading.discard(key)

    def forget(self, key: str) -> None:
        """As if it had never been put."""
        self._entries.pop(key, None)

    def fades(self, key: str) -> bool:
        """True for one asker in the last third of an entry's time: he looks it up before all of them have to."""
        entry = self._entries.get(key)
        if entry is None or key in self._fading or time.monotonic() < entry[0] - self._seconds / 3:
            return False
        self._fading.add(key)
        return True


@dataclass
class Hooked:
    """An account as its hook needs it."""

    account: Account = field(repr=False)
    platform_id: str


@dataclass
class Door:
    """One application's parts."""

    settings: Settings = field(repr=False)
    database: Database
    box: Box = field(repr=False)
    bell: Bell
    figures: Figures
    limits: Limits
    taker: Taker = field(repr=False)
    document: bytes = field(repr=False)
    page: bytes = field(repr=False)
    keys: Memory[Principal] = field(default_factory=lambda: Memory(KEY_MEMORY_S), repr=False)
    wrong: Memory[bool] = field(default_factory=lambda: Memory(KEY_MEMORY_S), repr=False)
    proven: Memory[bool] = field(default_factory=lambda: Memory(PROVEN_S), repr=False)
    hooks: Memory[Hooked] = field(default_factory=lambda: Memory(ACCOUNT_MEMORY_S), repr=False)
    readiness: Look[tuple[str | None, list[str]]] = field(default_factory=Look, repr=False)
    gauges: Look[dict[str, Any]] = field(default_factory=Look, repr=False)
    seen: Memory[bool] = field(default_factory=lambda: Memory(10.0))

    def ring(self, lane: Lane) -> None:
        """Announce work that is committed; never waits and never fails."""
        self.bell.ring(lane)


def door() -> Door:
    """The parts of the application that answers this request."""
    return cast(Door, current_app.extensions["tocsin"])
