"""The peers in Python as contestants: how each is started, by its own documents."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.contestant import Place
from bench.ground import ROOT
from bench.processes import Group
from bench.traffic import SECRET, alarm_id

PEERS = ROOT / "bench" / "peers"
PROGRAMS = Path(sys.prefix) / "peers" / "bin"
GATHERED = """
    SELECT i.alarm_id, i.status, coalesce(t.count, 0), coalesce(w.count, 0)
    FROM incident i
    LEFT JOIN (SELECT incident_id, count(*) FROM timeline GROUP BY 1) t ON t.incident_id = i.id
    LEFT JOIN (SELECT incident_id, count(*) FROM writeback GROUP BY 1) w ON w.incident_id = i.id
"""


def make_tables(database_url: str, alarms: int) -> None:
    """The schema of the peers, and their incidents."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute((PEERS / "schema.sql").read_bytes())
        connection.execute(
            "INSERT INTO incident (id, alarm_id)"
            " SELECT n, %s || lpad(n::text, 8, '0') FROM generate_series(0, %s::bigint) AS n",
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
    # Makes what the queue itself needs in the database.
    schema: Sequence[str] = ()
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
        if self.schema:
            subprocess.run(self.schema, env=self._environment(place, 1), cwd=place.ground.folder, check=True)

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
        return Group(place.ground.folder, self._environment(place, pool), place.ground.folder)

    def _environment(self, place: Place, pool: int) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("TOCSIN_", "CELERY_"))}
        return plain | {
            "PATH": f"{PROGRAMS}{os.pathsep}{plain.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": place.database_url.replace("postgresql:", "postgresql+psycopg:", 1),
            "REDIS_URL": place.ground.redis_url,
            "WEBHOOK_SECRET": SECRET,
            "POOL_SIZE": str(pool),
        }


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
FLASK_DRAMATIQ = PythonPeer(
    name="flask_dramatiq",
    words="Flask + dramatiq, one message per webhook",
    web=Gunicorn("bench.peers.flask_dramatiq.web:app"),
    worker=["dramatiq", "bench.peers.flask_dramatiq.tasks", "--processes", "2", "--threads", "8"],
    pool=8,
)
FLASK_PROCRASTINATE = PythonPeer(
    name="flask_procrastinate",
    words="Flask + procrastinate, the job a row of the same transaction",
    web=Gunicorn("bench.peers.flask_procrastinate.web:app"),
    worker=["procrastinate", "--app", "bench.peers.flask_procrastinate.tasks.app", "worker"],
    pool=8,
    processes=2,
    schema=["procrastinate", "--app", "bench.peers.flask_procrastinate.tasks.app", "schema", "--apply"],
)
