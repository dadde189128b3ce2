"""`tocsin webhook`: register our hook at a provider, and see what is known of it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sqlalchemy import select

from deploy.cli.faults import CommandError
from deploy.cli.probing import call_now
from deploy.cli.reach import Reach, reach
from deploy.cli.show import say, show, show_all
from deploy.cli.words import Commands, command, group
from shared.accounts import account_value
from shared.clock import utc_now
from shared.domain.outcome import Accepted
from shared.providers import registry
from shared.providers.base import Account, ReadFailed, WebhookRegistration
from shared.providers.hook_records import hook_record, hook_url, stale
from shared.store.models import ProviderAccount


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "webhook", "our hook at the providers")
    register = command(own, "register", run_register, "have a provider deliver to us: it replaces what stood there")
    register.add_argument("account")
    register.add_argument("--yes", action="store_true", help="do not ask")
    status = command(own, "status", run_status, "what is known of the registered hooks")
    status.add_argument("account", nargs="?")


def run_register(arguments: argparse.Namespace) -> int:
    """Show what is to be replaced, ask, register, remember."""
    with reach() as here:
        row = _found(here, arguments.account)
        account, call_s = account_value(row, here.box), here.settings.call_s
        url = hook_url(here.settings.public_url, account, is_default=row.is_default)
        before = _shown(here, row)
    registration = _registration(account)
    problems = registration.problems(account, url)
    if problems:
        raise CommandError("; ".join(problems))
    _ask(registration, before, url, sure=arguments.yes, quiet=arguments.json)
    outcome = registration.register(call_now(call_s), account, url)
    if not isinstance(outcome, Accepted):
        raise CommandError(f"not registered: {outcome.reason}")
    with reach() as here:
        row = _found(here, arguments.account)
        row.registered_hook = here.box.seal(hook_record(account, url))
        row.registered_hook_at = utc_now()
        here.write_down(row.platform_id, "webhook.register", row.id, {"url": url})
        shown = _shown(here, row)
    show(shown, as_json=arguments.json)
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """All accounts, or one."""
    with reach() as here:
        ids = [arguments.account] if arguments.account else here.session.scalars(select(ProviderAccount.id)).all()
        found = [_found(here, account_id) for account_id in sorted(ids)]
        known = [(account_value(row, here.box), _shown(here, row)) for row in found]
        call_s = here.settings.call_s
    rows = [shown | _read_back(account, shown["ours"], call_s) for account, shown in known]
    if arguments.account:
        show(rows[0], as_json=arguments.json)
    else:
        show_all(rows, as_json=arguments.json)
    return 0


def _read_back(account: Account, ours: str, call_s: float) -> dict[str, str]:
    """Whether the registered one is ours: yes, no, or unknown and why."""
    provider = registry.get(account.provider)
    if provider.registration is None:
        return {"registered": "unknown", "why": provider.cannot["registration"]}
    try:
        found = provider.registration.registered(call_now(call_s), account)
    except ReadFailed as failed:
        return {"registered": "unknown", "why": failed.outcome.reason}
    return {"registered": "yes" if found == ours else "no", "why": ""}


def _ask(registration: WebhookRegistration, before: dict[str, Any], url: str, *, sure: bool, quiet: bool) -> None:
    say(f"replaces  {registration.replaces}", quiet=quiet)
    say(f"          last registered from here: {before['last_registered'] or 'never'}", quiet=quiet)
    say(f"by        {url}", quiet=quiet)
    if sure:
        return
    if quiet or not sys.stdin.isatty():
        raise CommandError("nothing was registered: say --yes")
    if input("Register it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was registered")


def _registration(account: Account) -> WebhookRegistration:
    provider = registry.get(account.provider)
    if provider.registration is None:
        raise CommandError(provider.cannot["registration"])
    return provider.registration


def _found(here: Reach, account_id: str) -> ProviderAccount:
    row = here.session.get(ProviderAccount, account_id)
    if row is None:
        raise CommandError(f"there is no account {account_id}")
    return row


def _shown(here: Reach, row: ProviderAccount) -> dict[str, Any]:
    account = account_value(row, here.box)
    ours = hook_url(here.settings.public_url, account, is_default=row.is_default)
    record = here.box.open(row.registered_hook)
    return {
        "account": row.id,
        "ours": ours,
        "last_registered": None if record is None else record["url"],
        "last_registered_at": row.registered_hook_at,
        "stale": stale(record, account, ours),
        "last_delivery": row.webhook_seen_at,
    }
