"""`tocsin platforms`: tenants, where they are written to, and whom to tell."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from deploy.cli.faults import CommandError
from deploy.cli.reach import Reach, reach
from deploy.cli.secret_words import read_secrets, take_secrets
from deploy.cli.show import show, show_all
from deploy.cli.words import Commands, command, group
from shared.platforms import endpoints, location_source
from shared.providers import registry
from shared.store.models import Platform
from webhooks_app.bodies import PlatformBody

_SECRETS = ("writeback_secret", "escalation_secret", "location_source_secret")
_PLAIN = ("name", "writeback_url", "escalation_url", "location_source_url", "location_source_interval_s")


def add(commands: Commands) -> None:
    """Declare the commands."""
    own = group(commands, "platforms", "tenants: where they are written to, and whom to tell")
    create = command(own, "create", run_create, "make a platform")
    create.add_argument("id")
    _take_fields(create)
    change = command(own, "set", run_set, "change what is given; an empty URL removes it")
    change.add_argument("id")
    _take_fields(change)
    command(own, "show", run_show, "show one platform, without its secrets").add_argument("id")
    command(own, "list", run_list, "list all platforms")


def _take_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name")
    parser.add_argument("--writeback-url", metavar="URL", help="https, or loopback")
    parser.add_argument("--escalation-url", metavar="URL", help="the second way in which a person is told")
    parser.add_argument(
        "--location-source-url", metavar="URL", help="asked where moving persons are; may hold {incident_ref}"
    )
    parser.add_argument("--location-source-interval-s", type=float, metavar="SECONDS", help="10 unless set")
    parser.add_argument("--words", type=json.loads, metavar="JSON", help="the platform's word for each status")
    parser.add_argument("--policies", type=json.loads, metavar="JSON", help="as in PUT /v1/platform")
    take_secrets(parser, ", ".join(_SECRETS))


def run_create(arguments: argparse.Namespace) -> int:
    """Make a platform; it has no key and no account yet."""
    with reach() as here:
        if here.session.get(Platform, arguments.id) is not None:
            raise CommandError(f"there is a platform {arguments.id} already")
        row = Platform(id=arguments.id, name=arguments.name or arguments.id, words={}, policies={})
        here.session.add(row)
        _change(here, row, arguments, "platform.create")
        shown = _shown(row)
    show(shown, as_json=arguments.json)
    return 0


def run_set(arguments: argparse.Namespace) -> int:
    """Change a platform."""
    with reach() as here:
        row = here.platform(arguments.id)
        _change(here, row, arguments, "platform.set")
        shown = _shown(row)
    show(shown, as_json=arguments.json)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Show a platform."""
    with reach() as here:
        shown = _shown(here.platform(arguments.id))
    show(shown, as_json=arguments.json)
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """List all platforms."""
    with reach() as here:
        rows = [_shown(row) for row in here.session.scalars(select(Platform).order_by(Platform.id))]
    show_all(rows, as_json=arguments.json)
    return 0


def _change(here: Reach, row: Platform, arguments: argparse.Namespace, action: str) -> None:
    given: dict[str, Any] = {name: getattr(arguments, name) for name in (*_PLAIN, "words", "policies")}
    given = {name: value for name, value in given.items() if value is not None}
    body = _checked(here, given | read_secrets(arguments, _SECRETS))
    for name in body.model_fields_set:
        value = getattr(body, name)
        if name in _PLAIN:
            setattr(row, name, value)
        elif name in _SECRETS:
            setattr(row, name, here.box.seal(value))
        elif name == "words":
            row.words = {status.value: word for status, word in value.items()}
        else:
            row.policies = value.model_dump(mode="json", exclude_unset=True)
    here.session.flush()
    detail = {"fields": sorted(body.model_fields_set)}
    here.write_down(row.id, action, row.id, detail)


def _checked(here: Reach, given: dict[str, Any]) -> PlatformBody:
    """By the same rules as `PUT /v1/platform`."""
    try:
        body = PlatformBody.model_validate_json(json.dumps(given))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
        raise CommandError("; ".join(faults)) from None
    guard = endpoints.guard_of(here.settings)
    for name in ("writeback_url", "escalation_url"):
        found = endpoints.problems(given[name], guard) if given.get(name) else []
        if found:
            raise CommandError(f"{name} {'; '.join(found)}")
    url = given.get("location_source_url")
    found = location_source.problems(url, guard, here.settings.location_hosts) if url else []
    if found:
        raise CommandError(f"location_source_url {'; '.join(found)}")
    provider = body.policies.default_provider if body.policies else None
    if provider is not None and provider not in registry.names():
        raise CommandError(f"there is no provider {provider}; known are: {', '.join(registry.names())}")
    return body


def _shown(row: Platform) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "writeback_url": row.writeback_url,
        "has_writeback_secret": row.writeback_secret is not None,
        "escalation_url": row.escalation_url,
        "has_escalation_secret": row.escalation_secret is not None,
        "location_source_url": row.location_source_url,
        "has_location_source_secret": row.location_source_secret is not None,
        "location_source_interval_s": row.location_source_interval_s,
        "words": row.words,
        "policies": row.policies,
    }
