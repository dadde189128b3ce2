"""Logs: JSON lines on stderr, by one configuration for every process, with nothing personal or secret in them."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

# Law 12: whoever logs one of these by mistake logs nothing. Compared in lower case, at every depth.
NEVER_LOGGED = frozenset(
    {
        "address", "authorization", "body", "contacts", "credentials", "email", "headers", "key", "message", "name",
        "note", "params", "password", "person", "phone", "pin", "raw", "secret", "secrets", "token", "url",
    }
)  # fmt: skip


def configure(level: str = "INFO") -> None:
    """Send structlog and the standard library's loggers through one JSON formatter to stderr. Can be repeated."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        frames_only,
        without_personal_data,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def without_personal_data(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drop every key of NEVER_LOGGED, also inside nested values."""
    return {key: _clean(value) for key, value in event.items() if key.lower() not in NEVER_LOGGED}


def frames_only(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace a traceback by the error's type and its frames: an error's text may quote what somebody sent."""
    info = event.pop("exc_info", None)
    error = sys.exception() if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["frames"] = frames(error.__traceback__)
    return event


def frames(trace: TracebackType | None) -> list[str]:
    """Where it happened, innermost last, without a single value."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-20:]]


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items() if str(key).lower() not in NEVER_LOGGED}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
