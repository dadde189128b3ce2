"""The platform's location source: a GET that says where the person of a moving alarm is now."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from shared.platforms import endpoints
from shared.providers.answers import moment, parse_json
from shared.providers.guard import is_loopback_host
from shared.providers.http import AddressRefused, Answer, AnswerLost, Guard, NotSent, exchange

ANSWER_CAP = 64_000
MOST_FIXES = 100
PLACEHOLDERS = ("incident_ref", "incident_id")
NOT_LISTED = "names a host that TOCSIN_LOCATION_HOSTS does not list"
_BRACED = re.compile(r"\{([^{}]*)\}")


class SourceFailed(Exception):
    """The source gave no usable answer; the reason quotes neither its address nor its body."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Source:
    """Where to ask, with which bearer token (none: an empty one)."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    guard: Guard = field(default_factory=Guard)
    hosts: tuple[str, ...] = ()


def problems(url: str, guard: Guard, hosts: Sequence[str]) -> list[str]:
    """What is wrong with a source's URL: the host is fixed (no placeholder in it), and one of `hosts` or loopback."""
    unknown = set(_BRACED.findall(url)) - set(PLACEHOLDERS)
    plain = filled(url, dict.fromkeys(PLACEHOLDERS, "x"))
    if unknown or "{" in plain or "}" in plain:
        return [f"may hold the placeholders {', '.join('{' + name + '}' for name in PLACEHOLDERS)} only"]
    found = endpoints.problems(plain, guard)
    if not found and urlsplit(plain).netloc not in url:
        found.append("must name its host without a placeholder")
    if not found and not _is_listed(plain, hosts):
        found.append(NOT_LISTED)
    return found


def _is_listed(url: str, hosts: Sequence[str]) -> bool:
    """Whether the host, with its port where that is not the scheme's own, is listed; loopback needs no entry."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    own = port is None or port == (443 if parts.scheme == "https" else 80)
    name = host if own else f"{host}:{port}"
    return is_loopback_host(host) or name in {listed.lower() for listed in hosts}


def filled(url: str, values: Mapping[str, str]) -> str:
    """The template with its values, percent-encoded whole."""
    for name, value in values.items():
        url = url.replace("{" + name + "}", quote(value, safe=""))
    return url


def fetch(source: Source, values: Mapping[str, str], deadline: float) -> list[dict[str, Any]]:
    """The fixes that the source has now, empty when there are none yet (404). Raises SourceFailed."""
    headers = {"Authorization": f"Bearer {source.token}"} if source.token else {}
    url = filled(source.url, values)
    if not _is_listed(url, source.hosts):
        raise SourceFailed(NOT_LISTED)
    try:
        answer = exchange("GET", url, deadline=deadline, headers=headers, cap=ANSWER_CAP, guard=source.guard)
    except (AddressRefused, NotSent, AnswerLost) as error:
        reason = error.reason
    else:
        if answer.status in (204, 404):
            return []
        if answer.status == 200:
            return _fixes(answer)
        reason = f"HTTP {answer.status}"
    raise SourceFailed(reason)


def _fixes(answer: Answer) -> list[dict[str, Any]]:
    try:
        value = parse_json(answer.body)
    except ValueError:
        raise SourceFailed("the answer is not JSON") from None
    listed = value if isinstance(value, list) else [value]
    if len(listed) > MOST_FIXES:
        raise SourceFailed(f"the answer holds more than {MOST_FIXES} positions")
    return [_fix(one) for one in listed]


def _fix(value: Any) -> dict[str, Any]:
    """`{lat, lng, accuracy, time}`; exchanged numbers that cannot be a latitude are found here."""
    fields = value if isinstance(value, dict) else {}
    lat, lng, accuracy = fields.get("lat"), fields.get("lng"), fields.get("accuracy")
    if not (_number(lat, -90, 90) and _number(lng, -180, 180)):
        raise SourceFailed("a position has no latitude within 90 or no longitude within 180 degrees")
    if accuracy is not None and not _number(accuracy, 0, 1e7):
        raise SourceFailed("an accuracy is not a distance in metres")
    at = moment(fields.get("time"))
    if fields.get("time") is not None and at is None:
        raise SourceFailed("a time is not ISO 8601")
    return {"lat": lat, "lng": lng, "accuracy": accuracy, "time": at.isoformat() if at else None}


def _number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
