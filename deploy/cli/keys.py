"""`tocsin keys`: API keys, which are shown once, and keys that seal fields at rest."""

from __future__ import annotations

import argparse
import json

from sqlalchemy import select

from deploy.cli.faults import CommandError
from deploy.cli.reach import reach
from deploy.cli.show import say, show, show_all
from deploy.cli.words import Commands, command, group, take_platform
from shared.crypto import new_encryption_key
from shared.store.keys import SCOPES, create_key, revoke_key
from shared.store.models import ApiKey


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "keys", "API keys, and keys that seal fields at rest")
    create = command(own, "create", run_create, "make an API key; its text is shown this once")
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--scope", action="append", choices=SCOPES, required=True, help="can be repeated")
    create.add_argument("--site", metavar="REF", help="the one site of a panel's key")
    take_platform(create)
    revoke = command(own, "revoke", run_revoke, "revoke an API key; the door forgets it within seconds")
    revoke.add_argument("id", type=int)
    take_platform(revoke)
    listing = command(own, "list", run_list, "list API keys, never their texts")
    take_platform(listing)
    command(own, "new-encryption-key", run_new_encryption_key, "print a new key for TOCSIN_ENCRYPTION_KEYS")


def run_create(arguments: argparse.Namespace) -> int:
    """Make an API key."""
    with reach() as here:
        platform = here.platform(arguments.platform)
        try:
            row, key = create_key(here.session, platform.id, arguments.name, arguments.scope, arguments.site)
        except ValueError as error:
            raise CommandError(str(error)) from None
        detail = {"name": row.name, "scopes": row.scopes}
        here.write_down(platform.id, "key.create", f"key:{row.id}", detail)
        shown = {"id": row.id, "name": row.name, "scopes": row.scopes, "site": row.site_ref, "key": key}
    show(shown, as_json=arguments.json)
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Revoke an API key."""
    with reach() as here:
        platform = here.platform(arguments.platform)
        if not revoke_key(here.session, platform.id, arguments.id):
            raise CommandError(f"the platform {platform.id} has no live key {arguments.id}")
        here.write_down(platform.id, "key.revoke", f"key:{arguments.id}", {})
    show({"id": arguments.id, "revoked": True}, as_json=arguments.json)
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """List API keys."""
    with reach() as here:
        platform = here.platform(arguments.platform)
        rows = here.session.scalars(select(ApiKey).where(ApiKey.platform_id == platform.id).order_by(ApiKey.id))
        shown = [
            {
                "id": row.id,
                "name": row.name,
                "scopes": row.scopes,
                "site": row.site_ref,
                "created_at": row.created_at,
                "revoked_at": row.revoked_at,
            }
            for row in rows
        ]
    show_all(shown, as_json=arguments.json)
    return 0


def run_new_encryption_key(arguments: argparse.Namespace) -> int:
    """Needs no database: it comes before everything."""
    key = new_encryption_key()
    say(json.dumps({"key": key}) if arguments.json else key)
    return 0
