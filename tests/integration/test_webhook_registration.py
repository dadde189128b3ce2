"""Our hook at a provider: registered by hand only, after saying what it replaces, and looked after once a day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.cli import main
from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.incident_stage import calm, requested
from tests.town import QUICK, Town, open_town
from workers.engine import Engine
from workers.services import hooking

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def open_for_all(embedded: Embedded) -> Iterator[Town]:
    """One town for this file."""
    with open_town(embedded, **QUICK) as town:
        yield town


@pytest.fixture
def town(open_for_all: Town) -> Town:
    """The town without what the test before left."""
    calm(open_for_all)
    open_for_all.change("UPDATE provider_account SET registered_hook = NULL, registered_hook_at = NULL")
    return open_for_all


@pytest.fixture
def cli(town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command, with the town's environment; its JSON, or its complaint."""
    values = {
        "DATABASE_URL": town.settings.database_url.get_secret_value(),
        "REDIS_URL": town.settings.redis_url.get_secret_value(),
        "ENCRYPTION_KEYS": town.encryption_key,
        "PUBLIC_URL": town.url,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)

    def run(*words: str) -> Any:
        capsys.readouterr()
        code = main([*words, "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    return run


def _checked(town: Town) -> str | None:
    """What the notice says after the daily check."""
    deps = town.new_deps(public_url=town.url)
    hooking.begin(deps)
    Engine(deps, Lane.OUTGOING, 8).drain_lane()
    found: str | None = town.one("SELECT text FROM notice WHERE kind = 'webhook_stale' AND ended_at IS NULL")
    return found


def test_hook_is_registered_and_works_when_it_is_confirmed(town: Town, cli: Cli) -> None:
    """With the custom header, for all documented events; the record holds no readable secret."""
    done = cli("webhook", "register", "aura", "--yes")

    hook = f"{town.url}/webhooks/aura"
    assert (done["last_registered"], done["stale"]) == (hook, None)
    notifier = town.aura("_state")["notifier"]
    assert notifier["url"] == hook
    assert "CALLOUT_CLOSED" in notifier["events"]
    assert "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA" not in notifier["events"]
    incident = requested(town, town.guarded_site(), "burglary")
    town.aura("_step", id=town.callouts()[0]["id"], event="CALLOUT_CLOSED")
    town.until(lambda: town.status(incident) == "closed")


def test_nothing_is_replaced_when_nobody_confirmed(town: Town, cli: Cli) -> None:
    """It says what it would replace, and by what."""
    said = cli("webhook", "register", "aura")

    assert "customer source" in said
    assert f"{town.url}/webhooks/aura" in said
    assert "--yes" in said
    assert not [entry for entry in town.aura("_log") if entry["path"].endswith("/notifiers/webhooks")]


def test_command_says_why_when_a_hook_cannot_be_registered(
    town: Town, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http in the open; a provider that takes it in its portal only; a refusal."""
    assert "developer portal" in cli("webhook", "register", "noonlight", "--yes")
    monkeypatch.setenv("TOCSIN_PUBLIC_URL", "http://tocsin.example")
    assert "https" in cli("webhook", "register", "aura", "--yes")
    monkeypatch.setenv("TOCSIN_PUBLIC_URL", town.url)
    town.aura("_control", fail=[{"path": "*/notifiers/webhooks", "status": 400, "body": '{"message": "no"}'}])
    assert "refused (HTTP 400): no" in cli("webhook", "register", "aura", "--yes")


def test_status_is_unknown_when_it_cannot_be_read_back(town: Town, cli: Cli) -> None:
    """And says why, beside what is known here."""
    shown = {row["account"]: row for row in cli("webhook", "status")}

    assert shown["aura"]["registered"] == shown["noonlight"]["registered"] == "unknown"
    assert "no way to read back" in shown["aura"]["why"]
    assert "developer portal" in shown["noonlight"]["why"]
    assert shown["aura"]["last_registered"] is None


def test_person_is_told_once_when_what_we_registered_went_stale(town: Town, cli: Cli) -> None:
    """Our address or our secret changed since; registering again ends it."""
    assert _checked(town) is None
    cli("webhook", "register", "aura", "--yes")
    assert _checked(town) is None
    sealed = town.box.seal({"url": f"{town.url}/webhooks/aura", "secret": "an old one"})
    town.change("UPDATE provider_account SET registered_hook = :s WHERE id = 'aura'", s=sealed)
    found = _checked(town)
    assert found is not None
    assert "secret" in found
    cli("webhook", "register", "aura", "--yes")
    assert _checked(town) is None
