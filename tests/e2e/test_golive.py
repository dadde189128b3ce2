"""`tocsin golive` on the whole running stack: green as it is, and red in the right line for what is wrong."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from deploy.cli import main
from deploy.cli.golive.credentials import LIVE, SERVER_SIDE
from deploy.cli.golive.dispatching import CANCEL, DISPATCH, UPDATES
from deploy.cli.golive.hooks import AUTHENTIC, IDEMPOTENT, MAPPED
from deploy.cli.golive.operating import DELIVERIES, DUPLICATES, MISSING, REPORTS
from deploy.cli.golive.registering import REGISTERED, REMOVED
from deploy.cli.golive.resolving import CALLED_BACK, RESOLVES
from deploy.cli.stack import Stack
from shared.crypto import Box

Lines = dict[tuple[str, str], dict[str, str]]
SITE = {
    "provider": "aura",
    "name": "Depot 7",
    "address": {"line1": "7 Harbour Road", "city": "Cape Town", "zip": "8001", "country": "ZA"},
    "coordinates": {"lat": -33.9249, "lng": 18.4241},
}


class Rehearsed:
    """A running stack, and the command that rehearses on it."""

    def __init__(self, stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
        self.stack = stack
        self._capsys = capsys

    def golive(self, *words: str) -> tuple[int, list[dict[str, str]]]:
        """The command's exit code and its lines."""
        self._capsys.readouterr()
        code = main(["golive", "--json", "--data", str(self.stack.data_dir), *words])
        return code, json.loads(self._capsys.readouterr().out)

    def lines(self, *words: str) -> Lines:
        """The lines of a run that fails, with little patience, by check and account."""
        code, lines = self.golive("--wait", "8", *words)
        assert code == 1
        return {(line["check"], line["account"]): line for line in lines}

    def control(self, provider: str, **body: Any) -> None:
        """Tell the sandbox to behave otherwise."""
        url = self.stack.described["sandbox"][provider]["url"]
        requests.post(f"{url}/_control", json=body, timeout=10).raise_for_status()

    def imported(self) -> str:
        """Hand over a portfolio of three, whatever was there before; how its import ended."""
        web, key = self.stack.described["web"], self.stack.described["api_key"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/csv"}
        rows = "".join(f"csv-{n},Depot {n},-33.9,18.{n:03d},{n} Long Street\n" for n in range(3))
        text = f"site_ref,name,latitude,longitude,address\n{rows}"
        taken = requests.post(f"{web}/v1/site-imports?allow_fall=true", data=text.encode(), headers=headers, timeout=10)
        assert taken.status_code == 202, taken.text
        url, end = f"{web}/v1/site-imports/{taken.json()['id']}", time.monotonic() + 40
        while time.monotonic() < end:
            shown = requests.get(url, headers=headers, timeout=10).json()
            if shown["ended_at"] is not None:
                return f"{shown['state']} {shown['reason']}".strip()
            time.sleep(0.1)
        raise AssertionError(shown)

    def remove(self, reference: str) -> None:
        """Take a site out again."""
        web, key = self.stack.described["web"], self.stack.described["api_key"]
        requests.delete(f"{web}/v1/sites/{reference}", headers={"Authorization": f"Bearer {key}"}, timeout=10)

    def site(self, reference: str) -> None:
        """Save a site, and wait until the provider has it."""
        web, key = self.stack.described["web"], self.stack.described["api_key"]
        headers = {"Authorization": f"Bearer {key}"}
        requests.put(f"{web}/v1/sites/{reference}", json=SITE, headers=headers, timeout=10).raise_for_status()
        for _ in range(200):
            shown = requests.get(f"{web}/v1/sites/{reference}", headers=headers, timeout=10).json()
            if shown["sync_state"] == "synced":
                return
        raise AssertionError(shown)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything that `tocsin up` runs."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-golive-") as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        Path(folder).chmod(0o711)
        environment.setenv("TOCSIN_IMPORT_CALLBACK_S", "2")
        with Stack(Path(folder) / "data", lambda line: None) as running:
            yield running
            running.erase()


