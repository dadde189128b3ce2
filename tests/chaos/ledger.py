"""What the clients sent and what they were told: every operation, before it is sent and after it was answered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["pending", "ok", "refused", "unknown"]


@dataclass
class Operation:
    """One wish of a client, with all tries of it. Times are epoch seconds.

    `outcome`: pending, ok (2xx), refused (4xx: certainly not done), unknown (no answer, or a 5xx, at the last try).
    `facts` is what the audit needs of the body, never a name, a phone or a PIN.
    """

    number: int
    client: str
    kind: str
    ref: str
    facts: dict[str, Any]
    invoked_at: float
    tries: int = 0
    outcome: Outcome = "pending"
    answered_at: float | None = None
    status: int | None = None
    incident_id: str | None = None
    repeat: str | None = None


@dataclass
class Spell:
    """A fault as it was: when it began, when it was healed, when a fresh alarm went all the way again."""

    name: str
    began_at: float
    healed_at: float | None = None
    recovered_at: float | None = None
    silences: tuple[str, ...] = ()

    def recovery_s(self) -> float | None:
        """Seconds from the healing to the first whole way of a fresh alarm."""
        if self.healed_at is None or self.recovered_at is None:
            return None
        return self.recovered_at - self.healed_at


@dataclass
class Ledger:
    """Kept in memory, and on disk line by line for whoever looks while it runs."""

    file: Path | None = None
    operations: list[Operation] = field(default_factory=list)
    spells: list[Spell] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def invoke(self, client: str, kind: str, ref: str, incident_id: str | None = None, **facts: Any) -> Operation:
        """Write down what is about to be sent."""
        with self._lock:
            number = len(self.operations)
            made = Operation(number, client, kind, ref, facts, time.time(), incident_id=incident_id)
            self.operations.append(made)
        return made

    def answer(self, operation: Operation, outcome: Outcome, status: int | None) -> None:
        """Write down what was answered, or that nothing was."""
        operation.answered_at = time.time()
        operation.outcome = outcome
        operation.status = status
        self.write({"operation": asdict(operation)})

    def write(self, record: dict[str, Any]) -> None:
        """One line on disk."""
        if self.file is not None:
            with self._lock, self.file.open("a") as stream:
                stream.write(json.dumps(record) + "\n")

    def accepted(self, kinds: Iterable[str] = ("alarm",)) -> list[Operation]:
        """The operations of these kinds that were answered with a 2xx."""
        wanted = set(kinds)
        with self._lock:
            return [one for one in self.operations if one.kind in wanted and one.outcome == "ok"]
