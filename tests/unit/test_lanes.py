"""Every lane has a consumer, every task a lane, and the broker's settings are those that held (docs/adr/0003)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import QueueNotFound
from honcho.environ import parse_procfile

from shared import settings
from shared.crypto import new_encryption_key
from shared.domain.lanes import DRAIN_TASK, ROW_TASK, Lane

PROCFILE = Path(__file__).resolve().parents[2] / "Procfile"
SETTINGS: dict[str, Any] = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "task_publish_retry": False,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "task_ignore_result": True,
    "result_backend": None,
    "task_store_errors_even_if_ignored": False,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_create_missing_queues": False,
    "worker_send_task_events": True,
    "task_send_sent_event": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "beat_enable_remote_control": True,
    "task_time_limit": None,
    "task_soft_time_limit": None,
}
TRANSPORT = {
    "visibility_timeout": 60,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "max_connections": 64,
}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The workers' app, made on settings of this test; nothing connects."""
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TOCSIN_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("TOCSIN_ENCRYPTION_KEYS", new_encryption_key())
    settings.current.cache_clear()
    from workers.app import app

    app.loader.import_default_modules()
    yield app
    settings.current.cache_clear()


def workers() -> dict[str, str]:
    """The lines of the Procfile that start a worker."""
    lines: dict[str, str] = parse_procfile(PROCFILE.read_text()).processes
    return {name: line for name, line in lines.items() if " worker " in line}


def consumed(line: str) -> list[str]:
    """The queues that a worker's line names."""
    words = line.split()
    return words[words.index("-Q") + 1].split(",")


def test_every_lane_has_a_consumer() -> None:
    """And no worker serves two: nobody's backlog stands before an alarm."""
    lanes = [consumed(line) for line in workers().values()]
    assert all(len(one) == 1 for one in lanes)
    assert {one[0] for one in lanes} == {lane.value for lane in Lane}


def test_alarms_have_two_worker_processes() -> None:
    """One that dies, or restarts, leaves another."""
    assert sum(consumed(line) == ["dispatch"] for line in workers().values()) >= 2


def test_workers_take_no_part_in_gossip() -> None:
    """Threads for calls that wait; nothing that fans out over pub/sub at start."""
    for line in workers().values():
        assert "-P threads" in line
        assert "--without-gossip" in line
        assert "--without-mingle" in line


def test_every_task_belongs_to_a_lane(app: Any) -> None:
    """By its name, or as a periodic duty; and each name that is rung for exists."""
    from workers.services.jobs import JOBS

    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours >= set(DRAIN_TASK.values()) | set(ROW_TASK.values())
    assert {name.partition(".")[0] for name in ours - set(JOBS)} == {lane.value for lane in Lane}


def test_every_entry_of_the_schedule_expires_and_names_its_lane(app: Any) -> None:
    """So that ticks do not pile up while nobody takes them."""
    for entry in app.conf.beat_schedule.values():
        named = entry["task"].partition(".")[0]
        assert entry["options"]["queue"] == (named if named in {lane.value for lane in Lane} else Lane.PERIODIC.value)
        assert entry["options"]["expires"] < 2 * entry["schedule"]


def test_publishing_raises_when_the_queue_is_a_typo(app: Any) -> None:
    """A message to a list that nobody reads would vanish in silence."""
    with pytest.raises(QueueNotFound):
        app.send_task("dispatch.create", args=[1], queue="dispach")


def test_each_queue_has_an_exchange_of_its_own(app: Any) -> None:
    """A bare queue gets the default exchange, and then two lists get one message."""
    for queue in app.conf.task_queues:
        assert queue.exchange.name == queue.routing_key == queue.name


def test_settings_are_those_that_held(app: Any) -> None:
    """Each has its reason in docs/adr/0003; whoever changes one changes that page."""
    assert {name: app.conf[name] for name in SETTINGS} == SETTINGS
    assert {name: app.conf.broker_transport_options[name] for name in TRANSPORT} == TRANSPORT


def test_messages_are_read_by_the_guarded_transport(app: Any) -> None:
    """The stock one ends the worker at the first string that is no message."""
    from workers.transport import EagerConnection, Transport

    with app.connection_for_read() as connection:
        assert isinstance(connection, EagerConnection)
        assert connection.transport_cls == "redis"  # another scheme would hide the lanes from Flower
        assert isinstance(connection.transport, Transport)
