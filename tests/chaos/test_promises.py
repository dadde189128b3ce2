"""Each promise of the audit is broken here on purpose: a check that cannot fail proves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.history import Emitted, Heard, History, Patience, ProviderAlarm, Told
from tests.chaos.ledger import Operation, Spell
from tests.chaos.promises.alarms import DOUBLED, LOST
from tests.chaos.promises.all import PROMISES, audit
from tests.chaos.vitals import Sample

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
T0 = BEGAN.timestamp()
ON_DISK, ONE = "what was accepted is on disk", "one event of a sender opens one incident"
NAMED = "a response is what the provider says it is"
REFUSED, CANCELLED = "what was refused is not dispatched", "a cancel is honoured"
IN_TIME, WHOLE = "a person is told in time, in two ways", "write-backs are complete, without gaps"
ASIDE = "what was set aside, died or is a stranger's is told once, in two ways"
SIGNED = "what we sign is taken for ours"
ORDER, EVENTS = "write-backs are in order", "each event of a provider is on its timeline, once"
WORSE = "a turn for the worse that cannot be written back is told at the other address"
STUCK, PERSONAL = "nothing is stuck", "nothing personal or secret in Redis or in a log"
CONNECTIONS, GROWTH = "no connection leaks", "no memory and no files leak"


def at(seconds: float) -> datetime:
    """A moment of the story."""
    return BEGAN + timedelta(seconds=seconds)


def row(**values: Any) -> dict[str, Any]:
    """A row of the database."""
    return values


def asked(kind: str = "alarm", **values: Any) -> Operation:
    """An operation that was accepted one second into the story."""
    facts = {"event_id": "ev-r", "valid": True}
    made = Operation(0, "c0", kind, "r", facts, T0, 1, "ok", T0 + 1, 202, "inc_a")
    for name, value in values.items():
        setattr(made, name, value)
    return made


def step(event: str, status: str, seconds: float, **values: Any) -> dict[str, Any]:
    """A row of the timeline."""
    plain = row(leg_id=1, effect=None, detail=None, entry="", source="tocsin")
    return row(incident_id="inc_a", event=event, status=status, recorded_at=at(seconds)) | plain | values


def heard(seq: int, seconds: float, **body: Any) -> Heard:
    """A write-back at the platform."""
    told = {"incident_id": "inc_a", "incident_ref": "r", "seq": seq, "event": "e", "status": "requested"}
    return Heard(T0 + seconds, f"wb_{seq}", told | body)


def told(kind: str, seconds: float, *ways: str) -> tuple[Told, ...]:
    """A notice at both addresses, or at one."""
    return tuple(Told(T0 + seconds, way, kind, "inc_a") for way in ways or ("platform", "escalation"))


def astray(*ways: str) -> tuple[Told, ...]:
    """What is said of a stranger."""
    return tuple(Told(T0, way, "stranger", None, "The provider reported an alarm that is not ours (z)") for way in ways)


LEG = row(
    id=1, incident_id="inc_a", account_id="noonlight", outcome="accepted", provider_alarm_id="x", status="closed",
    epoch=0, sending_at=at(0.5), possible_double=False,
)  # fmt: skip
INCIDENT = row(
    id="inc_a", incident_ref="r", site_ref=None, services=["police"], status="closed", cancel=None, seq=2,
    received_at=at(0), possible_double=False, account_id="noonlight", ended_at=None,
)  # fmt: skip
GOOD = History(
    patience=Patience(told_after_s=10, unconfirmed_after_s=3, slack_s=5),
    now=T0 + 600,
    operations=(asked(),),
    incidents=(INCIDENT,),
    legs=(LEG,),
    links=(row(incident_id="inc_a", leg_id=1, joined=False, left_at=None),),
    timeline=(
        step("received", "received", 0.2, leg_id=None),
        step("requested", "requested", 1.0),
        step("closed", "closed", 5.0, effect="event:e1", detail={"provider_event": "alarm.closed"}),
    ),
    outbox=tuple(
        row(incident_id="inc_a", kind="writeback", state="done", seq=n, urgent=False, worse=False, created_at=at(n))
        for n in (1, 2)
    ),
    alarms=(ProviderAlarm("noonlight", "x", "r", None, live=False),),
    emitted=(Emitted("noonlight", "x", "alarm.closed", "e1", "delivered"),),
    heard=(heard(1, 1.5), heard(2, 2.5)),
)


def broken(history: History) -> set[str]:
    """The promises that do not hold."""
    return {violation.promise for violation in audit(history)}


def unserved(status: str, *steps: dict[str, Any], **values: Any) -> History:
    """A history in which nobody comes."""
    incident = INCIDENT | {"status": status}
    leg = LEG | {"outcome": "unknown", "provider_alarm_id": None}
    timeline = (step("received", "received", 0.2), *steps)
    return replace(GOOD, incidents=(incident,), legs=(leg,), timeline=timeline, alarms=(), emitted=(), **values)


def cancelling(outcome: str | None, *, live: bool = False, **values: Any) -> History:
    """A history with a valid cancel, accepted one second into it."""
    incident = INCIDENT | {"cancel": outcome, "status": "cancelled"}
    alarms = (ProviderAlarm("noonlight", "x", "r", None, live=live),)
    inbox = (row(incident_id="inc_a", source="cancel", subject=None, state="done", received_at=at(1)),)
    wishes = (asked(), asked("cancel"))
    made = replace(GOOD, incidents=(incident,), alarms=alarms, operations=wishes, inbox=inbox)
    return replace(made, **values)


def test_nothing_is_broken_in_a_good_history() -> None:
    """Else every test below proves nothing."""
    assert audit(GOOD) == []
    assert audit(cancelling("confirmed")) == []


def test_every_promise_has_a_history_that_breaks_it() -> None:
    """And a new one does not come without."""
    assert set(PROMISES) == {promise for promise, _ in BROKEN}


def growing(rss: int, files: int) -> tuple[Sample, ...]:
    """A process that grows by so much over ten minutes."""
    return tuple(Sample(T0 + 5 * n, "web", 7, 100_000_000 + rss * n // 120, 50 + files * n // 120) for n in range(121))


SECOND = LEG | {"id": 2, "provider_alarm_id": "y"}
BOTH = (ProviderAlarm("noonlight", "x", "r", None, live=False), ProviderAlarm("noonlight", "y", "r", None, live=True))
ASTRAY = row(
    received_at=at(1), id=8, source="webhook", state="unmatched", subject="z", account_id="noonlight", incident_id=None
)
DEAD = row(
    done_at=at(2),
    id=9,
    incident_id=None,
    kind="note",
    state="dead",
    seq=None,
    urgent=False,
    worse=False,
    created_at=at(1),
)
FAILED = step("failed", "failed", 2.0)
DOUBT, AGAIN = step("unconfirmed", "unconfirmed", 1.5), step("unconfirmed", "unconfirmed", 200.0)
RESENT = step("resent", "requesting", 2.0)
LOST_ANSWER = row(incident_id="inc_a", kind="create", outcome="unknown", http_status=None)
LATE = replace(GOOD, heard=(heard(1, 50.0), heard(2, 51.0)))
BROKEN: list[tuple[str, History]] = [
    (ON_DISK, replace(GOOD, operations=(asked(incident_id="inc_gone"),))),
    (ON_DISK, replace(GOOD, operations=(asked(), asked("note")))),
    (ON_DISK, replace(GOOD, operations=(asked(ref="another"),))),
    (ON_DISK, replace(GOOD, operations=(asked(), asked("note", outcome="refused", status=404)))),
    (ONE, replace(GOOD, operations=(asked(), asked(incident_id="inc_b")))),
    (LOST, unserved("requested")),
    (LOST, unserved("failed", FAILED)),
    (LOST, unserved("failed", FAILED, told=told("failed", 3, "platform"))),
    (LOST, unserved("cancelled")),
    (LOST, replace(GOOD, incidents=(INCIDENT | {"status": "recorded"},))),
    (NAMED, replace(GOOD, alarms=(), emitted=())),
    (NAMED, replace(GOOD, alarms=(ProviderAlarm("noonlight", "x", "another", None, live=False),))),
    (NAMED, replace(GOOD, alarms=(ProviderAlarm("noonlight", "x", None, "elsewhere", live=False),))),
    (DOUBLED, replace(GOOD, alarms=BOTH)),
    (DOUBLED, replace(GOOD, alarms=BOTH, legs=(LEG, SECOND))),
    (DOUBLED, replace(GOOD, alarms=BOTH, attempts=(LOST_ANSWER,))),
    (DOUBLED, replace(GOOD, alarms=BOTH, timeline=(*GOOD.timeline, RESENT))),
    (REFUSED, replace(GOOD, operations=(asked(outcome="refused", incident_id=None),))),
    (REFUSED, replace(GOOD, incidents=(), legs=(), links=(), operations=(asked(outcome="refused"),))),
    (CANCELLED, cancelling(None)),
    (CANCELLED, cancelling("confirmed", live=True)),
    (CANCELLED, cancelling("requested")),
    (CANCELLED, cancelling("refused")),
    (CANCELLED, cancelling("confirmed", legs=(LEG | {"sending_at": at(1.5)},))),
    (CANCELLED, cancelling("confirmed", operations=(asked(), asked("cancel", facts={"valid": False})))),
    (IN_TIME, unserved("failed", FAILED)),
    (IN_TIME, unserved("failed", FAILED, told=told("failed", 3, "platform"))),
    (IN_TIME, unserved("failed", FAILED, told=told("failed", 30))),
    (IN_TIME, unserved("requesting", told=told("not_accepted", 60))),
    (IN_TIME, unserved("failed", DOUBT, FAILED, told=told("unconfirmed", 1.8))),
    (WORSE, replace(LATE, outbox=tuple({**one, "worse": True} for one in GOOD.outbox))),
    (WHOLE, replace(GOOD, heard=(heard(2, 2.5),))),
    (WHOLE, replace(GOOD, heard=(*GOOD.heard, replace(heard(2, 3), id="wb_other")))),
    (WHOLE, replace(GOOD, heard=(*GOOD.heard, heard(3, 3)))),
    (
        ASIDE,
        replace(
            GOOD,
            inbox=(row(received_at=at(1), id=7, source="note", state="set_aside", subject=None, incident_id=None),),
        ),
    ),
    (ASIDE, replace(GOOD, inbox=(ASTRAY,), told=astray("platform"))),
    (ASIDE, replace(GOOD, outbox=(*GOOD.outbox, DEAD))),
    (SIGNED, replace(GOOD, badly_signed=1)),
    (ORDER, replace(GOOD, heard=(heard(2, 2.5), heard(1, 3.5)))),
    (EVENTS, replace(GOOD, timeline=GOOD.timeline[:2])),
    (EVENTS, replace(GOOD, timeline=(*GOOD.timeline, {**GOOD.timeline[2], "incident_id": "inc_b"}))),
    (EVENTS, replace(GOOD, emitted=())),
    (EVENTS, replace(GOOD, forgeries_taken=1)),
    (EVENTS, replace(GOOD, emitted=(*GOOD.emitted, Emitted("noonlight", "z", "alarm.closed", "e2", "delivered")))),
    (STUCK, replace(GOOD, stuck=("('inc_a', 'requesting')",))),
    (PERSONAL, replace(GOOD, texts={"web.log": "called Quintessa"}, words=("Quintessa",))),
    (CONNECTIONS, replace(GOOD, connections={"tocsin-door": 11}, connections_allowed={"tocsin-door": 10})),
    (CONNECTIONS, replace(GOOD, idle_in_transaction=1)),
    (GROWTH, replace(GOOD, samples=growing(90_000_000, 0))),
    (GROWTH, replace(GOOD, samples=growing(0, 90))),
]


@pytest.mark.parametrize(("promise", "history"), BROKEN)
def test_audit_finds_a_broken_promise(promise: str, history: History) -> None:
    """It is named, whatever else is broken with it."""
    assert promise in broken(history)


@pytest.mark.parametrize(
    "history",
    [
        unserved("failed", FAILED, told=told("failed", 3)),
        replace(GOOD, alarms=BOTH, legs=(LEG, SECOND), timeline=(*GOOD.timeline, RESENT)),
        replace(GOOD, alarms=BOTH, attempts=(LOST_ANSWER,), timeline=(*GOOD.timeline, RESENT)),
        replace(GOOD, samples=growing(5_000_000, 5)),
        cancelling("requested", told=told("cancel_unconfirmed", 20)),
        replace(GOOD, inbox=(ASTRAY,), told=astray("platform", "escalation")),
        unserved("unconfirmed", DOUBT, RESENT, AGAIN, told=told("unconfirmed", 2)),
    ],
)
def test_audit_is_content_when_a_person_knows(history: History) -> None:
    """What the design promises is no more than that."""
    assert audit(history) == []


def test_audit_excuses_what_nobody_could_have_told() -> None:
    """While the address was away, and only for that address."""
    away = Spell("away", T0 + 2, T0 + 28, T0 + 28, ("platform", "escalation"))
    assert audit(unserved("failed", FAILED, told=told("failed", 30), spells=(away,))) == []
    half = replace(away, silences=("platform",))
    assert broken(unserved("failed", FAILED, told=told("failed", 30), spells=(half,))) == {IN_TIME}


def test_audit_asks_for_no_call_about_a_response_that_ended_with_the_refusal_of_its_cancel() -> None:
    """The platform reads both; a second later a person has to know of it at the other address as well."""
    words = heard(3, 4.0, event="cancel_refused")
    refused = step("cancel_refused", "requested", 4.0)
    for ended_s, found in ((4.5, set()), (6.0, {CANCELLED})):
        history = cancelling("refused", heard=(*GOOD.heard, words), timeline=(*GOOD.timeline, refused))
        ended = tuple({**one, "ended_at": at(ended_s)} for one in history.incidents)
        assert broken(replace(history, incidents=ended)) & {CANCELLED} == found


def test_audit_lets_an_urgent_or_an_old_write_back_pass() -> None:
    """As the design says of their order."""
    late = replace(GOOD, heard=(heard(2, 2.5), heard(1, 3.5)))
    urgent = replace(late, outbox=tuple({**one, "urgent": True} for one in GOOD.outbox))
    assert audit(urgent) == []
    old = replace(GOOD, heard=(heard(2, 70.0), heard(1, 71.0)))
    assert audit(old) == []
