"""The throttle of positions: what is held, what is dropped, and when the last one goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import cos, radians

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.throttle import Fix, Known, Rule, Throttle, Verdict, distance_m, judge, wait_s

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STRICT, LAX = Throttle(), Throttle(Rule.LAX)
LATS = st.floats(-85, 85)
LNGS = st.floats(-180, 180)
HOME = Known(38.627, -90.1994, NOW - timedelta(seconds=60))


def north(metres: float) -> float:
    """Degrees of latitude."""
    return metres / 111_195.08


def fix(metres: float = 0.0, *, accuracy: float | None = 5.0, age_s: float = 0.0) -> Fix:
    """A fix so many metres north of home."""
    return Fix(HOME.lat + north(metres), HOME.lng, NOW - timedelta(seconds=age_s), accuracy)


def known(age_s: float) -> Known:
    """Home, sent so long ago."""
    return Known(HOME.lat, HOME.lng, NOW - timedelta(seconds=age_s))


@given(LATS, LNGS, LATS, LNGS)
def test_distance_is_symmetric_and_bounded(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> None:
    """Half of the circumference at most."""
    there, back = distance_m(lat_a, lng_a, lat_b, lng_b), distance_m(lat_b, lng_b, lat_a, lng_a)
    assert 0 <= there <= 20_015_200
    assert there == pytest.approx(back, abs=1e-3)


@given(LATS, LNGS, st.floats(0.5, 1000))
def test_distance_is_right_to_a_percent_for_small_steps(lat: float, lng: float, metres: float) -> None:
    """North, and east also over the antimeridian."""
    assert distance_m(lat, lng, lat + north(metres), lng) == pytest.approx(metres, rel=0.01)
    east = lng + north(metres) / cos(radians(lat))
    east -= 360 * (east > 180)
    assert distance_m(lat, lng, lat, east) == pytest.approx(metres, rel=0.01)


def test_step_over_the_antimeridian_is_a_small_one() -> None:
    """Attu Island lies on both sides."""
    assert distance_m(52.9, 179.9999, 52.9, -179.9999) < 20


@pytest.mark.parametrize(
    ("metres", "age_s", "strict", "lax"),
    [
        (50, 60, 0, 0),
        (50, 4, 6, 0),
        (9, 60, None, 0),
        (9, 4, None, 6),
        (0, 4, None, 6),
        (11, 10, 0, 0),
        (50, -5, 10, 0),
    ],
)
def test_fix_waits_as_the_rule_says(metres: float, age_s: float, strict: float | None, lax: float) -> None:
    """Strict: 10 m and 10 s. Lax: 10 m or 10 s. A clock that went back costs one interval at most."""
    assert wait_s(fix(metres), known(age_s), NOW, STRICT) == strict
    assert wait_s(fix(metres), known(age_s), NOW, LAX) == lax


def test_first_fix_goes_at_once_when_nothing_is_known() -> None:
    """The other side has no position yet."""
    assert wait_s(fix(), None, NOW, STRICT) == 0


@given(st.floats(0, 1e6), st.floats(-100, 1e5))
def test_strict_never_sends_earlier_than_lax(metres: float, age_s: float) -> None:
    """And neither waits longer than one interval."""
    strict, lax = wait_s(fix(metres), known(age_s), NOW, STRICT), wait_s(fix(metres), known(age_s), NOW, LAX)
    assert lax is not None
    assert 0 <= lax <= 10
    assert strict is None or lax <= strict <= 10


@pytest.mark.parametrize("rule", [Rule.STRICT, Rule.LAX])
@given(walk=st.lists(st.tuples(st.floats(0.1, 30), st.floats(-40, 40)), max_size=60))
def test_walk_is_sent_no_more_often_than_allowed_and_ends_near_its_end(
    rule: Rule, walk: list[tuple[float, float]]
) -> None:
    """Whatever the steps: the gaps are kept, and the last position is known to within 10 m when the window opened."""
    throttle, now, place, last = Throttle(rule), NOW, 0.0, known(0)
    at: Fix | None = None
    for seconds, metres in walk:
        due = None if at is None else wait_s(at, last, now, throttle)
        if at is not None and due is not None and due <= seconds:  # the held-back one goes when the window opens
            last = _sent(at, last, now + timedelta(seconds=due), throttle)
            at = None
        now += timedelta(seconds=seconds)
        place += metres
        at = Fix(HOME.lat + north(place), HOME.lng, now, 5.0)
        if wait_s(at, last, now, throttle) == 0:
            last, at = _sent(at, last, now, throttle), None
    if at is not None and (due := wait_s(at, last, now, throttle)) is not None:
        last = _sent(at, last, now + timedelta(seconds=due), throttle)
    assert distance_m(last.lat, last.lng, HOME.lat + north(place), HOME.lng) < 10.01


def _sent(at: Fix, last: Known, moment: datetime, throttle: Throttle) -> Known:
    waited = (moment - last.since).total_seconds() >= 9.999
    moved = distance_m(at.lat, at.lng, last.lat, last.lng) >= 9.999
    assert (waited and moved) if throttle.rule is Rule.STRICT else (waited or moved)
    return Known(at.lat, at.lng, moment)


@pytest.mark.parametrize(("accuracy", "verdict"), [(75, "held"), (0, "held"), (75.1, "coarse"), (None, "coarse")])
def test_fix_is_held_back_when_it_is_coarse(accuracy: float | None, verdict: str) -> None:
    """An absent accuracy may be any."""
    assert judge(fix(20, accuracy=accuracy), None, HOME, STRICT) == verdict


@pytest.mark.parametrize(("age_s", "verdict"), [(0, "held"), (10, "stale"), (11, "stale")])
def test_fix_is_dropped_when_the_device_was_there_earlier(age_s: float, verdict: str) -> None:
    """Newest wins; the same once more is no news."""
    assert judge(fix(20, age_s=age_s), NOW - timedelta(seconds=10), HOME, STRICT) == verdict


@pytest.mark.parametrize(
    ("place", "lat", "lng"),
    [
        ((40.7128, -74.006), -74.0061, 40.7127),
        ((18.4655, -66.1057), -66.11, 18.47),
        ((21.3069, -157.8583), 21.31, -157.86),
    ],
)
def test_exchanged_numbers_are_caught_beside_a_known_place(place: tuple[float, float], lat: float, lng: float) -> None:
    """New York would lie in Antarctica. Honolulu as it should be is fine."""
    verdict = judge(Fix(lat, lng, NOW, 5.0), None, Known(*place, NOW), STRICT)
    assert verdict == ("swapped" if lat < 0 else "held")


@given(LATS, LNGS, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_near_fix_never_looks_exchanged(lat: float, lng: float, north_by: float, east_by: float) -> None:
    """Within some ten kilometres nothing is doubted."""
    assume(abs(lng + east_by) <= 180)
    near = Fix(lat + north_by, lng + east_by, NOW, 5.0)
    assert judge(near, None, Known(lat, lng, NOW), STRICT) is Verdict.HELD
