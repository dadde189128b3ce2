"""How much one key and one address may read, and how often an address may fail to authenticate (ADR 8).

Nothing that matters is ever refused for its number: alarms, cancels, other changes and webhooks are always looked up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from flask import request

from shared.settings import Settings
from webhooks_app.errors import TOO_MANY, Problem

MOST_SUBJECTS = 10_000
_MINUTE_S = 60.0


class Buckets:
    """A token bucket per subject, of a minute's worth; all that is kept is when it will be full again."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute` tokens flow in each minute; 0: there is no limit. `clock` counts seconds."""
        self._step = _MINUTE_S / per_minute if per_minute else 0.0
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, subject: str) -> float:
        """Take a token: 0 when there was one, else nothing is taken and this many seconds must pass."""
        with self._lock:
            now, wait = self._look(subject)
            if wait == 0.0 and self._step:
                if len(self._full_at) >= MOST_SUBJECTS:
                    self._forget(now)
                self._full_at[subject] = max(now, self._full_at.get(subject, now)) + self._step
            return wait

    def wait(self, subject: str) -> float:
        """How many seconds must pass until there is a token; 0: there is one."""
        with self._lock:
            return self._look(subject)[1]

    def _look(self, subject: str) -> tuple[float, float]:
        now = self._clock()
        return now, max(0.0, self._full_at.get(subject, now) + self._step - now - _MINUTE_S)

    def _forget(self, now: float) -> None:
        """Full buckets are not remembered; if all of them are in use, everybody starts anew."""
        self._full_at = {subject: at for subject, at in self._full_at.items() if at > now}
        if len(self._full_at) >= MOST_SUBJECTS:
            self._full_at = {}


@dataclass
class Limits:
    """The buckets of one process."""

    key_reads: Buckets = field(repr=False)
    address_reads: Buckets = field(repr=False)
    address_failures: Buckets = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """As the settings say."""
        return cls(
            Buckets(settings.key_reads_per_minute),
            Buckets(settings.address_reads_per_minute),
            Buckets(settings.address_failures_per_minute),
        )


def address() -> str:
    """Whose request it is, as far as the network says; of an IPv6 address the /64, which is one customer's."""
    text = (request.remote_addr or "").strip("[]")
    try:
        found = ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)


def too_many(wait_s: float, what: str) -> Problem:
    """The refusal: when to come again."""
    return Problem(TOO_MANY, f"Too many {what}.", headers={"Retry-After": str(max(1, math.ceil(wait_s)))})
