"""An accepted alarm is neither lost nor doubled, what was refused is not dispatched, and a cancel is honoured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.history import History, ProviderAlarm, Row
from tests.chaos.ledger import Operation
from tests.chaos.promises.promise import BOTH_WAYS, Violation, promise

LOST = "an accepted alarm has its response, or a person knows"
DOUBLED = "no alarm is dispatched twice unseen"
ACTIONS = ("cancel", "note", "locations", "resend", "drop", "acknowledge")
WAITING = ("received", "holding", "requesting", "unconfirmed", "failed")
# What the timeline, and so the platform, says of a further send, and of one that may have arrived.
SENT_AGAIN = {"resent", "requested_again"}
KNOWN_DOUBT = {"unconfirmed", "resent"}
# What a machine's clock may read between two processes, in seconds.
GRAIN_S = 0.05
# Within this time of the refusal, in seconds, nobody can have been told of it yet.
AT_ONCE_S = 1.0


@promise("what was accepted is on disk")
def on_disk(history: History) -> Iterator[Violation]:
    """ACK means committed (law 1): the incident of each alarm, and a row of the inbox for each action."""
    acted = Counter((row["incident_id"], row["source"]) for row in history.inbox)
    asked: Counter[tuple[str | None, str]] = Counter()
    for operation in history.operations:
        if operation.status == 404:
            yield Violation(f"{operation.kind}: an accepted alarm was not found", operation.incident_id, operation.ref)
        if operation.outcome != "ok":
            continue
        if operation.kind == "alarm":
            row = history.incident_by_id.get(operation.incident_id or "")
            if row is None:
                yield Violation("an accepted alarm has no incident", operation.incident_id, operation.ref)
            elif row["incident_ref"] != operation.ref:
                yield Violation("an alarm was answered with another reference's incident", row["id"], operation.ref)
        elif operation.kind in ACTIONS:
            asked[operation.incident_id, operation.kind] += 1
    for (incident_id, kind), count in asked.items():
        if acted[incident_id, kind] < count:
            yield Violation(f"{count} times {kind} accepted, {acted[incident_id, kind]} on disk", incident_id)


@promise("one event of a sender opens one incident")
def one_incident(history: History) -> Iterator[Violation]:
    """However often it was repeated."""
    opened: dict[tuple[str, str], set[str | None]] = {}
    for operation in history.operations:
        if operation.kind == "alarm" and operation.outcome == "ok":
            key = (operation.ref, str(operation.facts.get("event_id")))
            opened.setdefault(key, set()).add(operation.incident_id)
    for (ref, event_id), incidents in opened.items():
        if len(incidents) > 1:
            yield Violation(f"event {event_id} has {len(incidents)} incidents", ref=ref)


@promise(LOST)
def answered_or_told(history: History) -> Iterator[Violation]:
    """Each incident that dispatches has an alarm at its provider, was called off, or both addresses know."""
    for incident in history.incidents:
        if not incident["services"]:
            continue
        if incident["status"] == "recorded":
            yield _about(incident, "recorded although somebody is to be sent")
        elif not _is_served(history, incident) and not _called_off(history, incident):
            if incident["status"] not in WAITING:
                yield _about(incident, f"{incident['status']} without any response at the provider")
            for way in set(BOTH_WAYS) - _knowing(history, incident):
                yield _about(incident, f"no response, and nobody was ever told at the {way} address")


@promise("a response is what the provider says it is")
def not_imagined(history: History) -> Iterator[Violation]:
    """A leg's id exists there, and was asked for by an incident of that leg."""
    for leg in history.legs:
        if not leg["provider_alarm_id"]:
            continue
        alarm = history.alarm_by_id.get((leg["account_id"], leg["provider_alarm_id"]))
        incident = history.incident_by_id[leg["incident_id"]]
        if alarm is None:
            yield _about(incident, f"the provider has no alarm {leg['provider_alarm_id']}")
        elif alarm.ref is not None and alarm.ref != incident["incident_ref"]:
            yield _about(incident, f"the alarm {alarm.id} was raised for {alarm.ref}")
        elif alarm.site is not None and alarm.site != incident["site_ref"]:
            yield _about(incident, f"the alarm {alarm.id} is at the site {alarm.site}")


@promise(DOUBLED)
def once(history: History) -> Iterator[Violation]:
    """Every alarm at a provider is a leg of ours or an open doubt, and each further one of an incident is shown."""
    doubts = _doubts(history)
    for alarm in history.alarms:
        named = alarm.ref or alarm.site
        if (alarm.provider, alarm.id) in history.leg_by_alarm:
            continue
        if doubts[named] == 0:
            yield Violation(f"{alarm.provider} has the alarm {alarm.id}, and nobody doubts", ref=named)
        doubts[named] -= 1
    for incident_id, alarms in _own_alarms(history).items():
        shown = sum(step["event"] in SENT_AGAIN for step in history.steps.get(incident_id, []))
        if len(alarms) > 1 + shown:
            words = f"{len(alarms)} alarms at the provider, and {shown} are shown as sent again"
            yield _about(history.incident_by_id[incident_id], words)


@promise("what was refused is not dispatched")
def refused(history: History) -> Iterator[Violation]:
    """A 4xx means that nothing was done."""
    taken = {one.ref for one in history.operations if one.kind == "alarm" and one.outcome != "refused"}
    refs = {one.ref for one in history.operations if one.kind == "alarm" and one.outcome == "refused"} - taken
    for incident in history.incidents:
        if incident["incident_ref"] in refs:
            yield _about(incident, "it was refused, and has an incident")
    for alarm in history.alarms:
        if alarm.ref in refs:
            yield Violation(f"it was refused, and {alarm.provider} has {alarm.id}", ref=alarm.ref)


