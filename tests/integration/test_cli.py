"""The `tocsin` command on a real database: what an operator does by hand, and what it leaves behind."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from deploy.cli import main
from deploy.embedded import Embedded
from shared.crypto import Box, hash_api_key, new_encryption_key
from shared.store import migrate
from shared.store.models import Incident, Notice, Outbox, ProviderAccount
from tests.conftest import fresh_database
from tests.integration.door_stage import HOME, Stage, close_stage, open_stage


class Cli:
    """Runs commands on one stage's database and reads their JSON."""

    def __init__(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        self.stage = stage
        self._capsys = capsys

    def __call__(self, *words: str) -> Any:
        """The command's JSON."""
        self._capsys.readouterr()
        code = main([*words, "--json"])
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)

    def refused(self, *words: str) -> str:
        """What the command says on stderr when it cannot."""
        self._capsys.readouterr()
        assert main(list(words)) == 1
        said = self._capsys.readouterr()
        assert said.out == ""
        return said.err

    def own(self, *words: str) -> Any:
        """A command on the stage's own platform."""
        return self(*words, "--platform", self.stage.platform_id)

    def audit(self) -> list[tuple[str, str]]:
        """What was written down, oldest first."""
        rows = self.stage.rows("SELECT action, subject FROM audit WHERE actor LIKE 'cli%' ORDER BY id")
        return [(row.action, row.subject) for row in rows]


