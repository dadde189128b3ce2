"""The table of progress, repeats and cancels as properties: whatever the order and however often."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cancelling import Wish, refusal
from shared.domain.kinds import RULES, Kind
from shared.domain.lifecycle import BEFORE_ARRIVAL, ENDED, RANK, Status, ended, moves_forward
from shared.domain.repeats import Known, Posted, Repeat, judge

PROGRESS = st.sampled_from(sorted(RANK))
KINDS = st.sampled_from(list(Kind))


def _walk(events: Sequence[Status]) -> list[Status]:
    """The badges that a leg shows, in order."""
    badges: list[Status] = []
    for event in events:
        if moves_forward(badges[-1] if badges else None, event):
            badges.append(event)
    return badges


@given(st.lists(PROGRESS, min_size=1))
def test_leg_ends_furthest_along_when_events_come_in_any_order(events: list[Status]) -> None:
    """With any repetition; no badge is shown twice, none goes back."""
    badges = _walk(events)

    assert badges[-1] is max(events, key=lambda status: RANK[status])
    ranks = [RANK[badge] for badge in badges]
    assert ranks == sorted(set(ranks))


@given(st.data(), st.lists(PROGRESS, min_size=1))
def test_leg_ends_alike_when_events_are_shuffled_and_doubled(data: st.DataObject, events: list[Status]) -> None:
    """Two deliveries of the same news agree at the end."""
    again = data.draw(st.permutations(events + events))

    assert _walk(events)[-1] is _walk(again)[-1]


@given(st.lists(PROGRESS))
def test_closed_is_final_when_anything_follows(events: list[Status]) -> None:
    """Nothing moves a closed leg."""
    assert _walk([Status.CLOSED, *events]) == [Status.CLOSED]


def test_tables_cover_every_status() -> None:
    """What is before arrival has a rank; what has ended is over for repeats."""
    assert set(RANK) >= BEFORE_ARRIVAL
    assert {status for status in Status if ended(status)} == ENDED
    assert not BEFORE_ARRIVAL & ENDED


def _posted(kind: Kind, *, test: bool = False, seen_age_s: float | None = None) -> Posted:
    return Posted(kind, test, RULES[kind].services, False, False, seen_age_s)


@given(KINDS, KINDS, st.sampled_from(sorted(ENDED)), st.booleans())
def test_new_alarm_is_a_successor_when_its_reference_has_ended(
    former: Kind, kind: Kind, status: Status, test: bool
) -> None:
    """Never folded into what is over."""
    known = Known(former, status, test, RULES[former].services)

    assert judge(known, _posted(kind)) is Repeat.SUCCESSOR
    assert judge(known, _posted(kind, seen_age_s=86_400)) is Repeat.SUCCESSOR
    assert judge(known, _posted(kind, seen_age_s=59)) is Repeat.SAME


@given(KINDS, KINDS, st.sampled_from(sorted(set(Status) - ENDED)))
def test_real_alarm_is_a_successor_when_a_test_is_open(former: Kind, kind: Kind, status: Status) -> None:
    """Somebody comes, whatever the kinds."""
    known = Known(former, status, True, RULES[former].services)

    assert judge(known, _posted(kind)) is Repeat.SUCCESSOR


@given(KINDS, KINDS, st.sampled_from(sorted(set(Status) - ENDED)))
def test_open_alarm_takes_in_only_what_it_answers(former: Kind, kind: Kind, status: Status) -> None:
    """Folded is only what is no more severe and needs no other services; nothing at all while it is cancelled."""
    rule, was = RULES[kind], RULES[former]
    fits = rule.severity <= was.severity and rule.services <= was.services
    known = Known(former, status, False, was.services)

    assert judge(known, _posted(kind)) is (Repeat.FOLD if fits else Repeat.SUCCESSOR)
    cancelling = Known(former, status, False, was.services, hopeless=True)
    assert judge(cancelling, _posted(kind)) is Repeat.SUCCESSOR


@given(KINDS, st.text(min_size=1), st.text(min_size=1), st.booleans(), st.sampled_from(["platform", "panel"]))
def test_cancel_is_refused_when_its_pin_is_not_the_alarms(
    kind: Kind, pin: str, alarm_pin: str, required: bool, origin: str
) -> None:
    """Any text, also beyond ASCII; the right PIN works, except for a panel where a person asked for help."""
    allowed = origin == "platform" or kind not in (Kind.PANIC, Kind.DURESS, Kind.HOLDUP)
    valid = refusal(Wish(kind, origin, pin, alarm_pin, required)) is None

    assert valid is (allowed and pin == alarm_pin)
    assert (refusal(Wish(kind, origin, None, alarm_pin, required)) is None) is (allowed and not required)
    assert refusal(Wish(kind, origin, pin, None, required)) is not None
