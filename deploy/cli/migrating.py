"""`tocsin migrate`: the schema, the default platform and the accounts of the environment, brought up to date."""

from __future__ import annotations

import argparse

from deploy.cli.faults import CommandError
from deploy.cli.reach import HINT, reach
from deploy.cli.show import show
from deploy.cli.words import Commands, command
from shared.accounts import DEFAULT_PLATFORM, account_value, ensure_defaults
from shared.providers import registry
from shared.settings import BadSettings, load
from shared.store import migrate
from shared.store.models import ProviderAccount


def add(commands: Commands) -> None:
    """Declare the command."""
    command(commands, "migrate", run, "bring schema, default platform and the environment's accounts up to date")


def run(arguments: argparse.Namespace) -> int:
    """Run before the processes of a new version start; repeating it changes nothing."""
    try:
        settings = load()
    except BadSettings as error:
        raise CommandError(f"{error}\n{HINT}") from None
    migrate.upgrade(settings.database_url.get_secret_value())
    with reach() as here:
        described = settings.default_accounts()
        ensure_defaults(here.session, described, here.box)
        here.session.flush()
        for account in described:
            row = here.session.get_one(ProviderAccount, account["provider"])
            problems = registry.get(row.provider).check_account(account_value(row, here.box))
            if problems:
                raise CommandError(f"the account {row.id} of the environment is not usable: {'; '.join(problems)}")
    names = [account["provider"] for account in described]
    show({"schema": "up to date", "platform": DEFAULT_PLATFORM, "accounts": names}, as_json=arguments.json)
    return 0
