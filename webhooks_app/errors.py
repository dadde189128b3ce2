"""Every refusal is a problem document (RFC 9457); none quotes what was sent, none is an accident's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from flask import Flask, Response
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import HTTPException

from shared.log import frames
from webhooks_app.database import DatabaseAway

log = structlog.get_logger(__name__)

RETRY_AFTER_S = "2"


@dataclass(frozen=True)
class Kind:
    """One type of problem: its name in the URI, its HTTP status and its title."""

    name: str
    status: int
    title: str


BAD_REQUEST = Kind("bad-request", 400, "The request cannot be read")
UNAUTHENTICATED = Kind("unauthenticated", 401, "No valid credentials")
FORBIDDEN = Kind("forbidden", 403, "The key may not do this")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here")
TOO_SLOW = Kind("too-slow", 408, "The body did not arrive in time")
CONFLICT = Kind("conflict", 409, "It conflicts with what is there")
CANNOT = Kind("provider-cannot", 409, "The provider cannot do this")
LENGTH_REQUIRED = Kind("length-required", 411, "Content-Length is required")
TOO_LARGE = Kind("too-large", 413, "The body is too large")
WRONG_TYPE = Kind("unsupported-media-type", 415, "The body must be application/json")
INVALID = Kind("invalid", 422, "The body is not valid")
TOO_MANY = Kind("too-many", 429, "Too many reads, or too many without valid credentials")
ACCIDENT = Kind("internal-error", 500, "Something went wrong here")
AWAY = Kind("unavailable", 503, "Not available now; try again")
UNCONFIGURED = Kind("hook-not-configured", 503, "No webhook secret is configured")

KINDS = (
    BAD_REQUEST, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, CONFLICT, CANNOT, LENGTH_REQUIRED, TOO_LARGE,
    WRONG_TYPE, INVALID, TOO_MANY, TOO_SLOW, ACCIDENT, AWAY, UNCONFIGURED,
)  # fmt: skip


class FieldError(BaseModel):
    """What is wrong with one field of the body or of the query."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="Where, as a dotted path; empty for the whole body.")
    detail: str = Field(description="What is wrong, without the value that was sent.")


class ProblemDocument(BaseModel):
    """The body of every error (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="A URI reference into /docs that names the type of problem.")
    title: str
    status: int
    detail: str
    errors: list[FieldError]


@dataclass
class Problem(Exception):
    """A refusal that becomes a problem document. `errors` are (field, what is wrong) pairs."""

    kind: Kind
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.kind.name)


def problem_response(problem: Problem) -> Response:
    """The answer that carries a problem."""
    document = ProblemDocument(
        type=f"/docs#{problem.kind.name}",
        title=problem.kind.title,
        status=problem.kind.status,
        detail=problem.detail,
        errors=[FieldError(field=where, detail=what) for where, what in problem.errors],
    )
    response = Response(document.model_dump_json(), problem.kind.status, content_type="application/problem+json")
    response.headers.update(problem.headers)
    return response


def away() -> Response:
    """What is answered while the database is away."""
    log.warning("door.database_away")
    detail = "The database does not answer, or too slowly. Nothing was accepted; keep it and send it again."
    return problem_response(Problem(AWAY, detail, headers={"Retry-After": RETRY_AFTER_S}))


def install(app: Flask) -> None:
    """Turn every way in which a request can fail into a problem document."""
    app.register_error_handler(Problem, problem_response)
    app.register_error_handler(DatabaseAway, lambda error: away())
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _accident)


def _http(error: HTTPException) -> Response:
    """Werkzeug's own refusals: an unknown route, a wrong method, a malformed request."""
    by_status = {kind.status: kind for kind in (BAD_REQUEST, NOT_FOUND, NOT_ALLOWED, LENGTH_REQUIRED, TOO_LARGE)}
    status = error.code or 500
    kind = by_status.get(status, BAD_REQUEST if status < 500 else ACCIDENT)
    allow = {name: value for name, value in error.get_headers() if name == "Allow"}
    return problem_response(Problem(kind, kind.title + ".", headers=allow))


def _accident(error: Exception) -> Response:
    """A fault of ours. Its text may quote what was sent, so only its type and its frames are written down."""
    log.error("door.accident", error=type(error).__name__, frames=frames(error.__traceback__))
    return problem_response(Problem(ACCIDENT, "The fault was logged. Keep the request and send it again."))
