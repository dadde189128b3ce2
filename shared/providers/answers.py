"""Reading what any provider answers: distrusted JSON, statuses with one meaning, words fit for a timeline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from shared.clock import utc_now
from shared.domain.outcome import Permanent, Temporary, Unknown
from shared.providers.base import ReadFailed
from shared.providers.http import Answer

CREDENTIALS_REFUSED = "credentials refused"
_WORDS_MAX = 200


def parse_json(raw: bytes) -> Any:
    """JSON in UTF-8, without NaN and infinities. Raises ValueError for everything else, too deep a nesting included."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def object_in(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; empty when they hold anything else."""
    try:
        value = parse_json(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def object_of(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer; empty when the body is anything else."""
    return object_in(answer.body)


def one_line(text: str) -> str:
    """Text without control characters and with single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def text_id(value: object) -> str:
    """An id as text; "" for what cannot be one (nothing, a boolean, a structure, control characters)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable():
        return value
    return ""


def moment(value: object) -> datetime | None:
    """An ISO 8601 text as aware UTC (without an offset it is taken as UTC); None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def retry_after(answer: Answer) -> float | None:
    """`Retry-After` in seconds from now (RFC 9110, 10.2.3: seconds or a date), None when absent or unreadable.

    A date is compared with the answer's own `Date`, so that clocks that differ do not matter. The cap is the caller's.
    """
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (answer.date or utc_now())).total_seconds())


def classify(answer: Answer) -> Temporary | Permanent | None:
    """The outcomes that are the same everywhere; None when the provider's own table decides.

    408, 425 and 429 were not worked. 401 and 403 are Temporary on purpose: the alarm itself is fine, so attempts go
    on while a person, who is told after 30 s, mends the credentials. A redirect is never followed (law on SSRF) and
    will not go away.
    """
    status = answer.status
    if status in (408, 425, 429):
        return Temporary(f"busy (HTTP {status})", retry_after(answer), http_status=status)
    if status in (401, 403):
        return Temporary(CREDENTIALS_REFUSED, http_status=status)
    if 300 <= status < 400:
        return Permanent(f"redirected (HTTP {status})", http_status=status)
    return None


def classify_read(answer: Answer) -> Mapping[str, Any]:
    """The object of a read that succeeded (any 2xx). Raises ReadFailed: Permanent for a 4xx, else worth another try."""
    raise_for_read(answer)
    value = object_of(answer)
    if not value:
        raise ReadFailed(Temporary("the answer is unreadable", http_status=answer.status))
    return value


def raise_for_read(answer: Answer) -> None:
    """Raise ReadFailed unless the status is a 2xx."""
    if 200 <= answer.status < 300:
        return
    common = classify(answer)
    if common is None and answer.status < 500:
        common = Permanent(f"the read was refused (HTTP {answer.status})", http_status=answer.status)
    raise ReadFailed(common or Temporary(f"server error (HTTP {answer.status})", http_status=answer.status))


def quoted(words: object, ours: object = ()) -> str:
    """The provider's words for a timeline: one printable line, at most 200 characters, without anything of `ours`.

    Error texts quote what was sent. Every text inside `ours` (the body of the request) and every run of five digits
    is masked.
    """
    text = one_line(str(words))
    for value in sorted(_texts(ours), key=len, reverse=True):
        text = re.sub(re.escape(value), "[...]", text, flags=re.IGNORECASE)
    text = re.sub(r"\+?\d[\d\s().-]{3,}\d", "[...]", text)
    return text if len(text) <= _WORDS_MAX else text[: _WORDS_MAX - 1] + "…"


def lost(reason: str, status: int) -> Unknown:
    """The outcome of a request that may have arrived."""
    return Unknown(f"{reason}: it may have been taken", http_status=status)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= 3:
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for inner in value:
            yield from _texts(inner)


def _refuse(word: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("the number is too large")
    return number
