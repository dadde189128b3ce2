"""Redis as kombu speaks it, except that a string which is no message is thrown away instead of ending the worker.

With kombu 5.7.0 one junk string in a lane's list (no JSON, a JSON list or number, a body that is no Base64) raises
through the event loop and ends the process (celery #4308 and #7975, kombu #2421). Nothing is lost by throwing it
away: what must be done is a row in Postgres.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import redis

log = structlog.get_logger(__name__)


class Channel(redis.Channel):
    """A channel that survives what cannot be parsed."""

    def _brpop_read(self, **options: Any) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[no-untyped-call]
        except ValueError as error:  # no JSON, no UTF-8; `Transport` has caught all that can be wrong with a message
            _thrown_away(error)
            return True

    def _get(self, queue: str, timeout: Any = None) -> Any:
        while True:
            try:
                return super()._get(queue)  # type: ignore[no-untyped-call]
            except ValueError as error:
                _thrown_away(error)


class Transport(redis.Transport):
    """A transport that hands on what can be read, and throws away the rest."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            self.Channel.Message(message, channel=next(iter(self.channels), None))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - whatever a stranger pushed into the list
            _thrown_away(error)
            return
        super()._deliver(message, queue)  # type: ignore[no-untyped-call]


def _thrown_away(error: Exception) -> None:
    log.error("transport.junk_thrown_away", error=type(error).__name__)
