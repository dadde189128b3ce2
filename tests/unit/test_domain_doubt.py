"""What follows a create whose outcome is unknown: as a table, and as properties of every run (law 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import doubt
from shared.domain.doubt import Candidate, Next, Policy
from shared.domain.kinds import RULES, Kind

ATTEMPT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LIFE_SAFETY = {"panic", "duress", "holdup", "fire", "smoke", "medical", "gas", "co"}


@pytest.mark.parametrize("kind", Kind)
def test_policy_is_resend_for_life_safety_and_hold_for_the_rest(kind: Kind) -> None:
    """The list of law 4, with smoke beside fire."""
    wanted = Policy.RESEND if kind.value in LIFE_SAFETY else Policy.HOLD
    assert doubt.policy(kind, {}) is wanted
    assert RULES[kind].life_safety is (kind.value in LIFE_SAFETY)


def test_policy_is_the_platforms_when_it_names_the_kind() -> None:
    """Only for the kind that it names."""
    overrides = {"burglary": "resend"}
    assert doubt.policy(Kind.BURGLARY, overrides) is Policy.RESEND
    assert doubt.policy(Kind.OTHER, overrides) is Policy.HOLD


def _candidate(name: str, age_s: float, site: str | None = "7") -> Candidate:
    return Candidate(name, site, ATTEMPT - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("age_s", "adopted"), [(-30.0, True), (0.0, True), (59.9, True), (60.0, True), (60.1, False), (3600.0, False)]
)
def test_candidate_is_adopted_when_it_is_no_more_than_60_seconds_older_than_the_attempt(
    age_s: float, adopted: bool
) -> None:
    """By one clock, the provider's."""
    assert (doubt.adoptable([_candidate("a", age_s)], "7", (), ATTEMPT) is not None) is adopted


@pytest.mark.parametrize(
    "other",
    [_candidate("a", 0, "8"), _candidate("a", 0, None), Candidate("a", "7", None), _candidate("known", 0)],
)
def test_candidate_is_not_adopted_when_it_may_be_somebody_elses(other: Candidate) -> None:
    """Of another site or none, without a time, or of a leg that we know."""
    assert doubt.adoptable([other], "7", {"known"}, ATTEMPT) is None


def test_oldest_candidate_is_adopted_when_there_are_several() -> None:
    """The first answer to us."""
    found = doubt.adoptable([_candidate("b", 1), _candidate("a", 5), _candidate("c", 90)], "7", (), ATTEMPT)
    assert found is not None
    assert found.provider_alarm_id == "a"


@given(
    ages=st.lists(st.floats(-600, 600), max_size=6),
    sites=st.lists(st.sampled_from(["7", "8", None]), min_size=6, max_size=6),
    known=st.sets(st.sampled_from("012345")),
)
def test_whatever_is_adopted_fulfils_every_condition(
    ages: list[float], sites: list[str | None], known: set[str]
) -> None:
    """And nothing that does is passed over for nothing."""
    given_ones = [_candidate(str(n), age, sites[n]) for n, age in enumerate(ages)]
    fit = {
        one.provider_alarm_id
        for one, age in zip(given_ones, ages, strict=True)
        if one.site_provider_id == "7" and one.provider_alarm_id not in known and age <= 60
    }
    found = doubt.adoptable(given_ones, "7", known, ATTEMPT)
    assert (found.provider_alarm_id in fit) if found is not None else not fit


LOOKS = st.lists(st.booleans(), min_size=1, max_size=12)


@given(looks=LOOKS, wanted=st.sampled_from(Policy))
def test_nothing_is_sent_again_before_three_listings_or_a_minute(looks: list[bool], wanted: Policy) -> None:
    """A whole run of looks on the schedule: `True` stands for a complete listing without our callout."""
    age, complete = 0.0, 0
    for listed in looks:
        age += doubt.next_lookup_in(age)
        complete += listed
        follows = doubt.after_lookup(complete, age, wanted, listed=listed)
        if complete >= 3:
            assert follows is Next.RESEND
            return
        if listed or age < 60:
            assert follows is Next.WAIT
        else:
            assert follows is (Next.RESEND if wanted is Policy.RESEND else Next.HOLD)
            if follows is Next.RESEND:
                return


@given(looks=st.lists(st.booleans(), min_size=20, max_size=20))
def test_panic_never_waits_for_longer_than_two_minutes(looks: list[bool]) -> None:
    """However listings and failures alternate, it is sent again or three listings stand."""
    age, complete = 0.0, 0
    for listed in looks:
        age += doubt.next_lookup_in(age)
        complete += listed
        if doubt.after_lookup(complete, age, Policy.RESEND, listed=listed) is Next.RESEND:
            break
    assert age <= 120


def test_lookups_come_after_2_5_and_10_seconds_and_then_every_10() -> None:
    """Counted from the end of the call."""
    age, moments = 0.0, []
    for _ in range(6):
        age += doubt.next_lookup_in(age)
        moments.append(age)
    assert moments == [2, 5, 10, 20, 30, 40]
