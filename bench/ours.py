"""Tocsin as a contestant: the door and the intake worker by the lines of the Procfile, with the real doorbell."""

from __future__ import annotations

import os
import sys
from typing import Any

import psycopg
from honcho.environ import parse_procfile
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from bench.contestant import Place
from bench.ground import ROOT
from bench.processes import Group
from bench.traffic import SECRET, alarm_id
from shared.accounts import DEFAULT_PLATFORM, ensure_defaults
from shared.crypto import Box, new_encryption_key
from shared.settings import Settings
from shared.store import migrate
from shared.store.models import Platform

ACCOUNT = "noonlight"
PERSON = {"person": {"name": "Jane Example", "phone": "+12025550142", "pin": "4711"}}

_INCIDENTS = text("""
    INSERT INTO incident (id, platform_id, incident_ref, account_id, kind, services, details, status, moments,
        occurred_at, received_at)
    SELECT 'inc_' || n, :platform, 'ref-' || n, :account, 'burglary', '{police}', :details, 'requested',
        jsonb_build_object('requested', now()), now(), now()
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
""")
_LEGS = text("""
    WITH leg AS (
        INSERT INTO dispatch (incident_id, account_id, outcome, provider_alarm_id, status, services, sending_at,
            answered_at)
        SELECT 'inc_' || n, :account, 'accepted', :stem || lpad(n::text, 8, '0'), 'requested', '{police}', now(), now()
        FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
        RETURNING id, incident_id
    )
    INSERT INTO incident_leg (incident_id, leg_id, outcome) SELECT incident_id, id, 'accepted' FROM leg
""")


class Ours:
    """The product."""

    name = "ours"
    words = "Tocsin: Granian and the gate, drained by one Celery task"
    path = f"/webhooks/{ACCOUNT}"
    sequence = "outbox_id_seq"
    written = "SELECT count(*) FROM outbox WHERE kind = 'writeback'"
    outcome = """
        SELECT d.provider_alarm_id, i.status, coalesce(t.count, 0), coalesce(o.count, 0)
        FROM incident i
        JOIN dispatch d ON d.incident_id = i.id
        LEFT JOIN (SELECT incident_id, count(*) FROM timeline GROUP BY 1) t ON t.incident_id = i.id
        LEFT JOIN (SELECT incident_id, count(*) FROM outbox WHERE kind = 'writeback' GROUP BY 1) o
            ON o.incident_id = i.id
    """

    def __init__(self, **settings: str) -> None:
        """`settings` go before those of the bench."""
        self._settings = settings
        # For the fields at rest, the same for all processes.
        self._key = new_encryption_key()

    def missing(self) -> str | None:
        """It is always here."""
        return None

    def make_ready(self, place: Place, alarms: int) -> None:
        """Migrate, and make the incidents with a leg each."""
        migrate.upgrade(_for_sqlalchemy(place.database_url))
        with self.session(place) as session, session.begin():
            ensure_defaults(session, Settings(**self._values(place)).default_accounts(), Box((self._key,)))
        with self.session(place) as session, session.begin():
            platform = session.get_one(Platform, DEFAULT_PLATFORM)
            # Never called: only the rows are made.
            platform.writeback_url = "http://127.0.0.1:9/"
            self.add_alarms(session, 0, alarms)
        with psycopg.connect(place.database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def session(self, place: Place) -> Session:
        """A session on the contestant's database, whose connection ends with it."""
        return Session(create_engine(_for_sqlalchemy(place.database_url), poolclass=NullPool))

    def add_alarms(self, session: Session, first: int, count: int) -> None:
        """Incidents of alarms `first` and on, each accepted by the provider."""
        stem = alarm_id(0)[:-8]
        values = {"first": first, "last": first + count - 1, "account": ACCOUNT}
        details = Box((self._key,)).seal(PERSON)
        session.execute(_INCIDENTS, values | {"platform": DEFAULT_PLATFORM, "details": details})
        session.execute(_LEGS, values | {"stem": stem})

    def door(self, place: Place) -> Group:
        """The process `web`."""
        return self.launch(place, "web")

    def workers(self, place: Place) -> Group:
        """The processes of the lane."""
        return self.launch(place, "worker_intake")

    def launch(self, place: Place, *stems: str, machine: str = "%h") -> Group:
        """Start each process of the Procfile whose name begins so, as a worker of `machine`."""
        own = {f"TOCSIN_{name.upper()}": value for name, value in self._values(place).items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GRANIAN_")}
        path = f"{os.path.dirname(sys.executable)}{os.pathsep}{kept.get('PATH', os.defpath)}"
        environment = kept | own | {"PATH": path, "PYTHONPATH": str(ROOT), "PORT": str(place.port)}
        environment["BEAT_SCHEDULE"] = str(place.ground.folder / "beat")
        group = Group(place.ground.folder, environment, place.ground.folder)
        lines: dict[str, str] = parse_procfile((ROOT / "Procfile").read_text()).processes
        for name, line in lines.items():
            if name.startswith(stems):
                group.launch(f"ours-{name}", ["/bin/sh", "-c", f"exec {line.replace('@%h', f'@{machine}')}"])
        return group

    def _values(self, place: Place) -> dict[str, Any]:
        return {
            "database_url": _for_sqlalchemy(place.database_url),
            "redis_url": place.ground.redis_url,
            "encryption_keys": self._key,
            "noonlight_base_url": "http://127.0.0.1:9",
            "noonlight_token": "unused",
            "noonlight_webhook_secrets": SECRET,
            "log_level": "WARNING",
            "probe_every_s": "0",
            **self._settings,
        }


def _for_sqlalchemy(url: str) -> str:
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