@promise("a cancel is honoured")
def cancelled(history: History) -> Iterator[Violation]:
    """A valid one ends the response or a person knows; nothing is sent after its answer; a wrong one does nothing."""
    for incident in history.incidents:
        wishes = [one for one in history.wishes.get(incident["id"], []) if one.kind == "cancel"]
        valid = [one for one in wishes if one.facts["valid"]]
        if valid:
            yield from _honoured(history, incident, min(valid, key=_answered))
        elif incident["cancel"] == "confirmed" and not _may_have_been_asked(history, incident):
            yield _about(incident, "cancelled, though nobody who may had asked")


def _honoured(history: History, incident: Row, wish: Operation) -> Iterator[Violation]:
    outcome = incident["cancel"]
    told = {(one.kind, one.way) for one in history.told_of.get(incident["id"], [])}
    told |= {(str(one.body["event"]), "platform") for one in history.heard_of.get(incident["id"], [])}
    if outcome is None:
        yield _about(incident, "a valid cancel was accepted and forgotten")
    for way in BOTH_WAYS:
        known = {kind for kind, by in told if by == way}
        excused = way == "escalation" and _was_over_at_once(history, incident)
        if outcome == "refused" and "cancel_refused" not in known and not excused:
            yield _about(incident, f"the provider refused the cancel, and nobody was told at the {way} address")
        # A person who drops it meanwhile has ended all attempts, the look for what was to be cancelled among them.
        if (
            outcome == "requested"
            and incident["status"] != "dropped"
            and not known & {"cancel_unconfirmed", "cancel_impossible"}
        ):
            yield _about(incident, f"the cancel is not confirmed, and nobody was told at the {way} address")
    for leg in history.legs:
        if leg["incident_id"] != incident["id"]:
            continue
        sent = leg["sending_at"]
        if outcome != "refused" and sent is not None and sent.timestamp() > _answered(wish) + GRAIN_S:
            yield _about(incident, f"leg {leg['id']} was sent after the cancel had been accepted")
        alarm = history.alarm_by_id.get((leg["account_id"], leg["provider_alarm_id"]))
        if outcome == "confirmed" and alarm is not None and alarm.live and not _others_need(history, leg, incident):
            yield _about(incident, f"the cancel is confirmed, and {alarm.id} still stands at the provider")


def _was_over_at_once(history: History, incident: Row) -> bool:
    """The response ended with the refusal, so that nobody has to act on it; the platform reads both."""
    steps, ended = history.steps.get(incident["id"], []), incident["ended_at"]
    refused = [step["recorded_at"] for step in steps if step["event"] == "cancel_refused"]
    return bool(refused) and ended is not None and (ended - refused[-1]).total_seconds() < AT_ONCE_S


def _answered(operation: Operation) -> float:
    return operation.answered_at or float("inf")


def _may_have_been_asked(history: History, incident: Row) -> bool:
    return any(
        one.incident_id == incident["id"]
        and (one.kind in ("drop", "close") or (one.kind == "cancel" and one.facts["valid"]))
        for one in history.operations
    )


def _others_need(history: History, leg: Row, incident: Row) -> bool:
    return any(
        link["incident_id"] != incident["id"] and link["left_at"] is None
        for link in history.linked_to.get(leg["id"], [])
    )


def _is_served(history: History, incident: Row) -> bool:
    return any(
        (leg["account_id"], leg["provider_alarm_id"]) in history.alarm_by_id
        for leg in history.legs_of(incident["id"])
        if leg["provider_alarm_id"]
    )


def _knowing(history: History, incident: Row) -> set[str]:
    """The addresses that know of a notice, or of a write-back that says as much."""
    ways = {told.way for told in history.told_of.get(incident["id"], [])}
    said = {heard.body["status"] for heard in history.heard_of.get(incident["id"], [])}
    return ways | ({"platform"} if said & {"unconfirmed", "failed"} else set())


def _called_off(history: History, incident: Row) -> bool:
    """By a valid cancel or by a named person, whether or not the answer reached them."""
    return incident["status"] in ("cancelled", "dropped", "closed") and _may_have_been_asked(history, incident)


def _doubts(history: History) -> Counter[str | None]:
    """By reference, and by site: how many sends may have been taken although no answer said so, and a person knows."""
    found: Counter[str | None] = Counter()
    for attempt in history.attempts:
        lost = attempt["outcome"] in (None, "unknown") or (attempt["http_status"] or 0) >= 500
        if attempt["kind"] != "create" or not lost:
            continue
        incident = history.incident_by_id[attempt["incident_id"]]
        events = {step["event"] for step in history.steps.get(incident["id"], [])}
        if events & KNOWN_DOUBT or incident["possible_double"]:
            found[incident["site_ref"] or incident["incident_ref"]] += 1
    return found


def _own_alarms(history: History) -> dict[str, list[ProviderAlarm]]:
    found: dict[str, list[ProviderAlarm]] = {}
    for leg in history.legs:
        alarm = history.alarm_by_id.get((leg["account_id"], leg["provider_alarm_id"]))
        if alarm is not None:
            found.setdefault(leg["incident_id"], []).append(alarm)
    return found


def _about(incident: Row, words: str) -> Violation:
    return Violation(words, incident["id"], incident["incident_ref"])
