"""What any provider's answer is read by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from shared.domain.outcome import Permanent, Temporary
from shared.providers.answers import classify, moment, parse_json, quoted, retry_after, text_id
from shared.providers.http import Answer

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def answer(status: int, **headers: str) -> Answer:
    """An answer whose server reads 10:00."""
    return Answer(status, CaseInsensitiveDict({k.replace("_", "-"): v for k, v in headers.items()}), b"", NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("-5", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("\u0667", None),
        ("99999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """A date counts from the server's own clock."""
    assert retry_after(answer(429, retry_after=text)) == seconds


@given(st.text())
def test_retry_after_never_raises(text: str) -> None:
    """Any header."""
    found = retry_after(answer(429, retry_after=text))
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, Temporary),
        (425, Temporary),
        (429, Temporary),
        (401, Temporary),
        (403, Temporary),
        (302, Permanent),
        (400, type(None)),
    ],
)
def test_status_has_one_meaning_everywhere(status: int, kind: type) -> None:
    """None where the provider decides."""
    assert isinstance(classify(answer(status)), kind)


@pytest.mark.parametrize(
    ("words", "ours", "shown"),
    [
        ("bad phone 15554440003!", {}, "bad phone [...]!"),
        ("JOHN SMITH is no name", {"name": "John Smith"}, "[...] is no name"),
        ("pin 1234", {"a": [{"pin": "1234"}]}, "pin [...]"),
        ("a\x00b\n c\u202e", {}, "a b c"),
        ("code 400", {}, "code 400"),
        ("x" * 300, {}, "x" * 199 + "…"),
    ],
)
def test_quoted_words_carry_nothing_of_ours(words: str, ours: Any, shown: str) -> None:
    """One short printable line."""
    assert quoted(words, ours) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), ("a", "a"), (True, ""), (None, ""), ("a\x00", ""), ({}, ""), ("x" * 201, ""), (1.5, "")],
)
def test_id_is_text_or_nothing(value: object, text: str) -> None:
    """Ids are opaque; what could not be stored is none."""
    assert text_id(value) == text


def test_moment_is_aware_utc() -> None:
    """With or without an offset; anything else is None."""
    assert moment("2026-11-22T10:00:00Z") == moment("2026-11-22T12:00:00+02:00") == moment("2026-11-22T10:00:00") == NOW
    assert moment("0001-01-01T00:00:00+23:00") is None
    assert moment(5) is None


@pytest.mark.parametrize("raw", [b"", b"\xff", b"NaN", b"[1e999]", b"[" * 100_000, b"1" * 5000, '"a"'.encode("utf-16")])
def test_json_is_refused_with_a_value_error(raw: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ValueError):  # noqa: PT011 - the texts differ by what was wrong
        parse_json(raw)
