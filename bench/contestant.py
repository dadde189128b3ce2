"""What the bench asks of a contestant, ours and the peers alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.ground import Ground
from bench.processes import Group


@dataclass(frozen=True)
class Place:
    """Where a contestant plays: the ground, its own database (a libpq address) and its door's port."""

    ground: Ground
    database_url: str
    port: int


class Contestant(Protocol):
    """A door that accepts signed webhooks durably, and workers that apply them."""

    name: str
    words: str
    # Of the hook that the provider calls.
    path: str
    # Grows with each write-back row, and costs nothing to look at.
    sequence: str
    # How many write-back rows there are.
    written: str
    # For each alarm id: the incident's status, and how many timeline and write-back rows it has.
    outcome: str

    def missing(self) -> str | None:
        """Why it cannot play on this machine."""

    def make_ready(self, place: Place, alarms: int) -> None:
        """Make the schema and the incidents of alarms 0 to `alarms`, all under way at the provider."""

    def door(self, place: Place) -> Group:
        """Start what accepts."""

    def workers(self, place: Place) -> Group:
        """Start what applies."""
