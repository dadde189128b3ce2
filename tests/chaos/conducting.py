"""One run: clients at work, one episode after the other, the way back after each, and quiet at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from random import Random
from threading import Event

from sqlalchemy.exc import SQLAlchemyError

from tests.chaos import casting
from tests.chaos.clients import Client, Voice
from tests.chaos.faults import database
from tests.chaos.faults.all import FAULTS
from tests.chaos.ledger import Ledger, Spell
from tests.chaos.promises.alarms import WAITING
from tests.chaos.rig import Rig
from tests.chaos.schedule import Episode
from tests.chaos.vitals import Vitals

CLIENTS = 4
RECOVERED_WITHIN_S = 90.0
# A probe that is not through by then is followed by a fresh one.
NEXT_PROBE_S = 5.0
LOOK_EVERY_S = 0.2
# What comes and goes by the clock, or waits for as long as its incident lives, is no unrest.
UNREST = """
    SELECT (SELECT count(*) FROM outbox WHERE state = 'pending'
            AND kind NOT IN ('event', 'read', 'stream', 'watch', 'notice', 'escalation', 'poll')
            AND NOT (kind = 'note' AND incident_id IS NOT NULL))
        + (SELECT count(*) FROM inbox WHERE state = 'pending')
        + (SELECT count(*) FROM incident WHERE status IN ('received', 'requesting') AND NOT EXISTS (
            SELECT 1 FROM notice n WHERE n.incident_id = incident.id AND n.ended_at IS NULL))
"""
# A platform that was away for long is written to within minutes, and a poison row dies within two: not here.
HURRY = """
    UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending' AND lease_until IS NULL
        AND (kind IN ('writeback', 'notice', 'escalation') OR incident_id IS NULL)
"""


class Run:
    """What happens to one rig."""

    def __init__(
        self, rig: Rig, ledger: Ledger, seed: int, *, brief: bool, pause_s: float, tell: Callable[[str], None]
    ) -> None:
        """`pause_s` lies between two wishes of a client, on average; `tell` gets lines for a person."""
        self.rig = rig
        self.ledger = ledger
        self.brief = brief
        self.tell = tell
        self.stop = Event()
        self.probes = 0
        database.prepare(rig)
        sites = casting.introduce(rig)
        self.voice = Voice(rig, ledger, self.stop)
        self.clients = [Client(self.voice, f"c{number}", seed, sites, pause_s) for number in range(CLIENTS)]
        self.vitals = Vitals(rig)

    def play(self, episodes: Iterable[Episode], seconds: float, between: Callable[[], None] = lambda: None) -> None:
        """Episodes until the time is over; `between` two of them something may be looked at."""
        ends = time.monotonic() + seconds
        self.vitals.start()
        for client in self.clients:
            client.start()
        for episode in episodes:
            if time.monotonic() > ends:
                break
            self._episode(episode)
            between()

    def _episode(self, episode: Episode) -> None:
        spells: list[Spell] = []
        with ExitStack() as held:
            for name, seed in zip(episode.faults, episode.seeds, strict=True):
                fault = FAULTS[name]
                spell = Spell(name, time.time(), silences=fault.silences)
                self.ledger.spells.append(spell)
                spells.append(spell)
                held.enter_context(fault.begin(self.rig, Random(seed)))
                time.sleep(episode.overlap_s if len(episode.faults) > 1 else 0.0)
            time.sleep(max(FAULTS[name].brief_s if self.brief else FAULTS[name].hold_s for name in episode.faults))
        healed = time.time()
        for spell in spells:
            spell.healed_at = healed
        recovered = self._way_through()
        for spell in spells:
            spell.recovered_at = recovered
            self.ledger.write({"spell": asdict(spell)})
        took = "not recovered" if recovered is None else f"recovered in {recovered - healed:.1f} s"
        self.tell(f"{time.strftime('%H:%M:%S')}  {' + '.join(episode.faults)}: {took}")
        time.sleep(episode.rest_s)

    def _way_through(self) -> float | None:
        """The moment at which a fresh alarm has come from the door to each provider and back to the platform."""
        gives_up = time.monotonic() + RECOVERED_WITHIN_S
        missing: dict[bool, list[str]] = {False: [], True: []}
        through: dict[bool, float] = {}
        next_at = 0.0
        while time.monotonic() < gives_up:
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + NEXT_PROBE_S
                for at_site, refs in missing.items():
                    if at_site not in through:
                        refs.append(self._probe(at_site=at_site))
            for at_site, refs in missing.items():
                if at_site not in through and any(self._arrived(ref) for ref in refs):
                    through[at_site] = time.time()
            if len(through) == len(missing):
                return max(through.values())
            time.sleep(LOOK_EVERY_S)
        return None

    def _probe(self, *, at_site: bool) -> str:
        self.probes += 1
        body = casting.probe(self.probes, at_site=at_site)
        ref: str = body["incident_ref"]
        facts = {"what": body["kind"], "at_site": at_site, "event_id": body["event_id"], "pin": False}
        self.voice.say(self.ledger.invoke("probe", "alarm", ref, **facts), "/v1/alarms", body)
        return ref

    def _arrived(self, ref: str) -> bool:
        # Not over HTTP: the whole mailbox would be written down each time, and the platform stand still meanwhile.
        bodies = (item["body"] for item in self.rig.sandbox.platform.state()["writebacks"]["items"])
        return any(body.get("incident_ref") == ref and body["status"] not in WAITING for body in bodies)

    def settle(self, within_s: float) -> float:
        """Let the clients end and everything come to rest; how many seconds that took."""
        began = time.monotonic()
        self.stop.set()
        for client in self.clients:
            client.join(30)
            if client.error is not None:
                raise client.error
        ends = began + within_s
        while time.monotonic() < ends and not self._quiet():
            time.sleep(0.5)
        for service in (self.rig.sandbox.noonlight, self.rig.sandbox.aura):
            service.player.reset()
        while time.monotonic() < ends and not self._quiet():
            time.sleep(0.5)
        self.vitals.look()
        self.vitals.stop.set()
        self.vitals.join()
        return time.monotonic() - began

    def _quiet(self) -> bool:
        try:
            self.rig.change(HURRY)
            unrest = self.rig.one(UNREST)
        except SQLAlchemyError:
            return False
        return not unrest and not self._undelivered()

    def _undelivered(self) -> bool:
        services = (self.rig.sandbox.noonlight, self.rig.sandbox.aura)
        return any(delivery["state"] == "pending" for one in services for delivery in one.emitter.as_json())
