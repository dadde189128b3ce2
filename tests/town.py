"""A whole Tocsin in one process on real Postgres: the door over HTTP, the engines by hand, the sandbox as the world."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import requests
from sqlalchemy import text
from werkzeug.serving import BaseWSGIServer, make_server

from deploy.embedded import Embedded
from deploy.sandbox import Sandbox
from shared.accounts import ensure_defaults
from shared.crypto import Box, new_encryption_key
from shared.domain.lanes import Lane
from shared.doorbell import Doorbell, Row
from shared.settings import Settings
from shared.store import migrate
from shared.store.engine import make_engine, make_sessions
from shared.store.keys import create_key
from shared.store.models import Platform
from tests.conftest import fresh_database
from webhooks_app import create_app
from workers.deps import Deps
from workers.engine import Engine
from workers.services import watching
from workers.services.jobs import ensure_jobs
from workers.tokens import StoredTokens

SCOPES = ["alarms", "incidents", "sites", "platform"]
ADDRESS = {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}
PERSON = {"name": "Jane Example", "phone": "+12025550142", "pin": "4711"}
# Short patience, so that a story of lost leases takes seconds.
QUICK: dict[str, Any] = {"call_s": 2.0, "lease_margin_s": 1.0, "least_exchange_s": 0.5}


@dataclass
class SilentBell:
    """Keeps the rings; nobody answers them but the test."""

    rung: list[Lane | Row] = field(default_factory=list)

    def ring(self, what: Lane | Row, *, force: bool = False) -> None:
        """Keep."""
        self.rung.append(what)


class Town:
    """One tenant, its door, its workers (driven by `turn`) and both providers."""

    def __init__(self, database_url: str, redis_url: str, **values: Any) -> None:
        """Start everything but the workers."""
        self.sandbox = Sandbox({}).start()
        given = self.sandbox.config
        self.encryption_key = new_encryption_key()
        described: dict[str, Any] = {
            "database_url": database_url,
            "redis_url": redis_url,
            "encryption_keys": self.encryption_key,
            "aura_base_url": self.sandbox.aura.url,
            "aura_client_id": given.aura.client_id,
            "aura_client_secret": given.aura.client_secret,
            "aura_webhook_secrets": given.aura.webhook_secret,
            "noonlight_base_url": self.sandbox.noonlight.url,
            "noonlight_token": given.noonlight.token,
            "noonlight_webhook_secrets": given.noonlight.webhook_secret,
            "noonlight_options": {"support_phone": "+1 555 0100"},
            "escalation_url": self.sandbox.platform.escalation_url,
            "escalation_secret": given.platform.escalation_secret,
            "log_level": "ERROR",
            "probe_every_s": 0,
        }
        self.settings = Settings(**(described | values))
        self.box = Box((self.encryption_key,))
        self.engine = make_engine(database_url, name="test", pool_size=20)
        self.sessions = make_sessions(self.engine)
        with self.sessions.begin() as session:
            ensure_defaults(session, self.settings.default_accounts(), self.box)
        with self.sessions.begin() as session:
            platform = session.get_one(Platform, "default")
            platform.writeback_url = self.sandbox.platform.writeback_url
            platform.writeback_secret = self.box.seal(given.platform.writeback_secret)
            platform.policies = {}
            _, self.key = create_key(session, "default", "town", SCOPES)
        self.bell = SilentBell()
        self.app = create_app(self.settings, bell=self.bell)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server: BaseWSGIServer = make_server("127.0.0.1", 0, self.app, threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.noonlight("_control", webhook_url=f"{self.url}/webhooks/noonlight")
        self.aura("_control", webhook_url=f"{self.url}/webhooks/aura")
        self.deps = self.new_deps()
        ensure_jobs(self.deps)
        # Polls come only when a test asks for them: they would mingle with what it counts.
        self.change("UPDATE job SET next_run_at = 'infinity' WHERE name = 'status.poll'")
        self.engines = {lane: Engine(self.deps, lane, 8) for lane in Lane}

    def new_deps(self, **values: Any) -> Deps:
        """Deps of a worker of its own (optionally with other settings)."""
        settings = self.settings.model_copy(update=values)
        bell = Doorbell(settings.redis_url.get_secret_value())
        return Deps(settings, self.sessions, self.box, bell, self.bell, StoredTokens(self.sessions, self.box))

    def close(self) -> None:
        """Stop the world."""
        self.sandbox.stop()
        self.server.shutdown()
        self.server.server_close()
        self.deps.bell.close()
        self.app.extensions["tocsin"].database.close()
        self.engine.dispose()

    # -- work ------------------------------------------------------------------------------------------------------

    def turn(self, *lanes: Lane) -> int:
        """Let the workers work what is due in these lanes (default: all) once; how much they did."""
        return sum(self.engines[lane].drain_lane() for lane in (lanes or tuple(Lane)))

    def until(self, condition: Callable[[], Any], *, within_s: float = 15.0, lanes: tuple[Lane, ...] = ()) -> Any:
        """Work until the condition holds, and return what it returned."""
        ends = time.monotonic() + within_s
        while True:
            self.turn(*lanes)
            found = condition()
            if found:
                return found
            if time.monotonic() > ends:
                raise AssertionError(f"did not come true within {within_s} s")
            time.sleep(0.02)

    def poll(self) -> None:
        """Ask for every open alarm now, whatever its cadence, and work until nothing is due."""
        self.change("UPDATE dispatch SET poll_at = now() WHERE poll_at IS NOT NULL")
        self.change("UPDATE provider_account SET poll_at = NULL")
        watching.begin(self.deps)
        self.settle()

    def settle(self) -> None:
        """Work until nothing is due at this moment."""
        while self.turn(Lane.INTAKE, Lane.DISPATCH, Lane.OUTGOING):
            pass

    # -- the operator ----------------------------------------------------------------------------------------------

    def post(self, path: str, body: Any, key: str | None = None) -> requests.Response:
        """Post as the platform."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return requests.post(f"{self.url}{path}", json=body, headers=headers, timeout=20)

    def alarm(self, kind: str = "burglary", ref: str | None = None, **more: Any) -> str:
        """Raise a site-less alarm at a US home; its incident id."""
        body = {
            "incident_ref": ref or f"ref-{uuid4().hex[:8]}",
            "kind": kind,
            "provider": "noonlight",
            "person": PERSON,
            "location": {"address": ADDRESS},
        }
        return self.accepted(body | more)

    def site_alarm(self, site_ref: str, kind: str = "burglary", ref: str | None = None, **more: Any) -> str:
        """Raise an alarm at a site; its incident id."""
        return self.accepted(
            {"incident_ref": ref or f"ref-{uuid4().hex[:8]}", "kind": kind, "site_ref": site_ref} | more
        )

    def accepted(self, body: dict[str, Any]) -> str:
        """Post an alarm that must be taken."""
        answer = self.post("/v1/alarms", body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["incident_id"])

    def guarded_site(self, reference: str | None = None, *, synced: bool = True) -> str:
        """Save an AURA site, and let it be registered."""
        reference = reference or f"site-{uuid4().hex[:8]}"
        body = {
            "provider": "aura",
            "name": "Warehouse",
            "address": {"line1": "1 Long Street", "city": "Cape Town", "state": "WC", "zip": "8001"},
            "coordinates": {"lat": -33.92, "lng": 18.42},
            "gate_instructions": "Ring twice",
        }
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = requests.put(f"{self.url}/v1/sites/{reference}", json=body, headers=headers, timeout=20)
        assert answer.status_code in (200, 201, 202), answer.text
        if synced:
            self.until(lambda: self.one("SELECT provider_site_id FROM site WHERE reference = :r", r=reference))
        return reference

    def incident(self, incident_id: str) -> dict[str, Any]:
        """The incident as the API shows it."""
        headers = {"Authorization": f"Bearer {self.key}"}
        found: dict[str, Any] = requests.get(
            f"{self.url}/v1/incidents/{incident_id}", headers=headers, timeout=20
        ).json()
        return found

    def status(self, incident_id: str) -> str:
        """Its status."""
        return str(self.one("SELECT status FROM incident WHERE id = :i", i=incident_id))

    def events(self, incident_id: str) -> list[str]:
        """The events of its timeline, in order."""
        return [
            row[0] for row in self.rows("SELECT event FROM timeline WHERE incident_id = :i ORDER BY id", i=incident_id)
        ]

    def policy(self, **policies: Any) -> None:
        """Set the platform's policies."""
        with self.sessions.begin() as session:
            session.get_one(Platform, "default").policies = policies

    # -- the providers ---------------------------------------------------------------------------------------------

    def noonlight(self, path: str, **body: Any) -> Any:
        """Talk to the sandbox's control surface."""
        return _control(self.sandbox.noonlight.url, path, body)

    def aura(self, path: str, **body: Any) -> Any:
        """Talk to the sandbox's control surface."""
        return _control(self.sandbox.aura.url, path, body)

    def platform(self, path: str, **body: Any) -> Any:
        """Talk to the sandbox's control surface."""
        return _control(self.sandbox.platform.url, path, body)

    def creates(self, provider: str = "noonlight") -> list[dict[str, Any]]:
        """The creates that reached a provider."""
        log: list[dict[str, Any]] = getattr(self, provider)("_log")
        if provider == "noonlight":
            return [entry for entry in log if entry["path"] == "/dispatch/v1/alarms" and entry["method"] == "POST"]
        return [entry for entry in log if entry["path"].endswith("/callouts") and entry["method"] == "POST"]

    def alarms(self) -> list[dict[str, Any]]:
        """The alarms that exist at Noonlight."""
        return list(self.noonlight("_state")["alarms"])

    def callouts(self) -> list[dict[str, Any]]:
        """The callouts that exist at AURA."""
        return list(self.aura("_state")["callouts"])

    def writebacks(self, ref: str) -> list[dict[str, Any]]:
        """What was written back for a reference, by seq."""
        found = self.platform(f"_writebacks?incident_ref={ref}")["items"]
        return sorted((item["body"] for item in found if "seq" in item["body"]), key=lambda body: int(body["seq"]))

    def escalations(self) -> list[dict[str, Any]]:
        """The notices that reached the escalation address."""
        found = self.platform("_escalations")["items"]
        return [notice for item in found for notice in item["body"]["notices"]]

    # -- the database ----------------------------------------------------------------------------------------------

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Look into the database."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(sql), values))

    def one(self, sql: str, **values: Any) -> Any:
        """The first column of the first row."""
        rows = self.rows(sql, **values)
        return rows[0][0] if rows else None

    def change(self, sql: str, **values: Any) -> None:
        """Change the database behind everybody's back (time travel)."""
        with self.engine.begin() as connection:
            connection.execute(text(sql), values)


def _control(url: str, path: str, body: dict[str, Any]) -> Any:
    reading = path.startswith(("_log", "_state", "_writebacks", "_escalations"))
    method = requests.get if reading else requests.post
    answer = method(f"{url}/{path}", json=None if reading else body, timeout=20)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None


@contextmanager
def open_town(embedded: Embedded, **values: Any) -> Iterator[Town]:
    """A town on a fresh database."""
    database_url = fresh_database(embedded, "town")
    migrate.upgrade(database_url)
    town = Town(database_url, embedded.urls.redis_url, **values)
    try:
        yield town
    finally:
        town.close()
