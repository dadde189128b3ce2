"""What lists take in their query, and the cursors by which they go on."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from flask import request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shared.domain.drift import Kind as DriftKind
from shared.domain.lifecycle import Status
from webhooks_app.bodies import Moment, Ref
from webhooks_app.errors import INVALID, Problem
from webhooks_app.intake import field_errors

Q = TypeVar("Q", bound="Query")


class Query(BaseModel):
    """What all queries share; a fault never quotes its input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Page(Query):
    """What every list takes."""

    cursor: Annotated[str, Field(max_length=400)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: int = Field(default=50, ge=1, le=200)


def _listed(value: object) -> object:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


class IncidentQuery(Page):
    """`GET /v1/incidents`."""

    status: Annotated[list[Status], BeforeValidator(_listed)] = Field(
        default_factory=list, max_length=20, description="One or more statuses, separated by commas."
    )
    site_ref: Ref | None = None
    since: Moment | None = Field(default=None, description="Received at or after this moment.")
    report: Literal["missing"] | None = Field(default=None, description="Closed, and no report was filed.")


class NoticeQuery(Page):
    """`GET /v1/notices`."""

    open: bool = Field(default=True, description="Only notices that are not over.")


class DriftQuery(Page):
    """`GET /v1/site-drift`."""

    open: bool = Field(default=True, description="Only differences that are not over.")
    kind: Annotated[list[DriftKind], BeforeValidator(_listed)] = Field(
        default_factory=list, max_length=20, description="One or more kinds, separated by commas."
    )
    account: Ref | None = None
    site_ref: Ref | None = None


class ImportQuery(Query):
    """`POST /v1/site-imports`."""

    account: Ref | None = Field(default=None, description="Needed where more than one account takes portfolios.")
    dry_run: bool = Field(default=False, description="Only say what is wrong, by line and column.")
    delimiter: Literal[",", ";", "tab"] | None = Field(default=None, description="Found in the header unless given.")
    absent: Literal["delete", "keep"] = Field(
        default="delete", description="What becomes of uploaded sites that the file does not hold."
    )
    allow_fall: bool = Field(default=False, description="Take a file that is much smaller than the last one.")


def query(model: type[Q]) -> Q:
    """The query of the request. Raises a problem that names each wrong parameter and no value."""
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise Problem(INVALID, "Some query parameters are not valid.", field_errors(error)) from None


def cursor_of(*parts: str | int) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def moment_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """The cursor of a list that is ordered by moment and id."""
    if cursor is None:
        return None
    parts = _parts(cursor, 2)
    try:
        moment = datetime.fromisoformat(str(parts[0]))
    except ValueError:
        raise _bad_cursor() from None
    if moment.tzinfo is None or not isinstance(parts[1], str):
        raise _bad_cursor()
    return moment, parts[1]


def number_cursor(cursor: str | None) -> int | None:
    """The cursor of a list that is ordered by number."""
    if cursor is None:
        return None
    (number,) = _parts(cursor, 1)
    if not isinstance(number, int) or not 0 <= number < 2**62:
        raise _bad_cursor()
    return number


def text_cursor(cursor: str | None) -> str | None:
    """The cursor of a list that is ordered by text."""
    if cursor is None:
        return None
    (text,) = _parts(cursor, 1)
    if not isinstance(text, str):
        raise _bad_cursor()
    return text


def _parts(cursor: str, count: int) -> list[object]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(parts, list) or len(parts) != count or not all(_askable(part) for part in parts):
        raise _bad_cursor()
    return parts


def _askable(part: object) -> bool:
    """Whether it can stand in a query: a text without a NUL and without half a surrogate pair, or no text."""
    return not isinstance(part, str) or not any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in part)


def _bad_cursor() -> Problem:
    return Problem(INVALID, "Some query parameters are not valid.", [("cursor", "is not a cursor of this list")])
