"""How often a moving person's position is passed on: far enough, late enough, exact enough, and never an old one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import asin, cos, radians, sin, sqrt

# Mean radius of the WGS 84 ellipsoid (IUGG). At 10 m the formula is at most 6 cm off the geodesic.
EARTH_M = 6_371_008.8
# A fix this far from the last known place, whose exchanged form is ten times nearer, has its numbers exchanged.
SWAP_BEYOND_M = 100_000.0


class Rule(StrEnum):
    """How "every 10 m or every 10 seconds" is read: both must have passed (strict), or one of them (lax)."""

    STRICT = "strict"
    LAX = "lax"


class Verdict(StrEnum):
    """What a new fix is worth."""

    HELD = "held"
    COARSE = "coarse"
    STALE = "stale"
    SWAPPED = "swapped"


@dataclass(frozen=True)
class Throttle:
    """Limits; the defaults are those that the provider of moving alarms recommends, in the strict reading."""

    rule: Rule = Rule.STRICT
    displacement_m: float = 10.0
    interval_s: float = 10.0
    accuracy_m: float = 75.0


@dataclass(frozen=True)
class Fix:
    """A position in degrees (WGS 84) at a moment of the device; `accuracy` in metres, None when nobody named one."""

    lat: float = field(repr=False)
    lng: float = field(repr=False)
    at: datetime
    accuracy: float | None = None


@dataclass(frozen=True)
class Known:
    """The position that the other side has, and since when (our clock)."""

    lat: float = field(repr=False)
    lng: float = field(repr=False)
    since: datetime


def distance_m(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> float:
    """Metres between two positions (haversine); the antimeridian is no border."""
    half_lat, half_lng = radians(lat_b - lat_a) / 2, radians(lng_b - lng_a) / 2
    chord = sin(half_lat) ** 2 + cos(radians(lat_a)) * cos(radians(lat_b)) * sin(half_lng) ** 2
    return 2 * EARTH_M * asin(sqrt(min(1.0, chord)))


def judge(fix: Fix, newest_at: datetime | None, known: Known | None, throttle: Throttle) -> Verdict:
    """Whether a fix may be sent some day: `newest_at` is the device's time of the newest one so far."""
    if newest_at is not None and fix.at <= newest_at:
        return Verdict.STALE
    if known is not None and _is_swapped(fix, known):
        return Verdict.SWAPPED
    if fix.accuracy is None or fix.accuracy > throttle.accuracy_m:
        return Verdict.COARSE
    return Verdict.HELD


def wait_s(fix: Fix, known: Known | None, now: datetime, throttle: Throttle) -> float | None:
    """Seconds until the fix may be sent, 0 when it may now; None when the person has not moved far enough.

    A fix that must wait is sent when the time has come, so that a person who stops is not left at a stale point.
    """
    if known is None:
        return 0.0
    far = distance_m(fix.lat, fix.lng, known.lat, known.lng) >= throttle.displacement_m
    left = throttle.interval_s - max(0.0, (now - known.since).total_seconds())
    if throttle.rule is Rule.LAX:
        return 0.0 if far else max(0.0, left)
    return max(0.0, left) if far else None


def _is_swapped(fix: Fix, known: Known) -> bool:
    straight = distance_m(fix.lat, fix.lng, known.lat, known.lng)
    if straight <= SWAP_BEYOND_M or abs(fix.lng) > 90:
        return False
    return distance_m(fix.lng, fix.lat, known.lat, known.lng) * 10 < straight
