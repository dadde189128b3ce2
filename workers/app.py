"""The Celery app: the settings that held under `kill -9`, restart, freeze and flush. Reasons: docs/adr/0003."""

from __future__ import annotations

import gc
import sys
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging, worker_ready
from kombu.entity import Exchange, Queue

from shared import log as logs
from shared.domain.lanes import Lane
from shared.settings import current
from workers.schedule import SCHEDULE

log = structlog.get_logger(__name__)

# Seconds that a thread which computes keeps the interpreter from one that has to ring (Python's own: 0.005). A ring
# takes the interpreter several times: beside a busy thread it took 6.2 ms, and takes 1.1 ms now.
SWITCH_S = 0.0005


class TaskFailedError(Exception):
    """What Celery, its events and Flower see of an error: its type and no text, which may quote anything (law 12)."""


class QuietTask(Task):  # type: ignore[misc]
    """A task whose errors are logged as frames, and forgotten: the row that it worked is the record."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run; any error becomes TaskFailedError."""
        try:
            return self.run(*args, **kwargs)
        except Exception as error:
            log.exception("task.failed", task=self.name)
            kind = type(error).__name__
        raise TaskFailedError(kind)


@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    """Celery's own lines go through our formatter too, from the first one on."""
    logs.configure(current().log_level)


@worker_ready.connect
def _warm_up(**_: Any) -> None:
    """Make the parts before the first bell: the first alarm after a start shall not wait for imports."""
    from workers.process import parts  # the parts know the app's settings, so they come after it

    try:
        parts()
    except Exception as error:  # noqa: BLE001 - without a database at this moment the first task makes them
        log.warning("worker.cold", error=type(error).__name__)
    _stop_searching_what_stays()
    sys.setswitchinterval(SWITCH_S)


def _stop_searching_what_stays() -> None:
    """Modules, mappers and settings live as long as the process: the collector shall not go through them in each batch.

    A batch makes thousands of objects that live to its commit; at the usual threshold of 700 it was searched ten times.
    """
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


def make_app() -> Celery:
    """An app on the broker of the settings, knowing every lane and every task."""
    made = Celery(
        "tocsin",
        broker=current().redis_url.get_secret_value(),
        task_cls=QuietTask,
        amqp="workers.transport:EagerAMQP",
        include=[f"workers.tasks.{lane.value}" for lane in Lane],
    )
    made.conf.update(
        broker_transport_options={
            "visibility_timeout": 60,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "max_connections": 64,
            "client_name": "tocsin-worker",
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        task_publish_retry=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_ignore_result=True,
        result_backend=None,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_create_missing_queues=False,
        task_default_queue=Lane.PERIODIC.value,
        task_queues=[Queue(lane.value, Exchange(lane.value, "direct"), routing_key=lane.value) for lane in Lane],
        worker_send_task_events=True,
        task_send_sent_event=False,
        worker_consumer="workers.consumer:Consumer",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
        timezone="UTC",
        beat_enable_remote_control=True,
        beat_max_loop_interval=5,
        beat_schedule=SCHEDULE,
    )
    return made


app = make_app()
