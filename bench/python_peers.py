"""The peers in Python as contestants: how each is started, by its own documents."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench.contestant import Place
from bench.ground import ROOT
from bench.processes import Group
from bench.traffic import SECRET, alarm_id

PEERS = ROOT / "bench" / "peers"
PROGRAMS = Path(sys.prefix) / "peers" / "bin"
GATHERED = """
    SELECT i.alarm_id, i.status,
        (SELECT count(*) FROM timeline t WHERE t.incident_id = i.id),
        (SELECT count(*) FROM writeback w WHERE w.incident_id = i.id)
    FROM incident i
"""


def make_tables(database_url: str, alarms: int) -> None:
    """The schema of the peers, and their incidents."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute((PEERS / "schema.sql").read_bytes())
        connection.execute(
            "INSERT INTO incident (id, alarm_id)"
            " SELECT n, %s || lpad(n::text, 8, '0') FROM generate_series(0, %s) AS n",
            [alarm_id(0)[:-8], alarms - 1],
        )
        connection.execute("VACUUM ANALYZE")


@dataclass(frozen=True)
class Gunicorn:
    """Threaded workers, since plain ones keep no connection open: two processes for two cores."""

    module: str
    processes: int = 2
    threads: int = 16

    def command(self, port: int) -> list[str]:
        """One line."""
        counts = ["--workers", str(self.processes), "--threads", str(self.threads)]
        return [
            *(
                "gunicorn",
                "--worker-class",
                "gthread",
                *counts,
                "--bind",
                f"127.0.0.1:{port}",
                "--log-level",
                "warning",
            ),
            *("--keep-alive", "30", self.module),
        ]


@dataclass
class PythonPeer:
    """A peer behind gunicorn, with the workers of its queue. `pool` is what one worker process needs of connections."""

    name: str
    words: str
    web: Gunicorn
    worker: Sequence[str]
    pool: int
    processes: int = 1
    extra: Mapping[str, str] = field(default_factory=dict)
    path: str = "/webhooks"
    sequence: str = "writeback_id_seq"
    written: str = "SELECT count(*) FROM writeback"
    outcome: str = GATHERED

    def missing(self) -> str | None:
        """Its packages have an environment of their own."""
        return None if (PROGRAMS / self.worker[0]).exists() else "not installed (make peers)"

    def make_ready(self, place: Place, alarms: int) -> None:
        """Tables and incidents."""
        make_tables(place.database_url, alarms)

    def door(self, place: Place) -> Group:
        """gunicorn."""
        group = self._group(place, self.web.threads)
        group.launch(f"{self.name}-web", self.web.command(place.port))
        return group

    def workers(self, place: Place) -> Group:
        """The queue's own program."""
        group = self._group(place, self.pool)
        for number in range(self.processes):
            group.launch(f"{self.name}-worker-{number}", self.worker)
        return group

    def _group(self, place: Place, pool: int) -> Group:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("TOCSIN_", "CELERY_"))}
        environment = plain | {
            "PATH": f"{PROGRAMS}{os.pathsep}{plain.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": place.database_url.replace("postgresql:", "postgresql+psycopg:", 1),
            "REDIS_URL": place.ground.redis_url,
            "WEBHOOK_SECRET": SECRET,
            "POOL_SIZE": str(pool),
            **self.extra,
        }
        return Group(place.ground.folder, environment, place.ground.folder)


FLASK_CELERY = PythonPeer(
    name="flask_celery",
    words="Flask + Celery, one task per webhook",
    web=Gunicorn("bench.peers.flask_celery.web:app"),
    worker=[
        *("celery", "-A", "bench.peers.flask_celery.tasks", "worker", "--concurrency", "4"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
    ],
    pool=1,
)
