"""The demo: four alarms over real HTTP, one of them while Redis is stopped, and the judgement on them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.rehearsal_calls import Api, Control, until
from deploy.sandbox.rehearsal_table import timeline_table
from deploy.sandbox.rehearsal_verdict import Played, Verdict, judge

# A system under load is slow, not lost: only after this long is an alarm late. With Redis stopped each of the lanes
# waits for the watchman's patience (3 s).
DONE_WITHIN_S = 30.0
SITE_WITHIN_S = 15.0

ENDED = ("closed", "cancelled")
_STEP_S = 0.3

_HOME: dict[str, Any] = {
    "person": {"name": "Ann Example", "phone": "+1 202 555 0123", "pin": "4711"},
    "location": {"address": {"line1": "1 Main St", "city": "Austin", "state": "TX", "zip": "78701"}},
}
_DEPOT: dict[str, Any] = {
    "name": "Depot 7",
    "address": {"line1": "7 Harbour Road", "city": "Cape Town", "zip": "8001", "country": "ZA"},
    "coordinates": {"lat": -33.9249, "lng": 18.4241},
    "contacts": [{"name": "Guard Example", "phone": "+27 21 555 0100"}],
    "gate_instructions": "Gate B, ask for the guard",
}


@dataclass(frozen=True)
class Ground:
    """The running stack as the rehearsal needs it; the callables are what HTTP does not offer."""

    web: str
    api_key: str = field(repr=False)
    sandbox: dict[str, str]
    panel_key: Callable[[str], str]
    last_seq: Callable[[str], int]
    stop_redis: Callable[[], None]
    start_redis: Callable[[], None]


def rehearse(ground: Ground, tell: Callable[[str], None]) -> Verdict:
    """Play every scene, tell each timeline as it ends, and the verdict last."""
    stage = _Stage(ground)
    played = []
    acted_with_redis = 0
    for scene in (stage.burglary, stage.panic, stage.false_alarm, stage.without_redis):
        if scene == stage.without_redis:
            acted_with_redis = stage.api.watchman_acted()
        played.append(scene())
        tell(timeline_table(played[-1]))
    verdict = judge(played, stage.api.watchman_acted(), acted_with_redis)
    tell(f"\n{verdict.text()}")
    return verdict


class _Stage:
    """The scenes. Each raises its alarm, waits for its end by conditions, and returns what was seen on all sides."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.api = Api(ground.web, ground.api_key)
        self.noonlight = Control(ground.sandbox["noonlight"])
        self.aura = Control(ground.sandbox["aura"])
        self.platform = Control(ground.sandbox["platform"])
        self._run = uuid.uuid4().hex[:6]

    def burglary(self) -> Played:
        """A US home: the public-safety answering point is contacted twice, then the alarm is closed."""
        self._play_at_noonlight("alarm.psap_contacted", "alarm.psap_contacted", "alarm.closed")
        reference = self._reference("burglary")
        incident_id = self.api.raise_alarm(
            {"incident_ref": reference, "kind": "burglary", "zone": "Back door"} | self._home()
        )
        steps = ("requested", "authorities_contacted", "authorities_contacted", "closed")
        return self._seen("A burglary at a US home", incident_id, reference, "noonlight", steps)

    def panic(self) -> Played:
        """A guarded site: saved first, then its own panel raises the alarm with a key that can do nothing else."""
        site_ref = f"depot 7/{self._run}"
        self.api.put_site(site_ref, {"provider": "aura", **_DEPOT})
        until("the site is known to the provider", lambda: self.api.site_is_synced(site_ref), SITE_WITHIN_S)
        self.aura.post("/_script", {"match": {"externalReferenceId": site_ref}, "steps": _response_steps()})
        reference = self._reference("panic")
        panel = Api(self.ground.web, self.ground.panel_key(site_ref))
        incident_id = panel.raise_alarm({"incident_ref": reference, "kind": "panic", "triggered_by": "person"})
        steps = ("requested", "dispatched", "acknowledged", "on_scene", "completed", "closed")
        return self._seen("A panic at a guarded site, raised by its panel", incident_id, reference, "aura", steps)

    def false_alarm(self) -> Played:
        """A false alarm: the operator cancels with the PIN of the person whom he reached."""
        self._play_at_noonlight()
        reference = self._reference("false-alarm")
        incident_id = self.api.raise_alarm({"incident_ref": reference, "kind": "burglary"} | self._home())
        until("the alarm is requested", lambda: self.api.status(incident_id) == "requested", DONE_WITHIN_S)
        body = {"reason": "false_alarm", "pin": _HOME["person"]["pin"], "by": "Operator 12"}
        self.api.cancel(incident_id, body)
        steps = ("requested", "cancel_requested", "cancelled")
        return self._seen("A false alarm, cancelled by the operator", incident_id, reference, "noonlight", steps)

    def without_redis(self) -> Played:
        """A fire while Redis is stopped; it starts again once the first answer is back at the platform."""
        self._play_at_noonlight("alarm.psap_contacted", "alarm.closed")
        reference = self._reference("no-redis")
        self.ground.stop_redis()
        try:
            incident_id = self.api.raise_alarm({"incident_ref": reference, "kind": "fire"} | self._home())
            until(
                "the platform knows of the response, without Redis",
                lambda: any(body["event"] == "requested" for body in self._writebacks(reference)),
                DONE_WITHIN_S,
            )
        finally:
            self.ground.start_redis()
        steps = ("requested", "authorities_contacted", "closed")
        return self._seen("A fire while Redis is stopped", incident_id, reference, "noonlight", steps)

    def _play_at_noonlight(self, *events: str) -> None:
        steps = [{"event": event, "after_s": _STEP_S} for event in events]
        self.noonlight.post("/_script", {"steps": steps})

    def _reference(self, name: str) -> str:
        return f"demo-{self._run}-{name}"

    def _home(self) -> dict[str, Any]:
        return {"provider": "noonlight", **_HOME}

    def _writebacks(self, reference: str) -> list[dict[str, Any]]:
        """The steps that the platform was told, with the moment of arrival; notices to persons have no `seq`."""
        found = self.platform.get("/_writebacks", incident_ref=reference)["items"]
        return [item["body"] | {"arrived_at": item["at"]} for item in found if "seq" in item["body"]]

    def _seen(self, title: str, incident_id: str, reference: str, provider: str, steps: tuple[str, ...]) -> Played:
        """Wait until the incident has ended and every step was written back; a limit that passes is not an error here.

        What is missing then is for the verdict to say.
        """
        until(title, lambda: self._is_over(incident_id, reference), DONE_WITHIN_S, fail=False)
        control = self.noonlight if provider == "noonlight" else self.aura
        return Played(
            title=title,
            reference=reference,
            incident=self.api.incident(incident_id),
            provider=provider,
            expected=steps,
            last_seq=self.ground.last_seq(incident_id),
            writebacks=self._writebacks(reference),
            requests=_requests(control.get("/_log"), provider, reference, self._run),
        )

    def _is_over(self, incident_id: str, reference: str) -> bool:
        if self.api.status(incident_id) not in ENDED:
            return False
        told = {body["seq"] for body in self._writebacks(reference)}
        return told == set(range(1, self.ground.last_seq(incident_id) + 1))


def _response_steps() -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [
        {"event": "RESPONDER_MANUALLY_DISPATCHED"},
        {"event": "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA", "eta": 420},
        {"event": "RESPONDER_ARRIVED_ON_SCENE"},
        {"event": "RESPONDER_COMPLETED"},
        {"event": "CALLOUT_CLOSED"},
    ]
    return [{**event, "after_s": _STEP_S} for event in events]


def _requests(log: list[dict[str, Any]], provider: str, reference: str, run: str) -> dict[str, list[float]]:
    """When the provider received what for this alarm (epoch seconds): its creates and its cancels.

    A create is recognised by our reference in its text, or by its site; a cancel belongs to the demo's only one.
    """
    if provider == "aura":
        creates = [e for e in log if e["method"] == "POST" and "/externalRef/" in e["path"] and run in e["path"]]
        cancels = [e for e in log if e["path"].endswith("/cancel")]
    else:
        creates = [e for e in log if e["path"] == "/dispatch/v1/alarms" and reference in e["body"]]
        cancels = [e for e in log if e["method"] == "POST" and e["path"].endswith("/status")]
    return {"create": [entry["time"] for entry in creates], "cancel": [entry["time"] for entry in cancels]}