@pytest.fixture
def cli(
    embedded: Embedded, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """The command, with the environment that `tocsin env` would give it."""
    url = fresh_database(embedded, "cli")
    migrate.upgrade(url)
    stage = open_stage(url, redis_url)
    for name, value in (("DATABASE_URL", url), ("REDIS_URL", redis_url), ("ENCRYPTION_KEYS", stage.encryption_key)):
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    yield Cli(stage, capsys)
    close_stage(stage)


def test_command_says_what_is_missing_when_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable's name, and how to get it at a desk."""
    for name in ("DATABASE_URL", "REDIS_URL", "ENCRYPTION_KEYS"):
        monkeypatch.delenv(f"TOCSIN_{name}", raising=False)
    assert main(["incidents", "list"]) == 1
    said = capsys.readouterr().err
    assert "TOCSIN_DATABASE_URL" in said
    assert 'eval "$(tocsin env)"' in said


def test_command_names_no_password_when_the_database_is_away(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 12 holds for a terminal too."""
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql+psycopg://someone:hunter2@127.0.0.1:1/none")
    said = cli.refused("notices", "list")
    assert "TOCSIN_DATABASE_URL" in said
    assert "hunter2" not in said


def test_migrate_makes_the_accounts_of_the_environment(
    embedded: Embedded, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an empty database, and again without an effect."""
    url = fresh_database(embedded, "empty")
    monkeypatch.setenv("TOCSIN_DATABASE_URL", url)
    assert "tocsin migrate" in cli.refused("platforms", "list")
    monkeypatch.setenv("TOCSIN_NOONLIGHT_BASE_URL", "https://api-sandbox.noonlight.com")
    assert "token is missing" in cli.refused("migrate")
    monkeypatch.setenv("TOCSIN_NOONLIGHT_TOKEN", "a-token")
    assert cli("migrate") == cli("migrate") == {
        "schema": "up to date", "platform": "default", "accounts": ["noonlight"]
    }  # fmt: skip
    (account,) = cli("accounts", "list")
    assert (account["id"], account["default"], account["hook"]) == ("noonlight", True, "/webhooks/noonlight")


def test_platform_is_made_and_changed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets come from variables and are sealed; what is not given stays."""
    monkeypatch.setenv("OUR_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    made = cli(
        "platforms", "create", "acme", "--name", "Acme", "--writeback-url", "https://acme.example/hook",
        "--from-env", "writeback_secret=OUR_SECRET",
    )  # fmt: skip
    assert (made["has_writeback_secret"], made["has_escalation_secret"]) == (True, False)
    changed = cli("platforms", "set", "acme", "--policies", '{"pin": "required"}', "--words", '{"requested": "sent"}')
    assert changed == cli("platforms", "show", "acme")
    assert (changed["policies"], changed["words"]) == ({"pin": "required"}, {"requested": "sent"})
    assert changed["writeback_url"] == "https://acme.example/hook"
    (row,) = cli.stage.rows("SELECT writeback_secret FROM platform WHERE id = 'acme'")
    assert cli.stage.box.open(row.writeback_secret) == "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
    assert cli.audit() == [("platform.create", "acme"), ("platform.set", "acme")]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--writeback-url", "http://10.0.0.1/hook"), "not a public one"),
        (("--policies", '{"pin": "sometimes"}'), "policies.pin"),
        (("--from-env", "writeback_secret=NOBODY_SET_THIS"), "a variable that is set"),
        (("--from-env", "pin=PATH"), "there is no secret pin here"),
    ],
)
def test_platform_is_refused_when_a_field_is_wrong(cli: Cli, words: tuple[str, ...], reason: str) -> None:
    """By the rules of `PUT /v1/platform`, and nothing is saved."""
    assert reason in cli.refused("platforms", "create", "bad", *words)
    assert "no platform bad" in cli.refused("platforms", "show", "bad")


def test_account_takes_its_credentials_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each; a later change keeps what is not given."""
    monkeypatch.setattr("sys.stdin", io.StringIO("the-id\nthe-secret\nhook-1, hook-2\n"))
    made = cli.own(
        "accounts", "create", "guards", "--provider", "aura", "--base-url", "https://staging-panic.example",
        "--environment", "staging", "--secret", "client_id", "--secret", "client_secret",
        "--secret", "webhook_secrets", "--default",
    )  # fmt: skip
    assert (made["default"], made["hook"]) == (True, "/webhooks/aura")
    cli("accounts", "set", "guards", "--options", '{"eta_unit": "minutes"}')
    with Session(cli.stage.engine) as session:
        row = session.get_one(ProviderAccount, "guards")
    assert cli.stage.box.open(row.credentials) == {"client_id": "the-id", "client_secret": "the-secret"}
    assert cli.stage.box.open(row.webhook_secrets) == ["hook-1", "hook-2"]
    assert (row.is_default, row.options) == (True, {"eta_unit": "minutes"})


def test_account_is_refused_when_host_and_environment_disagree(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked before it is saved, and changed by nobody."""
    monkeypatch.setenv("A_TOKEN", "token-of-noonlight")
    words = ["--provider", "noonlight", "--environment", "production", "--from-env", "token=A_TOKEN"]
    url = ("--base-url", "https://api-sandbox.noonlight.com")
    said = cli.refused("accounts", "create", "us", *words, *url, "--platform", cli.stage.platform_id)
    assert "staging" in said
    assert "token-of-noonlight" not in said
    assert cli("accounts", "list") == []


def test_key_is_shown_once_and_revoked(cli: Cli) -> None:
    """Its hash is all that stays."""
    made = cli.own("keys", "create", "--name", "gate", "--scope", "panel", "--site", "depot 7")
    listed = cli.own("keys", "list")[-1]
    assert (listed["id"], listed["site"], listed["revoked_at"]) == (made["id"], "depot 7", None)
    assert "key" not in listed
    (row,) = cli.stage.rows("SELECT hash FROM api_key WHERE id = :id", id=made["id"])
    assert row.hash == hash_api_key(made["key"])
    cli.own("keys", "revoke", str(made["id"]))
    assert "no live key" in cli.refused("keys", "revoke", str(made["id"]), "--platform", cli.stage.platform_id)
    assert [action for action, _ in cli.audit()] == ["key.create", "key.revoke"]


def test_panel_key_is_refused_without_a_site(cli: Cli) -> None:
    """A panel's key speaks for exactly one."""
    said = cli.refused("keys", "create", "--name", "x", "--scope", "panel", "--platform", cli.stage.platform_id)
    assert "exactly one site" in said


def test_new_encryption_key_needs_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    """It comes before everything else, and seals."""
    assert main(["keys", "new-encryption-key"]) == 0
    key = capsys.readouterr().out.strip()
    assert Box((key, new_encryption_key())).open(Box((key,)).seal({"a": 1})) == {"a": 1}


def test_incident_is_listed_and_shown(cli: Cli) -> None:
    """With nothing personal in it."""
    incident_id = _alarm(cli)
    (listed,) = cli.own("incidents", "list", "--status", "received")
    shown = cli.own("incidents", "show", incident_id)
    assert (listed["id"], shown["ref"], shown["legs"], shown["timeline"]) == (incident_id, "job 1", [], [])
    assert HOME["person"]["name"] not in json.dumps(shown)
    assert cli.own("incidents", "list", "--status", "closed") == []
    assert cli.own("incidents", "list", "--report", "missing") == []


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("resend", "--by", "Ann"), {"by": "Ann", "reason": None}),
        (("drop", "--by", "Ann", "--reason", "a drill"), {"by": "Ann", "reason": "a drill"}),
        (("close", "--by", "Ann", "--reason", "seen"), {"by": "Ann", "reason": "seen"}),
        (
            ("cancel", "--reason", "false_alarm", "--from-env", "pin=A_PIN"),
            {"reason": "false_alarm", "pin": "4711", "by": None, "note": None, "origin": "platform"},
        ),
        (
            ("report", "--url", "https://portal.example.com/1", "--by", "Ann"),
            {"url": "https://portal.example.com/1", "by": "Ann"},
        ),
    ],
)
def test_action_is_a_row_of_the_inbox(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], body: dict[str, Any]
) -> None:
    """Sealed, first in line, and written down; what it does, the work decides."""
    monkeypatch.setenv("A_PIN", "4711")
    incident_id = _alarm(cli)
    answer = cli.own("incidents", words[0], incident_id, *words[1:])
    assert answer == {"incident_id": incident_id, "status": "received", "asked": words[0]}
    row = cli.stage.inbox()[-1]
    assert (row.source, row.stream, row.priority, row.state) == (words[0], incident_id, 0, "pending")
    assert cli.stage.box.open(row.body) == body
    assert cli.audit() == [(f"incident.{words[0]}", incident_id)]


