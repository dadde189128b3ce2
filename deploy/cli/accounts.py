"""`tocsin accounts`: credentials, host and webhook secrets at a provider, one set per platform or many."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from sqlalchemy import func, select, update

from deploy.cli.faults import CommandError
from deploy.cli.probing import ask, reason_of
from deploy.cli.reach import Reach, reach
from deploy.cli.secret_words import read_secrets, take_secrets
from deploy.cli.show import show, show_all
from deploy.cli.words import Commands, command, group, take_platform
from shared.accounts import account_value
from shared.domain.lanes import Lane
from shared.domain.outcome import Accepted
from shared.providers import registry
from shared.store.models import Outbox, ProviderAccount

# It stands in the path of the account's hook.
_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")
_PLAIN = ("name", "base_url", "environment", "site_mode")
_WEBHOOKS = "webhook_secrets"


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "accounts", "credentials and hooks at the providers")
    create = command(own, "create", run_create, "make an account; it is checked before it is saved")
    create.add_argument("id", help="also the last part of its hook: /webhooks/<provider>/<id>")
    create.add_argument("--provider", required=True, help=", ".join(registry.names()))
    take_platform(create)
    _take_fields(create)
    change = command(own, "set", run_set, "change what is given")
    change.add_argument("id")
    _take_fields(change)
    command(own, "show", run_show, "show one account, without its secrets").add_argument("id")
    command(own, "list", run_list, "list all accounts")
    test = command(own, "test", run_test, "ask the provider whether the account can be used; it changes nothing there")
    test.add_argument("id")


def _take_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name")
    parser.add_argument("--base-url", metavar="URL")
    parser.add_argument("--environment", choices=("staging", "production"), help="it must agree with the host")
    parser.add_argument("--site-mode", choices=("rest", "csv"), help="how the provider learns of sites")
    parser.add_argument("--options", type=json.loads, metavar="JSON", help="what was agreed with the provider")
    parser.add_argument("--default", action="store_true", help="make it the account of /webhooks/<provider>")
    take_secrets(parser, f"{_WEBHOOKS} (comma-separated), or a credential by the provider's name for it")


def run_create(arguments: argparse.Namespace) -> int:
    """Make an account."""
    if not _ID.fullmatch(arguments.id):
        raise CommandError("an id has 1 to 80 letters, digits, dots, underscores or hyphens")
    if arguments.provider not in registry.names():
        raise CommandError(f"there is no provider {arguments.provider}; known are: {', '.join(registry.names())}")
    with reach() as here:
        platform = here.platform(arguments.platform)
        if here.session.get(ProviderAccount, arguments.id) is not None:
            raise CommandError(f"there is an account {arguments.id} already")
        row = ProviderAccount(
            id=arguments.id,
            platform_id=platform.id,
            provider=arguments.provider,
            name=arguments.id,
            base_url="",
            environment="staging",
            site_mode="rest",
            credentials=here.box.seal({}),
            webhook_secrets=here.box.seal([]),
            options={},
        )
        _change(here, row, arguments, "account.create")
        shown = _shown(row)
    show(shown, as_json=arguments.json)
    return 0


def run_set(arguments: argparse.Namespace) -> int:
    """Change an account."""
    with reach() as here:
        row = _found(here, arguments.id)
        _change(here, row, arguments, "account.set")
        shown = _shown(row)
    show(shown, as_json=arguments.json)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Show an account."""
    with reach() as here:
        shown = _shown(_found(here, arguments.id))
    show(shown, as_json=arguments.json)
    return 0


def run_test(arguments: argparse.Namespace) -> int:
    """Ask the provider; exit code 1 when the account cannot be used."""
    with reach() as here:
        account = account_value(_found(here, arguments.id), here.box)
        call_s = here.settings.call_s
    outcome = ask(account, call_s)
    answer = {"id": account.id, "usable": isinstance(outcome, Accepted), "reason": reason_of(outcome)}
    show(answer, as_json=arguments.json)
    return 0 if answer["usable"] else 1


def run_list(arguments: argparse.Namespace) -> int:
    """List all accounts."""
    with reach() as here:
        rows = [_shown(row) for row in here.session.scalars(select(ProviderAccount).order_by(ProviderAccount.id))]
    show_all(rows, as_json=arguments.json)
    return 0


def _change(here: Reach, row: ProviderAccount, arguments: argparse.Namespace, action: str) -> None:
    given: dict[str, Any] = {name: getattr(arguments, name) for name in (*_PLAIN, "options")}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        setattr(row, name, value)
    secrets = read_secrets(arguments)
    changed = [*given, *secrets]
    if _WEBHOOKS in secrets:
        parts = (part.strip() for part in secrets.pop(_WEBHOOKS).split(","))
        row.webhook_secrets = here.box.seal([part for part in parts if part])
    if secrets:
        row.credentials = here.box.seal({**here.box.open(row.credentials), **secrets})
        row.token, row.token_renew_at = None, None  # it belonged to the credentials before
    _ask_soon(here, row.id)
    problems = registry.get(row.provider).check_account(account_value(row, here.box))
    if problems:
        raise CommandError(f"the account is not usable: {'; '.join(problems)}")
    if arguments.default:
        _take_default_from_others(here, row)
    row.is_default = arguments.default or bool(row.is_default)
    here.session.add(row)
    here.session.flush()
    detail = {"fields": sorted(changed), "default": row.is_default}
    here.write_down(row.platform_id, action, row.id, detail)


def _ask_soon(here: Reach, account_id: str) -> None:
    """The next probe comes at once: it ends the notice of an account that has just been mended."""
    here.session.execute(
        update(Outbox)
        .where(Outbox.single == f"probe:{account_id}", Outbox.state == "pending")
        .values(next_attempt_at=func.now())
    )
    here.ring(Lane.OUTGOING)


def _take_default_from_others(here: Reach, row: ProviderAccount) -> None:
    here.session.execute(
        update(ProviderAccount)
        .where(ProviderAccount.provider == row.provider, ProviderAccount.id != row.id)
        .values(is_default=False)
    )


def _found(here: Reach, account_id: str) -> ProviderAccount:
    row = here.session.get(ProviderAccount, account_id)
    if row is None:
        raise CommandError(f"there is no account {account_id}")
    return row


def _shown(row: ProviderAccount) -> dict[str, Any]:
    return {
        "id": row.id,
        "platform": row.platform_id,
        "provider": row.provider,
        "name": row.name,
        "base_url": row.base_url,
        "environment": row.environment,
        "site_mode": row.site_mode,
        "default": row.is_default,
        "options": row.options,
        "hook": f"/webhooks/{row.provider}" + ("" if row.is_default else f"/{row.id}"),
        "webhook_seen_at": row.webhook_seen_at,
    }
