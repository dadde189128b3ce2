"""An account that cannot be used is found by asking, told to a person, and forgotten when it answers again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.cli import main
from deploy.embedded import Embedded
from tests.town import Town, open_town


@pytest.fixture(scope="module")
def town(embedded: Embedded) -> Iterator[Town]:
    """A town whose accounts are asked."""
    with open_town(embedded, probe_every_s=3600.0) as opened:
        yield opened


@pytest.fixture
def healthy(town: Town) -> Iterator[Town]:
    """Both accounts answered; the providers' own tokens come back afterwards."""
    ask(town)
    kept = dict(town.rows("SELECT id, credentials FROM provider_account"))
    yield town
    for account, credentials in kept.items():
        town.change("UPDATE provider_account SET credentials = :c WHERE id = :a", c=credentials, a=account)
    ask(town)


@pytest.fixture
def cli(town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command on the town; its exit code and its JSON."""
    settings = town.settings
    monkeypatch.setenv("TOCSIN_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("TOCSIN_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("TOCSIN_ENCRYPTION_KEYS", town.encryption_key)

    def run(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def ask(town: Town) -> None:
    """Let the next probe of every account come now, and wait for it."""
    town.change("UPDATE job SET next_run_at = now() WHERE name = 'accounts.probe'")
    town.until(lambda: town.one("SELECT count(*) FROM outbox WHERE kind = 'probe' AND state = 'pending'") == 2)
    before = town.one("SELECT sum(token) FROM outbox WHERE kind = 'probe'")
    town.change("UPDATE outbox SET next_attempt_at = now() WHERE kind = 'probe'")
    town.until(
        lambda: town.one("SELECT sum(token) FROM outbox WHERE kind = 'probe' AND lease_until IS NULL") == before + 2
    )


def revoke(town: Town, account: str) -> None:
    """What is kept here is no longer what the provider takes."""
    wrong = {"token": "revoked", "client_id": "tocsin", "client_secret": "revoked"}
    town.change("UPDATE provider_account SET credentials = :c WHERE id = :a", c=town.box.seal(wrong), a=account)


def open_notices(town: Town) -> list[Any]:
    """What persons are told of accounts at this moment."""
    return town.rows("SELECT subject, text FROM notice WHERE kind = 'account' AND ended_at IS NULL")


def test_probe_changes_nothing_at_the_providers(healthy: Town) -> None:
    """One read each, and AURA's token before it; no alarm is made."""
    healthy.noonlight("_reset")
    healthy.aura("_reset")
    ask(healthy)
    (read,) = healthy.noonlight("_log")
    assert (read["method"], read["status"]) == ("GET", 404)
    assert [entry["path"].rpartition("/")[2] for entry in healthy.aura("_log")] == ["token", "activeCallouts"]
    assert not healthy.alarms()
    assert not healthy.callouts()


@pytest.mark.parametrize("provider", ["noonlight", "aura"])
def test_account_is_told_once_when_two_probes_failed(healthy: Town, provider: str) -> None:
    """Not after one, which may have been an accident; ended when it answers again."""
    kept = healthy.one("SELECT credentials FROM provider_account WHERE id = :a", a=provider)
    revoke(healthy, provider)
    ask(healthy)
    assert open_notices(healthy) == []
    ask(healthy)
    ask(healthy)
    ((subject, words),) = open_notices(healthy)
    assert subject == f"account:{provider}"
    assert "credentials refused" in words
    healthy.until(lambda: any(notice["kind"] == "account" for notice in healthy.escalations()))
    ready = requests.get(f"{healthy.url}/readyz", timeout=10)
    assert ready.status_code == 200
    assert f"account: {provider} failed 3 probes in a row" in ready.json()["warnings"]
    metrics = requests.get(f"{healthy.url}/metrics", timeout=10).text
    assert f'tocsin_account_failed_probes{{account="{provider}"}} 3.0' in metrics
    healthy.change("UPDATE provider_account SET credentials = :c WHERE id = :a", c=kept, a=provider)
    ask(healthy)
    assert open_notices(healthy) == []
    ready = requests.get(f"{healthy.url}/readyz", timeout=10)
    assert not any(warning.startswith("account:") for warning in ready.json()["warnings"])


def test_probe_comes_sooner_after_a_failure(healthy: Town) -> None:
    """An hour between looks, a minute before the second opinion."""
    wait = "SELECT extract(epoch FROM next_attempt_at - now()) FROM outbox WHERE single = 'probe:noonlight'"
    assert 3500 < healthy.one(wait) <= 3600
    revoke(healthy, "noonlight")
    ask(healthy)
    assert 50 < healthy.one(wait) <= 60


def test_command_tells_a_live_account_from_a_dead_one(healthy: Town, cli: Any) -> None:
    """By its exit code, and with the reason."""
    assert cli("accounts", "test", "aura") == (0, {"id": "aura", "usable": True, "reason": ""})
    assert cli("accounts", "test", "noonlight")[0] == 0
    revoke(healthy, "aura")
    assert cli("accounts", "test", "aura") == (1, {"id": "aura", "usable": False, "reason": "credentials refused"})


def test_rotated_secret_drops_the_kept_token_and_is_probed_at_once(
    healthy: Town, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of the credentials before would hide a typo in the new ones."""
    kept = "SELECT token FROM provider_account WHERE id = 'aura'"
    failed = "SELECT attempts FROM outbox WHERE single = 'probe:aura' AND state = 'pending'"
    assert healthy.one(kept) is not None
    monkeypatch.setenv("NEXT", "a-typo")
    assert cli("accounts", "set", "aura", "--from-env", "client_secret=NEXT")[0] == 0
    assert healthy.one(kept) is None
    healthy.until(lambda: healthy.one(failed) == 1)
    monkeypatch.setenv("NEXT", healthy.sandbox.config.aura.client_secret)
    assert cli("accounts", "set", "aura", "--from-env", "client_secret=NEXT")[0] == 0
    healthy.until(lambda: healthy.one(failed) == 0)
    assert healthy.one(kept) is not None


def test_nobody_is_asked_when_the_interval_is_nothing(embedded: Embedded) -> None:
    """A desk without a network can switch it off."""
    with open_town(embedded) as quiet:
        quiet.turn()
        assert quiet.one("SELECT count(*) FROM outbox WHERE kind = 'probe'") == 0
