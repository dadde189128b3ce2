"""AURA Guard Response (docs.aurasos.com): armed response to registered sites, with a look-up of active callouts."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from shared.providers.aura.client import Client
from shared.providers.aura.sites import Directory
from shared.providers.aura.webhook import Hook
from shared.providers.base import Account, Provider
from shared.providers.guard import base_url_problems, is_loopback_host


def check_account(account: Account) -> Sequence[str]:
    """Problems of host, environment and credentials. No production host is documented, so none is required."""
    problems = base_url_problems(account.base_url)
    for name in ("client_id", "client_secret"):
        if not account.credentials.get(name):
            problems.append(f"the credential {name} is missing")
    if account.environment not in ("staging", "production"):
        problems.append("environment must be staging or production")
    host = "" if problems else (urlsplit(account.base_url).hostname or "")
    if host and not is_loopback_host(host) and host.startswith("staging-") != (account.environment == "staging"):
        problems.append("a staging- host belongs to environment staging, and only it")
    return problems


_client = Client()

PROVIDER = Provider(
    name="aura",
    dispatch=_client,
    webhooks=Hook(),
    lookup=_client,
    notes=_client,
    sites=Directory(),
    needs_site=True,
    cannot={"events": "AURA takes device events as notes only"},
    check_account=check_account,
)
