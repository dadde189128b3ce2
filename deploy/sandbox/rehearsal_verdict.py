"""What is judged after the rehearsal: every alarm dispatched once, every step written back, none lost or late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Played:
    """One alarm, as Tocsin, the provider and the platform saw it. Moments are epoch seconds."""

    title: str
    reference: str
    incident: dict[str, Any]
    provider: str
    expected: tuple[str, ...]
    last_seq: int
    writebacks: list[dict[str, Any]]
    requests: dict[str, list[float]]

    @property
    def ended(self) -> bool:
        """Whether it came to its end in time, by way of every expected step in this order."""
        events = iter(entry["event"] for entry in self.incident["timeline"])
        return self.incident["status"] == self.expected[-1] and all(step in events for step in self.expected)

    @property
    def dispatched_once(self) -> bool:
        """Whether the provider received exactly one create."""
        return len(self.requests["create"]) == 1

    @property
    def steps_told(self) -> int:
        """How many of its steps are at the platform."""
        return len({body["seq"] for body in self.writebacks} & set(range(1, self.last_seq + 1)))

    @property
    def all_told(self) -> bool:
        """Whether `seq` has no gap from 1 to the incident's last."""
        return self.last_seq > 0 and self.steps_told == self.last_seq


@dataclass(frozen=True)
class Verdict:
    """The figures; `passed` does not depend on what the watchman did, which is for information."""

    sent: int
    dispatched_once: int
    steps: int
    steps_told: int
    missing: tuple[str, ...]
    watchman_acted: int
    watchman_acted_with_redis: int

    @property
    def passed(self) -> bool:
        """No alarm was late, doubled or lost, and no step is missing."""
        whole = self.steps == self.steps_told and not self.missing
        return self.sent > 0 and whole and self.dispatched_once == self.sent

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {**vars(self), "passed": self.passed}

    def text(self) -> str:
        """For a person."""
        worked = f"{self.watchman_acted}, {self.watchman_acted_with_redis} of them while Redis ran"
        rows = [
            ("alarms sent", str(self.sent)),
            ("dispatched exactly once", f"{self.dispatched_once} of {self.sent}"),
            ("steps written back", f"{self.steps_told} of {self.steps}"),
            ("lost or late", "; ".join(self.missing) or "none"),
            ("rows the watchman worked", worked),
        ]
        lines = [f"  {name:<26}{value}" for name, value in rows]
        return "\n".join(["Verdict", *lines, "", "PASSED" if self.passed else "FAILED"])


def judge(played: Sequence[Played], watchman_acted: int, watchman_acted_with_redis: int) -> Verdict:
    """Count over all alarms; in a healthy system the watchman works nothing itself."""
    return Verdict(
        sent=len(played),
        dispatched_once=sum(one.dispatched_once for one in played),
        steps=sum(one.last_seq for one in played),
        steps_told=sum(one.steps_told for one in played),
        missing=tuple(one.title for one in played if not (one.ended and one.all_told)),
        watchman_acted=watchman_acted,
        watchman_acted_with_redis=watchman_acted_with_redis,
    )
