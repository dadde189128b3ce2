"""Nobody is left in the dark: people are told in time, write-backs are whole, and events appear once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from shared.domain.retry import ESCALATION_SCHEDULE_S
from tests.chaos.history import Emitted, Heard, History, Row
from tests.chaos.promises.alarms import GRAIN_S, WAITING
from tests.chaos.promises.promise import BOTH_WAYS, Violation, promise

BAD = ("unconfirmed", "failed")
# A write-back waits for its predecessor so long at most (design, section 6).
ORDER_S = 60.0
# By then a stranger was given up, and whoever must know of it was told.
TOLD_BY_S = 60.0


@promise("a person is told in time, in two ways")
def told_in_time(history: History) -> Iterator[Violation]:
    """Of an alarm that nobody has accepted, and of one that is unconfirmed or failed (law 13)."""
    for incident in history.incidents:
        if not incident["services"] or _silenced(history, incident):
            continue
        for due in _dues(history, incident):
            for way in BOTH_WAYS:
                yield from _late(history, incident, way, due)


@dataclass(frozen=True)
class Due:
    """What a person must be told by a moment. It counts from `since` on (an open notice is not opened anew), and only
    while it is not cleared. All in epoch seconds.
    """

    what: str
    at: float
    since: float
    cleared_at: float


def _dues(history: History, incident: Row) -> Iterator[Due]:
    steps = history.steps.get(incident["id"], [])
    received = incident["received_at"].timestamp()
    accepted = next((step for step in steps if step["status"] not in WAITING), None)
    until = history.now if accepted is None else accepted["recorded_at"].timestamp()
    yield Due("not accepted", received + history.patience.told_after_s, received, until)
    since = received
    for index, step in enumerate(steps):
        at = step["recorded_at"].timestamp()
        if step["status"] not in WAITING:
            since = at
        if step["event"] in BAD:
            after = (one for one in steps[index:] if one["status"] not in BAD)
            cleared = next((one["recorded_at"].timestamp() for one in after), history.now)
            yield Due(step["event"], at, since, cleared)


def _late(history: History, incident: Row, way: str, due: Due) -> Iterator[Violation]:
    heard = [
        told.at
        for told in history.told_of.get(incident["id"], [])
        if told.way == way and told.at >= _counts_from(due, told.kind)
    ]
    if way == "platform":
        heard += [
            one.at
            for one in history.heard_of.get(incident["id"], [])
            if one.body["status"] in BAD and one.at >= _counts_from(due, one.body["status"])
        ]
    known = min(heard, default=history.now)
    waited = min(known, due.cleared_at) - due.at
    silence = history.silence_s(way, due.at, due.at + max(waited, 0.0))
    # An address that was away is tried again after a pause.
    allowed = history.patience.slack_s + (ESCALATION_SCHEDULE_S[-1] if silence else 0.0)
    waited -= silence
    if waited > allowed:
        words = f"{due.what}: the {way} address was told {waited:.1f} s late"
        yield Violation(words, incident["id"], incident["incident_ref"])


def _counts_from(due: Due, kind: str) -> float:
    """From when on a telling of this kind counts: a failure is news also to who knows of a doubt."""
    return due.at - GRAIN_S if due.what == "failed" and kind != "failed" else due.since


@promise("a turn for the worse that cannot be written back is told at the other address")
def worse_told(history: History) -> Iterator[Violation]:
    """Within the time in which an alarm must be accepted (law 13)."""
    arrived = {(one.body["incident_id"], one.body["seq"]): one.at for one in history.heard}
    for row in history.outbox:
        incident = history.incident_by_id.get(row["incident_id"])
        if row["kind"] != "writeback" or not row["worse"] or incident is None or _silenced(history, incident):
            continue
        due = row["created_at"].timestamp() + history.patience.told_after_s
        known = [
            told.at
            for told in history.told_of.get(incident["id"], [])
            if told.way == "escalation" and told.at >= due - history.patience.told_after_s
        ]
        waited = min([arrived.get((incident["id"], row["seq"]), history.now), *known]) - due
        waited -= history.silence_s("escalation", due, due + max(waited, 0.0))
        if waited > history.patience.slack_s:
            words = f"write-back {row['seq']} lay for long, and the escalation address was told {waited:.1f} s late"
            yield Violation(words, incident["id"], incident["incident_ref"])


@promise("what was set aside, died or is a stranger's is told once, in two ways")
def set_aside_told(history: History) -> Iterator[Violation]:
    """However it ended: somebody must look at it (law 13). A notice that a person silenced counts as told."""
    silenced = {row["subject"] for row in history.notices if row["acknowledged_at"] is not None}
    said: dict[str, list[str]] = {way: [] for way in BOTH_WAYS}
    for told in history.told:
        said[told.way].append(told.text)
    for subject, words in _to_be_told(history):
        for way in BOTH_WAYS:
            if subject not in silenced and not any(words in text for text in said[way]):
                yield Violation(f"{subject} ({words}) was not told at the {way} address")


def _to_be_told(history: History) -> Iterator[tuple[str, str]]:
    """Subjects of notices, and words that each of them carries. What came just now may not have been told yet."""
    before = history.now - TOLD_BY_S
    for row in history.inbox:
        if row["received_at"].timestamp() > before:
            continue
        if row["state"] == "set_aside":
            yield f"inbox:{row['id']}", f"(row {row['id']},"
        elif row["state"] == "unmatched" and row["subject"]:
            yield f"stranger:{row['account_id']}:{row['subject']}", f"({row['subject']})"
    for row in history.outbox:
        died = row["state"] == "dead" and row["kind"] not in ("notice", "escalation")
        if died and row["done_at"].timestamp() <= before:
            yield f"outbox:{row['id']}", f"A {row['kind']} is dead: "


def _silenced(history: History, incident: Row) -> bool:
    """By a person, who may do that."""
    return any(wish.kind in ("acknowledge", "drop") for wish in history.wishes.get(incident["id"], []))


@promise("write-backs are complete, without gaps")
def whole(history: History) -> Iterator[Violation]:
    """Each `seq` of each incident arrived, as one message."""
    for incident in history.incidents:
        ids: dict[int, set[str]] = {}
        for heard in history.heard_of.get(incident["id"], []):
            ids.setdefault(heard.body["seq"], set()).add(heard.id)
        missing = sorted(set(range(1, incident["seq"] + 1)) - set(ids))
        doubled = sorted(seq for seq, messages in ids.items() if len(messages) > 1)
        strange = sorted(seq for seq in ids if seq > incident["seq"])
        for what, found in (("missing", missing), ("two messages of", doubled), ("more than we know", strange)):
            if found:
                yield Violation(f"write-backs: {what} {found}", incident["id"], incident["incident_ref"])


@promise("what we sign is taken for ours")
def signed(history: History) -> Iterator[Violation]:
    """Also by a machine whose clock is off: the scheme refuses what was signed minutes ago, or ahead."""
    if history.badly_signed:
        yield Violation(f"{history.badly_signed} messages were refused for their signature")


@promise("write-backs are in order")
def in_order(history: History) -> Iterator[Violation]:
    """A later one passes only when it is urgent or has waited for a minute."""
    rows = {(row["incident_id"], row["seq"]): row for row in history.outbox if row["kind"] == "writeback"}
    for incident_id, heard in history.heard_of.items():
        highest: Heard | None = None
        for one in heard:
            if highest is not None and one.body["seq"] < highest.body["seq"]:
                row = rows.get((incident_id, highest.body["seq"]))
                if row is not None and not _may_pass(row, highest.at):
                    words = f"write-back {highest.body['seq']} arrived before {one.body['seq']}"
                    yield Violation(words, incident_id, one.body["incident_ref"])
            if highest is None or one.body["seq"] > highest.body["seq"]:
                highest = one


def _may_pass(row: Row, at: float) -> bool:
    return bool(row["urgent"]) or at - row["created_at"].timestamp() >= ORDER_S - 1.0


@promise("each event of a provider is on its timeline, once")
def events_once(history: History) -> Iterator[Violation]:
    """What was delivered is there, once; what nobody sent is not."""
    if history.forgeries_taken:
        yield Violation(f"{history.forgeries_taken} forged webhooks were taken")
    by_id = Counter(step["effect"] for step in history.timeline if step["effect"])
    by_name = Counter((step["leg_id"], _name(step)) for step in history.timeline if _name(step))
    aside = {row["subject"] for row in history.inbox if row["source"] == "webhook" and row["state"] == "set_aside"}
    for event in {one for one in history.emitted if one.state == "delivered"}:
        leg = history.leg_by_alarm.get((event.provider, event.alarm))
        if leg is None:
            yield from _kept_as_stranger(history, event)
            continue
        count = by_id[f"event:{event.event_id}"] if event.event_id else by_name[leg["id"], event.event]
        incident = history.incident_by_id[leg["incident_id"]]
        if count == 0 and event.alarm not in aside:
            yield Violation(f"{event.event} is on no timeline", incident["id"], incident["incident_ref"])
        if event.event_id and count > 1:
            yield Violation(f"{event.event} is on {count} timelines", incident["id"], incident["incident_ref"])
    yield from _told_twice(history)
    yield from _invented(history)


def _kept_as_stranger(history: History, event: Emitted) -> Iterator[Violation]:
    if not any(row["subject"] == event.alarm for row in history.inbox):
        yield Violation(f"{event.event} of the unknown alarm {event.alarm} was not kept")


def _told_twice(history: History) -> Iterator[Violation]:
    seen = Counter((step["incident_id"], step["leg_id"], _name(step)) for step in history.timeline if _name(step))
    for (incident_id, leg_id, name), count in seen.items():
        leg = history.leg_by_id.get(leg_id)
        with_id = leg is not None and leg["account_id"] == "noonlight"
        if leg is not None and not with_id and count > leg["epoch"] + 1:
            yield Violation(f"{name} stands {count} times on one timeline", incident_id)


def _invented(history: History) -> Iterator[Violation]:
    sent = {(one.provider, one.alarm, one.event) for one in history.emitted}
    for step in history.timeline:
        leg = history.leg_by_id.get(step["leg_id"])
        if _name(step) and leg is not None:
            said = (leg["account_id"], leg["provider_alarm_id"], _name(step))
            if said not in sent:
                yield Violation(f"{said[2]} was never sent by the provider", step["incident_id"])


def _name(step: Row) -> str | None:
    """The name of the webhook that a step tells of; None for what was read, and for our own steps."""
    if ":read:" in (step["effect"] or "") or step["event"] == "responder_replaced":
        return None
    return (step["detail"] or {}).get("provider_event")
