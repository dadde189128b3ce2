"""Celery's consumer, whose events for Flower leave in bundles and a moment later: no alarm waits for them."""

from __future__ import annotations

import threading
import time

from celery.worker import consumer

# A task's events (received, started, ended) are one message then, and the first of them does not take the processor
# at the very moment at which its task is to start.
BUNDLE_S = 0.1


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """As Celery's own, in all but the moment at which events are sent."""

    _bundle_at = 0.0

    def on_send_event_buffered(self) -> None:
        """An event was buffered, by the event loop's thread or by a task's."""
        if self.hub is None or time.monotonic() < self._bundle_at:
            return
        if threading.current_thread() is threading.main_thread():
            self._bundle_at = time.monotonic() + BUNDLE_S
            self.hub.call_later(BUNDLE_S, self._flush_events)
        else:
            super().on_send_event_buffered()  # only the loop's own thread may set its timers
