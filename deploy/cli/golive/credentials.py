"""Are the credentials alive, and only where they belong?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.cli.golive.ground import Ground
from deploy.cli.golive.report import Line, judged, not_applicable, person
from deploy.cli.probing import ask, reason_of
from deploy.cli.stack import RUN_FILE
from shared.providers.base import Account

LIVE = "credentials are live"
SERVER_SIDE = "credentials are server-side only"
# Shorter texts occur by accident.
SHORTEST = 8
# Names of accounts that the providers show themselves.
PUBLIC = ("client_id",)


def live(ground: Ground) -> Iterator[Line]:
    """Each account is asked, production too: the question changes nothing."""
    for account in ground.accounts:
        reason = reason_of(ask(account, ground.settings.call_s))
        yield judged(LIVE, account.id, [reason] if reason else [], f"{account.environment}: the provider takes them")


def server_side(ground: Ground) -> Iterator[Line]:
    """Every page and answer that can be had without a body, the logs, and what `tocsin up` writes down."""
    secrets = {secret: account.id for account in ground.accounts for secret in _secrets(account)}
    yield judged(SERVER_SIDE, "", _told_by_the_door(ground, secrets), "in no answer and on no page of the door")
    logs = sorted(path for path in (ground.data / "logs").glob("*") if path.is_file())
    if logs:
        yield judged(SERVER_SIDE, "", _found_in(logs, secrets), f"in none of {len(logs)} logs")
    else:
        yield person(SERVER_SIDE, "", f"no logs in {ground.data / 'logs'}: search them where your processes write")
    production = [account for account in ground.accounts if account.environment == "production"]
    run_file = ground.data / RUN_FILE
    if not production or not run_file.exists():
        yield not_applicable(SERVER_SIDE, "", f"no production account beside a {RUN_FILE}")
        return
    own = {secret: account.id for account in production for secret in _secrets(account)}
    yield judged(SERVER_SIDE, "", _found_in([run_file], own), f"not in {RUN_FILE}")


def _secrets(account: Account) -> list[str]:
    values = [value for name, value in account.credentials.items() if name not in PUBLIC]
    return [secret for secret in (*values, *account.webhook_secrets) if len(secret) >= SHORTEST]


def _told_by_the_door(ground: Ground, secrets: dict[str, str]) -> list[str]:
    found = []
    document = ground.taken("GET", "/openapi.json")
    paths = [path for path, methods in document["paths"].items() if "get" in methods and "{" not in path]
    for path in [*paths, "/docs", "/metrics", "/openapi.json"]:
        answer = ground.request("GET", path)
        told = answer.text + str(answer.headers)
        found += [f"{path} shows a secret of {name}" for secret, name in secrets.items() if secret in told]
    return sorted(set(found))


def _found_in(files: list[Path], secrets: dict[str, str]) -> list[str]:
    found = set()
    for file in files:
        told = file.read_text(errors="replace")
        found |= {f"{file.name} holds a secret of {name}" for secret, name in secrets.items() if secret in told}
    return sorted(found)
