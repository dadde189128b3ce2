"""The same again, news, or a new one: the table of "Repeats", and what may never happen (design section 6)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.kinds import RULES, Kind
from shared.domain.lifecycle import ENDED, Status
from shared.domain.repeats import Known, Posted, Repeat, judge

KINDS = st.sampled_from(Kind)
KNOWN = st.builds(
    lambda kind, status, test, cancelling: Known(kind, status, test, RULES[kind].services, cancelling),
    KINDS,
    st.sampled_from(Status),
    st.booleans(),
    st.booleans(),
)
POSTED = st.builds(
    lambda kind, test, event, moment, age: Posted(kind, test, RULES[kind].services, event, moment, age),
    KINDS,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.floats(0, 1e6),
)


def _known(kind: Kind = Kind.BURGLARY, status: Status = Status.REQUESTED, *, test: bool = False) -> Known:
    return Known(kind, status, test, RULES[kind].services)


def _posted(kind: Kind = Kind.BURGLARY, *, test: bool = False, seen_age_s: float | None = None) -> Posted:
    return Posted(kind, test, RULES[kind].services, False, False, seen_age_s)


def test_more_severe_alarm_opens_a_successor() -> None:
    """Trouble, then panic; burglary, then fire: a person comes for what is worse."""
    for first, second in ((Kind.TROUBLE, Kind.PANIC), (Kind.BURGLARY, Kind.FIRE), (Kind.FIRE, Kind.MEDICAL)):
        assert judge(_known(first), _posted(second)) is Repeat.SUCCESSOR


def test_real_alarm_after_a_test_opens_a_successor() -> None:
    """And a test after a real one never does."""
    assert judge(_known(test=True), _posted()) is Repeat.SUCCESSOR
    assert judge(_known(), _posted(Kind.PANIC, test=True)) is Repeat.FOLD


def test_same_bytes_are_the_same_while_it_lives_and_a_minute_long() -> None:
    """A day after its end they are a new alarm."""
    assert judge(_known(), _posted(seen_age_s=9000)) is Repeat.SAME
    assert judge(_known(status=Status.CLOSED), _posted(seen_age_s=59)) is Repeat.SAME
    assert judge(_known(status=Status.CLOSED), _posted(seen_age_s=86_400)) is Repeat.SUCCESSOR


@given(known=KNOWN, posted=POSTED)
def test_event_id_that_was_seen_is_the_same_always(known: Known, posted: Posted) -> None:
    """The sender says that it is."""
    if posted.event_id_seen:
        assert judge(known, posted) is Repeat.SAME


@given(known=KNOWN, posted=POSTED)
def test_new_content_is_never_swallowed(known: Known, posted: Posted) -> None:
    """Nothing of it was seen before: it is sent on, or it opens a successor; after an end or a cancel the latter."""
    if posted.event_id_seen or posted.occurred_at_seen or posted.seen_age_s is not None:
        return
    verdict = judge(known, posted)
    assert verdict is not Repeat.SAME
    if known.status in ENDED or known.hopeless:
        assert verdict is Repeat.SUCCESSOR


@given(known=KNOWN, posted=POSTED)
def test_worse_news_of_a_living_incident_is_never_only_folded_in(known: Known, posted: Posted) -> None:
    """Real after a test, more severe, or for other services: somebody else must come, unless it was seen before."""
    if posted.event_id_seen or posted.occurred_at_seen or posted.seen_age_s is not None or known.status in ENDED:
        return
    more_severe = RULES[posted.kind].severity > RULES[known.kind].severity
    others = not posted.services <= known.services
    unmasked = known.test and not posted.test
    if unmasked or ((more_severe or others) and posted.test <= known.test):
        assert judge(known, posted) is Repeat.SUCCESSOR
