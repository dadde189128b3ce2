"""The door on a real Postgres: an application or a process, a platform of its own, its keys and accounts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
from flask import Flask
from flask.testing import FlaskClient
from honcho.environ import parse_procfile
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from shared.crypto import Box, new_encryption_key
from shared.domain.lanes import Lane
from shared.doorbell import Row
from shared.settings import Settings
from shared.store.keys import create_key
from shared.store.models import Platform, ProviderAccount
from webhooks_app import create_app

ROOT = Path(__file__).resolve().parents[2]
SCOPES = ["alarms", "incidents", "sites", "platform"]
HOME: dict[str, Any] = {
    "person": {"name": "Ann Example", "phone": "+1 202 555 0123", "pin": "4711"},
    "location": {"address": {"line1": "1 Main St", "city": "Austin", "state": "TX", "zip": "78701"}},
}


@dataclass(frozen=True)
class Reply:
    """An answer of the door, read to its end."""

    status_code: int
    headers: Mapping[str, str]
    text: str
    json: Any

    @classmethod
    def of(cls, response: TestResponse) -> Reply:
        """Read it."""
        body = response.get_json(silent=True) if "json" in response.headers.get("Content-Type", "") else None
        return cls(response.status_code, dict(response.headers.items()), response.get_data(as_text=True), body)


@dataclass
class CountingBell:
    """Counts rings instead of ringing."""

    rung: list[Lane | Row] = field(default_factory=list)

    def ring(self, what: Lane | Row) -> None:
        """Count."""
        self.rung.append(what)


@dataclass
class Stage:
    """One platform's view of one door."""

    app: Flask
    client: FlaskClient
    bell: CountingBell
    engine: Engine
    box: Box
    settings: Settings
    encryption_key: str
    platform_id: str
    key: str

    def headers(self, key: str | None = None) -> dict[str, str]:
        """What authenticates."""
        return {"Authorization": f"Bearer {key or self.key}"}

    def post(self, path: str, body: Any, key: str | None = None) -> Reply:
        """Post JSON with a key."""
        return Reply.of(self.client.post(path, json=body, headers=self.headers(key)))

    def put(self, path: str, body: Any, key: str | None = None) -> Reply:
        """Put JSON with a key."""
        return Reply.of(self.client.put(path, json=body, headers=self.headers(key)))

    def get(self, path: str, key: str | None = None) -> Reply:
        """Read with a key."""
        return Reply.of(self.client.get(path, headers=self.headers(key)))

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Look into the database."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(sql), values))

    def change(self, sql: str, **values: Any) -> None:
        """Change the database behind the door's back."""
        with self.engine.begin() as connection:
            connection.execute(text(sql), values)

    def inbox(self) -> list[Any]:
        """This platform's inbox, in order."""
        return self.rows("SELECT * FROM inbox WHERE platform_id = :own ORDER BY id", own=self.platform_id)

    def deliver(self, path: str, raw: bytes, **headers: str) -> Reply:
        """Deliver a webhook."""
        return Reply.of(self.client.post(path, data=raw, headers=headers))

    def account(self, provider: str, **values: Any) -> str:
        """A provider account of this platform."""
        account_id = str(values.pop("id", f"{provider}-{uuid4().hex[:8]}"))
        defaults = {"environment": "staging", "base_url": "http://127.0.0.1:1", "name": account_id}
        secrets = values.pop("webhook_secrets", ["hook-secret"])
        with Session(self.engine) as session:
            session.add(
                ProviderAccount(
                    id=account_id,
                    platform_id=self.platform_id,
                    provider=provider,
                    credentials=self.box.seal({"token": "t", "client_id": "c", "client_secret": "s"}),
                    webhook_secrets=self.box.seal(secrets),
                    **(defaults | values),
                )
            )
            session.commit()
        return account_id

    def new_key(self, scopes: list[str], site_ref: str | None = None) -> str:
        """A key of this platform."""
        with Session(self.engine) as session:
            _, key = create_key(session, self.platform_id, "test", scopes, site_ref)
            session.commit()
        return key


def door_settings(database_url: str, redis_url: str, encryption_key: str, **values: Any) -> Settings:
    """Settings as the environment would give them, and nothing from the real environment."""
    given = {
        "database_url": database_url,
        "redis_url": redis_url,
        "encryption_keys": encryption_key,
        "log_level": "ERROR",
    }
    return Settings(**(given | values))


def open_stage(database_url: str, redis_url: str, **values: Any) -> Stage:
    """A door on a migrated database, with a platform and a key of all scopes."""
    encryption_key = new_encryption_key()
    settings = door_settings(database_url, redis_url, encryption_key, **values)
    bell = CountingBell()
    app = create_app(settings, bell=bell)
    engine = create_engine(database_url)
    platform_id = f"p-{uuid4().hex[:8]}"
    with Session(engine) as session:
        session.add(Platform(id=platform_id, name="Test platform"))
        session.flush()
        _, key = create_key(session, platform_id, "test", SCOPES)
        session.commit()
    return Stage(
        app, app.test_client(), bell, engine, Box((encryption_key,)), settings, encryption_key, platform_id, key
    )


def close_stage(stage: Stage) -> None:
    """Give every connection back."""
    stage.app.extensions["tocsin"].database.close()
    stage.engine.dispose()


@contextmanager
def granian(stage: Stage, *, before: str = "", headers_ms: str = "", **environment: str) -> Iterator[str]:
    """The Procfile's own server process on the stage's database; its address. `before` is shell, run before it;
    `headers_ms` is how long headers may take, else what the Procfile says.
    """
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = stage.settings
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    env |= {
        "TOCSIN_DATABASE_URL": settings.database_url.get_secret_value(),
        "TOCSIN_REDIS_URL": settings.redis_url.get_secret_value(),
        "TOCSIN_ENCRYPTION_KEYS": stage.encryption_key,
        "TOCSIN_LOG_LEVEL": "ERROR",
    } | environment
    env |= {"PORT": str(port), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    line = parse_procfile((ROOT / "Procfile").read_text()).processes["web"]
    if headers_ms:
        line += f" --http1-header-read-timeout {headers_ms}"
    process = subprocess.Popen(["/bin/sh", "-c", f"{before} exec {line} --no-log"], env=env, cwd=ROOT)
    try:
        address = f"http://127.0.0.1:{port}"
        _await_answer(process, address)
        yield address
    finally:
        process.terminate()
        process.wait(15)


def _await_answer(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(f"{address}/healthz", timeout=5)
            return
        except requests.ConnectionError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
