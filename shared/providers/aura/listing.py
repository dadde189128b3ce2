"""AURA's listing of Fixed Locations as a stream: a million records in the memory of one.

Path, paging and envelope are not public (facts of the earlier reference only): option `paging` is none (default),
page or offset, beside `page_size`; the body is an array, or an object that holds one under a likely name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import ijson

from shared.domain.drift import Listed
from shared.domain.outcome import Temporary
from shared.providers.answers import raise_for_read, text_id
from shared.providers.aura.session import receive
from shared.providers.aura.token import TokenFailed
from shared.providers.base import Account, Call, ReadFailed
from shared.providers.http import Answer, AnswerLost, NotSent, Stream

# Bounds the time of a runaway listing, not our memory.
_CAP = 8_000_000_000
_ERROR_CAP = 65_536
_PAGE_SIZE = 100
_PAGES_MAX = 100_000
_ENVELOPES = ("predefinedLocations", "locations", "data", "items")
_DELETED = ("deletedAt", "isDeleted", "deleted")
_TEXT_MAX = 1_000


def listed(call: Call, account: Account) -> Iterator[Listed]:
    """Every record. Raises ReadFailed unless the end of the listing was seen."""
    for record in _records(call, account):
        yield _listed(record)


def find(call: Call, account: Account, reference: str) -> list[str]:
    """AURA's ids of the living records of exactly this reference. Raises ReadFailed when the listing is not whole."""
    found: dict[str, None] = {}
    for record in listed(call, account):
        if record.reference == reference and not record.deleted:
            found[record.provider_site_id] = None
    return list(found)


def coverage_of(record: Mapping[str, Any]) -> dict[str, bool | None]:
    """`securityCoverage` and `medicalCoverage`: boolean, or null where AURA has not looked (Create fixed location)."""
    found = {"security": record.get("securityCoverage"), "medical": record.get("medicalCoverage")}
    return {name: value if isinstance(value, bool) else None for name, value in found.items()}


def _listed(record: Mapping[str, Any]) -> Listed:
    site_id = text_id(record.get("id"))
    if not site_id:
        raise ReadFailed(Temporary("a record has no id"))
    coverage = coverage_of(record)
    return Listed(
        reference=_text(record.get("externalReferenceId")),
        provider_site_id=site_id,
        # Sites of other origin may have their name where ours have the reference.
        name=_text(record.get("locationDescription")) or _text(record.get("locationIdentifier")),
        address=_text(record.get("formattedAddress")),
        place=_place(record.get("latitude"), record.get("longitude")),
        deleted=any(record.get(name) for name in _DELETED),
        in_coverage=coverage["security"],
        coverage=coverage,
    )


def _text(value: object) -> str:
    """A text that a database keeps: no NUL, no half surrogate pair, bounded."""
    if not isinstance(value, str):
        return ""
    return value[:_TEXT_MAX].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _place(lat: object, lng: object) -> tuple[float, float] | None:
    try:
        place = float(str(lat)), float(str(lng))
    except ValueError:
        return None
    fits = all(math.isfinite(value) for value in place) and abs(place[0]) <= 90 and abs(place[1]) <= 180
    return place if fits else None


def _records(call: Call, account: Account) -> Iterator[Mapping[str, Any]]:
    """Page after page until one is empty, or repeats the one before it (paging that is not understood there)."""
    paging = account.options.get("paging", "none")
    size = int(account.options.get("page_size", _PAGE_SIZE))
    former: set[str] = set()
    for page in range(_PAGES_MAX):
        starts = {"page": ("page", page + 1), "offset": ("offset", page * size)}
        query = f"?{urlencode([starts[paging], ('limit', size)])}" if paging in starts else ""
        seen: set[str] = set()
        for record in _page(call, account, query):
            if query:
                seen.add(text_id(record.get("id")))
            yield record
        if not query or seen <= former:
            return
        former = seen
    raise ReadFailed(Temporary("the listing has no end"))


def _page(call: Call, account: Account, query: str) -> Iterator[Mapping[str, Any]]:
    try:
        with receive(call, account, "sites", cap=_CAP, query=query) as answer:
            _raise_for_status(answer)
            yield from _parsed(answer)
    except TokenFailed as error:
        raise ReadFailed(error.outcome) from None
    except (NotSent, AnswerLost) as error:
        raise ReadFailed(Temporary(error.reason)) from None


def _raise_for_status(answer: Stream) -> None:
    if not 200 <= answer.status < 300:
        raise_for_read(Answer(answer.status, answer.headers, b"", answer.date))


def _parsed(answer: Stream) -> Iterator[Mapping[str, Any]]:
    """The records of one body. A body that ends early, or holds no array of objects, is no listing."""
    reason = "the listing is unreadable or was cut"
    try:
        for value in _elements(answer.pieces()):
            if not isinstance(value, dict):
                reason = "the listing holds something that is no record"
                break
            yield value
        else:
            return
    except (ijson.JSONError, ValueError, OverflowError, RecursionError):
        pass
    raise ReadFailed(Temporary(reason, http_status=answer.status))


def _elements(pieces: Iterator[bytes]) -> Iterator[Any]:
    """What the array holds, whether it is the body or stands in an envelope. Raises ValueError where there is none."""
    first = next((piece for piece in pieces if piece.strip()), b"")
    body = ijson.from_iter(itertools.chain([first], pieces))
    if first.lstrip().startswith(b"["):
        yield from ijson.items(body, "item", use_float=True)
    else:
        yield from _enveloped(ijson.parse(body, use_float=True))


def _enveloped(events: Iterator[tuple[str, str, Any]]) -> Iterator[Any]:
    found, builder, depth = "", None, 0
    for prefix, event, value in events:
        if builder is None and not found and event == "start_array" and prefix in _ENVELOPES:
            found = prefix
        elif builder is None and found and prefix == f"{found}.item":
            builder = ijson.ObjectBuilder()
        if builder is not None:
            builder.event(event, value)
            depth += event.startswith("start_") - event.startswith("end_")
            if depth == 0:
                yield builder.value
                builder = None
    if not found:
        raise ValueError("no array of records")
