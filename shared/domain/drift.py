"""How the provider's directory of sites differs from ours: one reference at a time, both sides as values."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

EARTH_M = 6_371_008.8
# So many records of one reference are named in a finding; that there are more is of no further use.
NAMED = 5


class Kind(StrEnum):
    """What can be wrong with a site at its provider."""

    MISSING = "missing"
    EXTRA = "extra"
    RENAMED = "renamed"
    MOVED = "moved"
    READDRESSED = "readdressed"
    DELETED = "deleted"
    DUPLICATE = "duplicate_reference"
    CHANGED_ID = "changed_id"
    OUT_OF_COVERAGE = "out_of_coverage"


# With these nobody may be sent, or nobody will be found: a person must know before there is an alarm.
GRAVE = frozenset({Kind.MISSING, Kind.DELETED, Kind.DUPLICATE})
# What sending our version again puts right. What was deleted there on purpose, or stands there twice, a person decides.
REPAIRABLE = frozenset({Kind.MISSING, Kind.RENAMED, Kind.MOVED, Kind.READDRESSED, Kind.CHANGED_ID})


@dataclass(frozen=True)
class Listed:
    """A site as a directory lists it. `place` is (latitude, longitude) in degrees, None where it is unreadable.

    `in_coverage` is what counts for an alarm there; None where the provider does not know.
    """

    reference: str
    provider_site_id: str
    name: str = field(default="", repr=False)
    address: str = field(default="", repr=False)
    place: tuple[float, float] | None = field(default=None, repr=False)
    deleted: bool = False
    in_coverage: bool | None = None
    coverage: Mapping[str, bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """Our side of a reference: `site` as the provider should list it.

    `settled`: the provider had our newest version before the listing began. `gone`: the site was deleted here.
    """

    site: Listed
    settled: bool
    gone: bool = False


@dataclass(frozen=True)
class Finding:
    """One difference. `subject` tells two of one kind apart; `entry` names the site by its reference only."""

    kind: Kind
    reference: str
    subject: str
    provider_site_id: str | None
    entry: str
    detail: Mapping[str, Any] = field(default_factory=dict, repr=False)


def compare(ours: Kept | None, theirs: Sequence[Listed], *, moved_m: float) -> list[Finding]:
    """The findings of one reference; `theirs` are all records that carry it, and a place differs beyond `moved_m`."""
    living = [record for record in theirs if not record.deleted]
    if ours is None:
        return [_extra(record, "is not known here") for record in living]
    reference = ours.site.reference
    if ours.gone:
        return [_extra(record, "was deleted here") for record in living] if ours.settled else []
    if len(living) > 1:
        return [_duplicate(reference, living)]
    if not ours.settled:
        return []
    if not living:
        return [_absent(ours.site, theirs)]
    return _differences(ours.site, living[0], moved_m)


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The distance of two positions on a sphere (haversine); good to half a percent."""
    lat_a, lng_a, lat_b, lng_b = (math.radians(value) for value in (*a, *b))
    h = math.sin((lat_b - lat_a) / 2) ** 2
    h += math.cos(lat_a) * math.cos(lat_b) * math.sin((lng_b - lng_a) / 2) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(h)))


def same_text(a: str, b: str) -> bool:
    """True when two names or addresses differ at most in case, spaces, punctuation and the form of their letters."""
    plain = _plain(a)
    return plain == _plain(b) and (plain != "" or a.strip() == b.strip())


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(char if char.isalnum() else " " for char in unicodedata.normalize("NFKC", folded)).split()
    return " ".join(words)


def _extra(record: Listed, why: str) -> Finding:
    named = record.reference or f"(none, id {record.provider_site_id})"
    entry = f"The provider lists a site with reference {named}, which {why}"
    subject = f"id:{record.provider_site_id}"
    return Finding(Kind.EXTRA, record.reference, subject, record.provider_site_id, entry)


def _duplicate(reference: str, living: Sequence[Listed]) -> Finding:
    ids = sorted(record.provider_site_id for record in living)[:NAMED]
    entry = f"The provider lists more than one site with reference {reference}: no alarm is sent to a guess"
    return Finding(Kind.DUPLICATE, reference, reference, None, entry, {"ids": ids})


def _absent(ours: Listed, theirs: Sequence[Listed]) -> Finding:
    if theirs:
        entry = f"The provider lists the site {ours.reference} as deleted"
        return Finding(Kind.DELETED, ours.reference, ours.reference, theirs[0].provider_site_id, entry)
    entry = f"The provider does not list the site {ours.reference}"
    return Finding(Kind.MISSING, ours.reference, ours.reference, ours.provider_site_id or None, entry)


def _differences(ours: Listed, record: Listed, moved_m: float) -> list[Finding]:
    found: list[Finding] = []

    def add(kind: Kind, what: str, **detail: Any) -> None:
        entry = f"The site {ours.reference} {what}"
        found.append(Finding(kind, ours.reference, ours.reference, record.provider_site_id, entry, detail))

    if ours.provider_site_id and ours.provider_site_id != record.provider_site_id:
        ids = {"ours": ours.provider_site_id, "theirs": record.provider_site_id}
        add(Kind.CHANGED_ID, "has another id at the provider", **ids)
    if not same_text(ours.name, record.name):
        add(Kind.RENAMED, "has another name at the provider", ours=ours.name, theirs=record.name)
    # An address that we never gave is the provider's own business.
    if ours.address and not same_text(ours.address, record.address):
        add(Kind.READDRESSED, "has another address at the provider", ours=ours.address, theirs=record.address)
    if ours.place is not None:
        if record.place is None:
            add(Kind.MOVED, "has no readable position at the provider")
        elif (distance := metres(ours.place, record.place)) > moved_m:
            add(Kind.MOVED, f"lies {distance:.0f} m off at the provider", metres=round(distance))
    if record.in_coverage is False:
        add(Kind.OUT_OF_COVERAGE, "is out of the provider's coverage", **record.coverage)
    return found