@pytest.fixture
def rehearsed(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Rehearsed]:
    """The command with the environment that `tocsin env` gives; what a test broke is mended."""
    for name, value in stack.described["environment"].items():
        monkeypatch.setenv(name, value)
    with stack.session() as session:
        kept = session.execute(text("SELECT id, credentials FROM provider_account")).all()
    yield Rehearsed(stack, capsys)
    with stack.session() as session, session.begin():
        for row in kept:
            session.execute(
                text("UPDATE provider_account SET credentials = :c, token = NULL WHERE id = :a"),
                {"c": row.credentials, "a": row.id},
            )


def test_golive_is_green_on_a_stack_that_is_whole(rehearsed: Rehearsed) -> None:
    """Every line of the checklist, for both providers; a person is needed only for what nobody can know from here."""
    code, lines = rehearsed.golive("--sample", "3")
    assert code == 0, lines
    found = {(line["check"], line["account"]): line["verdict"] for line in lines if line["check"] != SERVER_SIDE}
    both = (LIVE, REGISTERED, DISPATCH, UPDATES, CANCEL, AUTHENTIC, IDEMPOTENT, MAPPED, REMOVED)
    assert found == {
        **{(check, account): "pass" for check in both for account in ("aura", "noonlight")},
        **{(check, ""): "pass" for check in (MISSING, DUPLICATES, DELIVERIES)},
        (RESOLVES, "aura"): "pass",
        (RESOLVES, "noonlight"): "not applicable",
        (CALLED_BACK, ""): "not applicable",
        (REPORTS, "aura"): "pass",
        (REPORTS, "noonlight"): "needs a person",
    }
    kept = [line["verdict"] for line in lines if line["check"] == SERVER_SIDE]
    assert kept == ["pass", "pass", "not applicable"]


def test_golive_leaves_nothing_behind(rehearsed: Rehearsed) -> None:
    """No site, no open alarm at a provider, no key that works."""
    rehearsed.golive()
    for name, listed in (("aura", "callouts"), ("noonlight", "alarms")):
        url = rehearsed.stack.described["sandbox"][name]["url"]
        state = requests.get(f"{url}/_state", timeout=10).json()
        assert all("CANCEL" in json.dumps(alarm).upper() for alarm in state[listed])
    with rehearsed.stack.session() as session:
        left = session.execute(text("SELECT count(*) FROM site WHERE deleted_at IS NULL")).scalar()
        keys = session.execute(
            text("SELECT count(*) FROM api_key WHERE name LIKE 'golive%' AND revoked_at IS NULL")
        ).scalar()
    assert (left, keys) == (0, 0)


@pytest.mark.parametrize("account", ["aura", "noonlight"])
def test_golive_is_red_when_a_token_was_revoked(rehearsed: Rehearsed, account: str) -> None:
    """In the first line, and in no line of the other provider."""
    keys = rehearsed.stack.described["environment"]["TOCSIN_ENCRYPTION_KEYS"].split(",")
    wrong = Box(tuple(keys)).seal({"token": "revoked!", "client_id": "tocsin-desk", "client_secret": "revoked!"})
    with rehearsed.stack.session() as session, session.begin():
        session.execute(
            text("UPDATE provider_account SET credentials = :c, token = NULL WHERE id = :a"), {"c": wrong, "a": account}
        )
    lines = rehearsed.lines()
    assert lines[(LIVE, account)]["verdict"] == "fail"
    assert "credentials refused" in lines[(LIVE, account)]["why"]
    (other,) = {"aura", "noonlight"} - {account}
    assert [line for (_, name), line in lines.items() if name == other and line["verdict"] == "fail"] == []


