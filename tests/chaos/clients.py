"""Integrators and operators at work: each says one thing at a time, and repeats it until it is answered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests
from sqlalchemy.exc import SQLAlchemyError

from tests.chaos import casting
from tests.chaos.ledger import Ledger, Operation
from tests.chaos.rig import Rig

TIMEOUT_S = 12.0
# A wish that is not answered for this long is given up as unknown.
GIVE_UP_S = 180.0
REMEMBERED = 40
ASKED_FOR = """
    SELECT id, incident_ref FROM incident WHERE status IN ('unconfirmed', 'failed') AND acknowledged_by IS NULL
        AND received_at < now() - interval '25 seconds' ORDER BY id
"""


@dataclass
class Voice:
    """What a client needs to speak: the door's address, a key, and the ledger."""

    rig: Rig
    ledger: Ledger
    stop: threading.Event

    def say(self, operation: Operation, path: str, body: Any, *, key: str | None = None) -> dict[str, Any] | None:
        """Post until it is answered with a 2xx or a 4xx; the answer's body when it was taken."""
        gives_up = time.monotonic() + GIVE_UP_S
        while True:
            operation.tries += 1
            answer = self._post(path, body, key)
            status = None if answer is None else answer.status_code
            if answer is not None and answer.ok:
                taken: dict[str, Any] = answer.json()
                operation.incident_id = taken.get("incident_id", operation.incident_id)
                operation.repeat = taken.get("repeat")
                self.ledger.answer(operation, "ok", status)
                return taken
            if status is not None and 400 <= status < 500:
                # A try before this one may have been taken although its answer was lost.
                self.ledger.answer(operation, "refused" if operation.tries == 1 else "unknown", status)
                return None
            if time.monotonic() > gives_up or self.stop.is_set():
                self.ledger.answer(operation, "unknown", status)
                return None
            wait = 0.5 if answer is None else min(float(answer.headers.get("Retry-After", "1")), 2.0)
            self.stop.wait(wait)

    def _post(self, path: str, body: Any, key: str | None) -> requests.Response | None:
        headers = {"Authorization": f"Bearer {key or self.rig.key}"}
        try:
            return requests.post(f"{self.rig.url}{path}", json=body, headers=headers, timeout=TIMEOUT_S)
        except requests.RequestException:
            return None


@dataclass
class _Known:
    """An incident that this client raised."""

    ref: str
    incident_id: str
    body: dict[str, Any] = field(repr=False)


