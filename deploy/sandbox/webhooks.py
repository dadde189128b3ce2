"""Deliveries to the adapter's hooks: retried with exponential backoff until a 2xx, or misbehaving by mode.

In `normal` the deliveries of one alarm go out one after the other, though a failed one may be overtaken, as
with any sender. `reorder` holds what comes within `delay_s` (0.5 s by default) and lets it go in another
order.
"""

from __future__ import annotations

import bisect
import itertools
import random
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import requests

MODES = ("normal", "off", "early", "duplicate", "reorder", "delay")
_TIMEOUT_S = 10.0
_BACKOFF_CAP_S = 30.0
_REORDER_WINDOW_S = 0.5
_THREADS = 8


@dataclass(eq=False)
class Delivery:
    """One body on its way to one address; `answers` holds a status or the name of an error for each try."""

    url: str
    body: bytes
    headers: dict[str, str]
    alarm: str
    event: str
    lane: str
    at: float
    state: str = "pending"
    answers: list[int | str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def as_json(self) -> dict[str, Any]:
        names = ("alarm", "event", "state", "at", "answers")
        return {**{name: getattr(self, name) for name in names}, "body": self.body.decode()}


class Emitter:
    """A small pool of senders over one list of pending deliveries, ordered by when they fall due."""

    def __init__(self, backoff_s: float) -> None:
        self._backoff_s = backoff_s
        self._random = random.Random(20261121)  # noqa: S311 - the same shuffles in every run
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._stopped = False
        self._senders: list[threading.Thread] = []
        self.reset()

    def reset(self) -> None:
        """Forget every delivery and go back to `normal`; one that is in flight is not tried again."""
        with self._wake:
            self.mode = "normal"
            self.delay_s = 0.0
            self._pending: list[tuple[float, int, Delivery]] = []
            self._held: list[Delivery] = []
            self._release_at = 0.0
            self._busy: set[str] = set()
            self._history: dict[Delivery, None] = {}

    def start(self) -> None:
        self._senders = [threading.Thread(target=self._send_forever, daemon=True) for _ in range(_THREADS)]
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify_all()

    def emit(self, url: str | None, body: bytes, headers: dict[str, str], alarm: str, event: str) -> Delivery:
        """Queue one webhook as the mode says; without an address, or when `off`, it is only recorded."""
        with self._wake:
            delivery = Delivery(url or "", body, headers, alarm, event, lane=alarm, at=time.time())
            self._history[delivery] = None
            if not url or self.mode == "off":
                delivery.state = "off" if url else "no address"
                delivery.done.set()
                return delivery
            now = time.monotonic()
            if self.mode == "reorder":
                if not self._held:
                    self._release_at = now + (self.delay_s or _REORDER_WINDOW_S)
                self._held.append(delivery)
            else:
                self._push(delivery, now + (self.delay_s if self.mode == "delay" else 0.0))
            if self.mode == "duplicate":
                # A lane of its own: the two copies race, as they do in life.
                again = replace(delivery, lane=f"{alarm} again", answers=[], done=threading.Event())
                self._history[again] = None
                self._push(again, now)
            self._wake.notify_all()
            return delivery

    def as_json(self) -> list[dict[str, Any]]:
        with self._wake:
            return [delivery.as_json() for delivery in self._history]

    def _push(self, delivery: Delivery, due: float) -> None:
        bisect.insort(self._pending, (due, next(self._order), delivery))

    def _release_held(self, now: float) -> None:
        if not self._held or now < self._release_at:
            return
        shuffled = self._held[:]
        self._random.shuffle(shuffled)
        if shuffled == self._held:
            shuffled.reverse()
        self._held = []
        for delivery in shuffled:
            self._push(delivery, now)

    def _take(self) -> Delivery | None:
        """Wait for a delivery that is due and whose lane is free; None when the service stops."""
        with self._wake:
            while not self._stopped:
                now = time.monotonic()
                self._release_held(now)
                waits = [self._release_at - now] if self._held else []
                for index, (due, _, delivery) in enumerate(self._pending):
                    if due > now:
                        waits.append(due - now)
                        break
                    if delivery.lane not in self._busy:
                        del self._pending[index]
                        self._busy.add(delivery.lane)
                        return delivery
                self._wake.wait(min(waits) if waits else None)
            return None

    def _send_forever(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (delivery := self._take()) is not None:
                delivery.answers.append(_post(session, delivery))
                self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        with self._wake:
            self._busy.discard(delivery.lane)
            answer = delivery.answers[-1]
            if isinstance(answer, int) and 200 <= answer < 300:
                delivery.state = "delivered"
                delivery.done.set()
            elif delivery in self._history:
                tries = len(delivery.answers)
                pause = min(self._backoff_s * 2 ** min(tries - 1, 16), _BACKOFF_CAP_S)
                self._push(delivery, time.monotonic() + pause)
            self._wake.notify_all()


def _post(session: requests.Session, delivery: Delivery) -> int | str:
    headers = {"Content-Type": "application/json", **delivery.headers}
    try:
        with session.post(
            delivery.url, data=delivery.body, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
        ) as answer:
            return answer.status_code
    except requests.RequestException as error:
        return type(error).__name__
