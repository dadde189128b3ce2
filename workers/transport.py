"""Redis as kombu speaks it, except that neither a string which is no message nor a lost connection ends the worker.

With kombu 5.7.0 one junk string in a lane's list (no JSON, a JSON list or number, a body that is no Base64) raises
through the event loop and ends the process (celery #4308 and #7975, kombu #2421). Nothing is lost by throwing it
away: what must be done is a row in Postgres.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

log = structlog.get_logger(__name__)

# Kombu's own pause between two tries to reconnect grows to 30 s: so long would workers stay deaf after an outage.
RECONNECT_EVERY_S = 1.0


class Channel(redis.Channel):
    """A channel that survives what cannot be parsed, and a broker that goes away while a task runs."""

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

    def _connparams(self, asynchronous: bool = False) -> Any:
        # A task that ends after the connection was lost acks on a channel that is closed. Kombu raised AttributeError
        # then, which ended the worker; Celery is ready for a connection error.
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the channel is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


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


class EagerConnection(Connection):
    """A connection over our transport, tried again every second, however long the broker was away.

    The transport is named here and not as `broker_transport`: that would change the address's scheme, and Flower shows
    no lanes of a broker whose scheme it does not know.
    """

    def get_transport_cls(self) -> type[Transport]:
        """Ours, whatever else this process has resolved for the scheme."""
        return Transport

    def _ensure_connection(self, *args: Any, **options: Any) -> Any:
        pauses = {"interval_start": RECONNECT_EVERY_S, "interval_step": 0, "interval_max": RECONNECT_EVERY_S}
        return super()._ensure_connection(*args, **(pauses | options))  # type: ignore[no-untyped-call]


class EagerAMQP(AMQP):  # type: ignore[misc]
    """Celery's messages, over connections that come back soon."""

    Connection = EagerConnection


def _thrown_away(error: Exception) -> None:
    log.error("transport.junk_thrown_away", error=type(error).__name__)