class Client(threading.Thread):
    """One of several at once; its dice decide what it does."""

    def __init__(self, voice: Voice, name: str, seed: int, sites: list[str], pause_s: float) -> None:
        """`pause_s` lies between two wishes, on average."""
        super().__init__(name=name, daemon=True)
        self.voice = voice
        self.dice = Random(f"{seed}:{name}")
        self.sites = sites
        self.pause_s = pause_s
        self.known: list[_Known] = []
        self.count = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Until it is told to stop; an error of its own is kept for whoever joins it."""
        try:
            self._act_on()
        except Exception as error:  # noqa: BLE001 - raised by `Run.settle`
            self.error = error

    def _act_on(self) -> None:
        acts = {self.raise_alarm: 46, self.race: 6, self.repeat: 9, self.cancel: 14, self.note: 6, self.move: 5}
        acts |= {self.blunder: 4, self.decide: 6}
        while not self.voice.stop.wait(self.dice.random() * 2 * self.pause_s):
            self.dice.choices(list(acts), list(acts.values()))[0]()

    # -- what it does ----------------------------------------------------------------------------------------------

    def raise_alarm(self) -> None:
        """A new one; sometimes it is cancelled at once."""
        self.count += 1
        ref = f"{self.name}-{self.count}"
        body = casting.alarm(self.dice, ref, self.sites)
        known = self._alarm(ref, body)
        if known is not None and self.dice.random() < 0.12:
            self._cancel(known)

    def race(self) -> None:
        """The same alarm by two ways at once, and another of its reference with it."""
        self.count += 1
        ref = f"{self.name}-{self.count}"
        body = casting.alarm(self.dice, ref, self.sites)
        bodies = [body, body, body | {"event_id": f"ev-other-{ref}", "zone": "7"}]
        self.dice.shuffle(bodies)
        racing = [threading.Thread(target=self._alarm, args=(ref, one)) for one in bodies]
        for one in racing:
            one.start()
        for one in racing:
            one.join()

    def repeat(self) -> None:
        """The same again, the same under a new event id, or something worse under the same reference."""
        known = self._one()
        if known is None:
            return
        self.count += 1
        changes = self.dice.choice(({}, {"event_id": f"ev-again-{self.name}-{self.count}"}, {"kind": "panic"}))
        if "kind" in changes:
            changes = changes | {"event_id": f"ev-worse-{self.name}-{self.count}"}
        self._alarm(known.ref, known.body | changes)

    def cancel(self) -> None:
        """One of its own."""
        known = self._one()
        if known is not None:
            self._cancel(known)

    def note(self) -> None:
        """A word for the responders; refused where nobody takes any."""
        known = self._one()
        if known is not None:
            path = f"/v1/incidents/{known.incident_id}/notes"
            self._act("note", known, path, {"text": casting.NOTE, "by": "Ann"})

    def move(self) -> None:
        """A new position of somebody who moves."""
        moving = [known for known in self.known if "coordinates" in known.body.get("location", {})]
        if moving:
            known = self.dice.choice(moving)
            body = casting.position(self.dice)
            self._act("locations", known, f"/v1/incidents/{known.incident_id}/locations", body)

    def blunder(self) -> None:
        """Something that must be refused."""
        self.count += 1
        ref = f"{self.name}-bad-{self.count}"
        body, right_key = casting.bad(self.dice, ref)
        operation = self.voice.ledger.invoke(self.name, "alarm", ref, bad=True)
        self.voice.say(operation, "/v1/alarms", body, key=None if right_key else "tcs_wrong")

    def decide(self) -> None:
        """A person acts where a person is asked for."""
        try:
            asked = self.voice.rig.rows(ASKED_FOR)
        except SQLAlchemyError:  # the audit's own way to Postgres is cut as well
            return
        mine = [row for row in asked if row.incident_ref.startswith(f"{self.name}-")]
        if not mine:
            return
        row = self.dice.choice(mine)
        act, body = self.dice.choice(
            (
                ("resend", {"by": "Ann"}),
                ("drop", {"by": "Ann", "reason": "seen by a neighbour"}),
                ("acknowledge", {"by": "Ann"}),
            )
        )
        operation = self.voice.ledger.invoke(self.name, act, row.incident_ref, row.id)
        self.voice.say(operation, f"/v1/incidents/{row.id}/{act}", body)

    # -- how it says it --------------------------------------------------------------------------------------------

    def _one(self) -> _Known | None:
        return self.dice.choice(self.known) if self.known else None

    def _alarm(self, ref: str, body: dict[str, Any]) -> _Known | None:
        facts = {
            "what": body["kind"],
            "at_site": "site_ref" in body,
            "event_id": body["event_id"],
            "pin": "pin" in body.get("person", {}),
        }
        operation = self.voice.ledger.invoke(self.name, "alarm", ref, **facts)
        taken = self.voice.say(operation, "/v1/alarms", body)
        if taken is None:
            return None
        known = _Known(ref, taken["incident_id"], body)
        self.known = [*self.known, known][-REMEMBERED:]
        return known

    def _cancel(self, known: _Known) -> None:
        carries = "pin" in known.body.get("person", {})
        given = self.dice.choice((None, casting.PIN, casting.WRONG_PIN)) if carries else None
        body = {"reason": "resolved", "by": "Ann"} | ({"pin": given} if given else {})
        valid = given in (None, casting.PIN)
        self._act("cancel", known, f"/v1/incidents/{known.incident_id}/cancel", body, valid=valid)

    def _act(self, kind: str, known: _Known, path: str, body: dict[str, Any], **facts: Any) -> None:
        operation = self.voice.ledger.invoke(self.name, kind, known.ref, known.incident_id, **facts)
        self.voice.say(operation, path, body)