def test_drop_is_refused_without_a_name(cli: Cli) -> None:
    """A person ends attempts, not a script."""
    with pytest.raises(SystemExit) as wrong:
        main(["incidents", "drop", "x", "--reason", "y"])
    assert wrong.value.code == 2


def test_notice_is_acknowledged_by_the_first_name(cli: Cli) -> None:
    """And stays on the list, since what it is about goes on."""
    with Session(cli.stage.engine) as session, session.begin():
        session.add(Notice(platform_id=cli.stage.platform_id, subject="outbox:1", kind="dead", text="A note is dead"))
    (notice,) = cli.own("notices", "list")
    cli.own("notices", "acknowledge", str(notice["id"]), "--by", "Ann")
    again = cli.own("notices", "acknowledge", str(notice["id"]), "--by", "Bob")
    assert again["acknowledged_by"] == "Ann"
    assert cli.own("notices", "list")[0]["acknowledged_by"] == "Ann"


def test_inbox_row_is_worked_again_when_it_is_replayed(cli: Cli) -> None:
    """Its notice ends, so that another failure is told anew."""
    _alarm(cli)
    row_id = cli.stage.inbox()[-1].id
    cli.stage.change("UPDATE inbox SET state = 'set_aside', attempts = 4, last_error = 'KeyError'")
    with Session(cli.stage.engine) as session, session.begin():
        subject = f"inbox:{row_id}"
        session.add(Notice(platform_id=cli.stage.platform_id, subject=subject, kind="set_aside", text="set aside"))
    assert [row["id"] for row in cli("inbox", "list")] == [row_id]

    replayed = cli("inbox", "replay", str(row_id), "--by", "Ann")

    assert (replayed["state"], replayed["attempts"]) == ("pending", 0)
    assert cli.own("notices", "list") == []
    assert cli.audit() == [("inbox.replay", f"inbox:{row_id}")]
    assert "no row" in cli.refused("inbox", "replay", str(row_id), "--by", "Ann")


def test_dead_write_back_is_due_again_when_it_is_replayed(cli: Cli) -> None:
    """With a fresh count of attempts."""
    row_id = _dead(cli, "writeback", "outgoing")
    assert [row["id"] for row in cli("outbox", "list")] == [row_id]

    cli("outbox", "replay", str(row_id), "--by", "Ann")

    (row,) = cli("outbox", "list", "--state", "pending")
    assert (row["id"], row["attempts"]) == (row_id, 0)
    assert cli.audit() == [("outbox.replay", f"outbox:{row_id}")]


def test_dead_create_becomes_a_resend_when_it_is_replayed(cli: Cli) -> None:
    """The incident knows whether the first one may have arrived; the row does not."""
    row_id = _dead(cli, "create", "dispatch")

    assert cli("outbox", "replay", str(row_id), "--by", "Ann")["asked"] == "resend"

    asked = cli.stage.inbox()[-1]
    assert asked.source == "resend"
    assert cli.stage.box.open(asked.body) == {"by": "Ann", "reason": f"replay of row {row_id}"}
    assert cli("outbox", "list")[0]["state"] == "dead"


def _alarm(cli: Cli) -> str:
    """An alarm through the door; nobody works it here."""
    cli.stage.account("noonlight")
    reply = cli.stage.post("/v1/alarms", {"incident_ref": "job 1", "kind": "burglary", **HOME})
    assert reply.status_code == 202, reply.text
    return str(reply.json["incident_id"])


def _dead(cli: Cli, kind: str, lane: str) -> int:
    incident_id = _alarm(cli)
    with Session(cli.stage.engine) as session, session.begin():
        incident = session.get_one(Incident, incident_id)
        row = Outbox(
            lane=lane,
            kind=kind,
            destination="x",
            platform_id=incident.platform_id,
            incident_id=incident_id,
            state="dead",
            attempts=60,
            done_at=session.execute(text("SELECT now()")).scalar_one(),
        )
        session.add(row)
        session.flush()
        return row.id