@pytest.mark.parametrize("account", ["aura", "noonlight"])
@pytest.mark.parametrize("broken", [{"webhook_secret": "another"}, {"webhooks": "off"}])
def test_golive_is_red_when_webhooks_do_not_arrive(rehearsed: Rehearsed, account: str, broken: dict[str, str]) -> None:
    """A wrong secret at the provider, or deliveries that are lost: what polling finds does not count."""
    secret = rehearsed.stack.described["sandbox"][account]["webhook_secret"]
    rehearsed.control(account, **broken)
    try:
        lines = rehearsed.lines()
    finally:
        rehearsed.control(account, webhook_secret=secret, webhooks="normal")
    assert lines[(UPDATES, account)]["verdict"] == "fail"
    assert lines[(LIVE, account)]["verdict"] == lines[(DISPATCH, account)]["verdict"] == "pass"


def test_golive_is_red_when_a_reference_stands_twice(rehearsed: Rehearsed) -> None:
    """A second record of one reference at the provider."""
    rehearsed.site("golive-twice")
    rehearsed.control(
        "aura", portal=[{"add": {"externalReferenceId": "golive-twice", "latitude": "1", "longitude": "1"}}]
    )
    try:
        lines = rehearsed.lines()
    finally:
        rehearsed.control("aura", portal=[{"reference": "golive-twice", "remove": True}] * 2)
        rehearsed.remove("golive-twice")
    assert "golive-twice: duplicate_reference" in lines[(RESOLVES, "aura")]["why"]
    assert "golive-twice" in lines[(DUPLICATES, "")]["why"]


def test_golive_is_red_when_a_site_was_deleted_at_the_provider(rehearsed: Rehearsed) -> None:
    """Its alarm would be refused in the night."""
    rehearsed.site("golive-gone")
    rehearsed.control("aura", portal=[{"reference": "golive-gone", "remove": True}])
    lines = rehearsed.lines()
    rehearsed.remove("golive-gone")
    assert "golive-gone" in lines[(RESOLVES, "aura")]["why"]


def test_golive_is_red_when_nobody_would_be_told(rehearsed: Rehearsed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an escalation address."""
    monkeypatch.setenv("TOCSIN_ESCALATION_URL", "")
    line = rehearsed.lines()[(DELIVERIES, "")]
    assert line["verdict"] == "fail"
    assert "escalation" in line["why"]


def test_golive_is_red_when_a_log_holds_a_secret(rehearsed: Rehearsed) -> None:
    """Where it stands, and whose it is; not the secret."""
    secret = rehearsed.stack.described["environment"]["TOCSIN_NOONLIGHT_TOKEN"]
    log = rehearsed.stack.data_dir / "logs" / "careless.log"
    log.write_text(f"sending with {secret}\n")
    try:
        _, lines = rehearsed.golive("--wait", "8")
    finally:
        log.unlink()
    (line,) = [line for line in lines if line["check"] == SERVER_SIDE and line["verdict"] == "fail"]
    assert line["why"] == "careless.log holds a secret of noonlight"


def test_golive_judges_a_portfolio_by_its_call_back(rehearsed: Rehearsed) -> None:
    """Green after an import that was called back; red when the callback never arrives."""
    with rehearsed.stack.session() as session, session.begin():
        session.execute(text("UPDATE provider_account SET site_mode = 'csv' WHERE id = 'aura'"))
    assert rehearsed.imported() == "done"
    _, lines = rehearsed.golive()
    found = {line["check"]: line["verdict"] for line in lines if line["account"] == "aura"}
    assert {found[check] for check in (REGISTERED, DISPATCH, UPDATES, CANCEL, MAPPED, CALLED_BACK)} == {"pass"}
    rehearsed.control("aura", csv_callback=False)
    ended = rehearsed.imported()
    assert ended.startswith("failed"), ended
    line = rehearsed.lines()[(CALLED_BACK, "aura")]
    assert line["verdict"] == "fail"
    assert "not called back" in line["why"]
