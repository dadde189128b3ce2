"""Reading a body: bounded before it is read, checked before it is believed."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from webhooks_app.errors import BAD_REQUEST, INVALID, LENGTH_REQUIRED, TOO_LARGE, WRONG_TYPE, Problem

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_INT_DIGITS = 15
_FIELD_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


def raw_body(limit: int) -> bytes:
    """The body as it was sent. Needs a Content-Length of at most `limit` bytes, and exactly that many bytes.

    A body without a length (chunked) is refused unread: the stack underneath cuts it silently at its own limit.
    """
    declared = request.environ.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in request.environ or not declared:
        raise Problem(LENGTH_REQUIRED, "Send the body with a Content-Length, not chunked.")
    if not (declared.isascii() and declared.isdigit()):
        raise Problem(BAD_REQUEST, "Content-Length is not a number.")
    if len(declared) > 12 or int(declared) > limit:
        raise Problem(TOO_LARGE, f"A body may have {limit} bytes.")
    length = int(declared)
    raw = bytes(request.environ["wsgi.input"].read(length)) if length else b""
    if len(raw) != length:
        raise Problem(BAD_REQUEST, "The body is shorter than its Content-Length.")
    return raw


def json_body(limit: int) -> Any:
    """The body as a JSON value of bounded depth, size and numbers."""
    if request.mimetype != "application/json":
        raise Problem(WRONG_TYPE, "Send Content-Type: application/json.")
    raw = raw_body(limit)
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_int=_small_int, parse_float=_finite_float, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise Problem(BAD_REQUEST, "The body is not UTF-8.") from None
    except RecursionError:
        raise Problem(BAD_REQUEST, f"The body is nested deeper than {MAX_DEPTH}.") from None
    except _BadNumber as bad:
        raise Problem(BAD_REQUEST, str(bad)) from None
    except ValueError:
        raise Problem(BAD_REQUEST, "The body is not JSON.") from None
    _check_bounds(value)
    return value


def model_body(model: type[M], limit: int) -> tuple[M, dict[str, Any]]:
    """The body as `model`, and as the JSON object it was."""
    value = json_body(limit)
    if not isinstance(value, dict):
        raise Problem(INVALID, "The body must be a JSON object.", [("", "must be an object")])
    return parse(model, value), value


def parse(model: type[M], value: Any) -> M:
    """A JSON value as `model`, strictly. Raises a problem that names each wrong field and no value."""
    try:
        # Through JSON, since only there strict mode takes moments and closed words as the strings that they are.
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise Problem(INVALID, "Some fields are not valid.", field_errors(error)) from None


def field_errors(error: ValidationError) -> list[tuple[str, str]]:
    """Field and reason of each fault; never the input."""
    return [
        (".".join(_shown(part) for part in fault["loc"]), fault["msg"])
        for fault in error.errors(include_input=False, include_url=False, include_context=False)[:50]
    ]


def _shown(part: str | int) -> str:
    """A part of a path; a key that is no plain word is the sender's own text and is not repeated."""
    text = str(part)
    return text if _FIELD_NAME.fullmatch(text) else "(unknown)"


class _BadNumber(ValueError):
    """A number that no field of ours can hold."""


def _small_int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_INT_DIGITS:
        raise _BadNumber(f"An integer may have {MAX_INT_DIGITS} digits.")
    return int(text)


def _finite_float(text: str) -> float:
    """A number; to JSON 6.0 is the integer 6, and no alarm is refused for the way in which its sender writes it."""
    value = float(text)
    if not math.isfinite(value):
        raise _BadNumber("A number is too large.")
    return int(value) if value.is_integer() and abs(value) < 10**MAX_INT_DIGITS else value


def _no_constant(text: str) -> float:
    raise _BadNumber("NaN and Infinity are not JSON.")


def _check_bounds(value: Any) -> None:
    """Depth, count and characters, without recursion."""
    nodes = 0
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise Problem(BAD_REQUEST, f"The body may have {MAX_NODES} keys and elements.")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                raise Problem(BAD_REQUEST, f"The body is nested deeper than {MAX_DEPTH}.")
            if isinstance(item, dict):
                for key in item:
                    _check_text(key)
                children = list(item.values())
            else:
                children = item
            waiting.extend((child, depth + 1) for child in children)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Problem(BAD_REQUEST, "The body contains a NUL character.")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise Problem(BAD_REQUEST, "The body contains half a surrogate pair.") from None
