"""Reading bodies, cursors and references without a database."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from webhooks_app.bodies import AlarmBody
from webhooks_app.errors import Problem
from webhooks_app.intake import json_body, parse, raw_body
from webhooks_app.queries import cursor_of, moment_cursor, number_cursor, text_cursor

_APP = Flask("webhooks_app")


def read(raw: bytes) -> Any:
    """What the door makes of a JSON body."""
    with _APP.test_request_context("/", method="POST", data=raw, content_type="application/json"):
        return json_body(100_000)


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_json_or_a_problem(raw: bytes) -> None:
    """Nothing else comes out."""
    status = 400
    try:
        read(raw)
    except Problem as problem:
        status = problem.kind.status
    assert status == 400


@given(st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=20))
def test_any_json_value_is_a_valid_alarm_or_a_problem(value: Any) -> None:
    """Strictness never becomes an accident."""
    with pytest.raises(Problem):
        parse(AlarmBody, value)


@pytest.mark.parametrize("depth", [33, 1_000, 50_000])
def test_deep_json_is_refused_when_it_is_deeper_than_the_bound(depth: int) -> None:
    """Without recursion."""
    with pytest.raises(Problem) as caught:
        read(b"[" * depth + b"]" * depth)
    assert "nested" in caught.value.detail


def test_json_is_taken_when_it_is_at_the_bounds() -> None:
    """32 deep and 2,000 elements are fine."""
    assert read(b"[" * 32 + b"]" * 32)
    assert len(read(b"[" + b"1," * 1_998 + b"1]")) == 1_999


def test_body_is_refused_when_it_is_shorter_than_it_says() -> None:
    """The rest never came."""
    with (
        _APP.test_request_context("/", method="POST", data=b"ab", environ_overrides={"CONTENT_LENGTH": "5"}),
        pytest.raises(Problem) as caught,
    ):
        raw_body(100)
    assert caught.value.kind.status == 400


@given(st.text(max_size=80))
def test_any_cursor_is_one_of_ours_or_a_problem(text: str) -> None:
    """Nobody breaks a list by its cursor."""
    for read_cursor in (moment_cursor, number_cursor, text_cursor):
        status = 422
        try:
            read_cursor(text)
        except Problem as problem:
            status = problem.kind.status
        assert status == 422


def test_cursors_come_back_as_they_were() -> None:
    """All three."""
    assert number_cursor(cursor_of(7)) == 7
    assert text_cursor(cursor_of("ü/%")) == "ü/%"
    found = moment_cursor(cursor_of("2026-01-01T00:00:00+00:00", "inc_1"))
    assert found is not None
    assert (found[0].year, found[1]) == (2026, "inc_1")
