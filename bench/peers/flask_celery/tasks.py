"""The task, on a broker that keeps a message until the work is done."""

from __future__ import annotations

import os

from celery import Celery

from bench.peers import records

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="apply_event", autoretry_for=(Exception,), retry_backoff=True, max_retries=10)
def apply_event(row_id: int) -> None:
    """Apply one stored event."""
    with records.sessions().begin() as session:
        records.apply(session, row_id)
