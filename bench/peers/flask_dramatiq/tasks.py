"""The actor, on dramatiq's Redis broker, which acknowledges after the work and retries by itself."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import records

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(max_retries=10, min_backoff=100)
def apply_event(row_id: int) -> None:
    """Apply one stored event."""
    with records.sessions().begin() as session:
        records.apply(session, row_id)
