"""Noonlight Dispatch (docs.noonlight.com): US only, one alarm per call, followed by webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from shared.providers.base import Account, Provider
from shared.providers.guard import base_url_problems, is_loopback_host
from shared.providers.noonlight.client import Client
from shared.providers.noonlight.webhook import Hook
from shared.providers.options import SWITCH, TEXT, TEXTS, at_least, one_of, option_problems

_OPTIONS = {
    "signature_header": TEXT,
    "signature_canonical_fallback": SWITCH,
    "regions": TEXTS,
    "entry_max": at_least(50),
    "allow_other": SWITCH,
    "workflow": TEXT,
    "workflow_style": one_of("object", "flat"),
}


def check_account(account: Account) -> Sequence[str]:
    """Problems of host, environment, credentials and options. A sandbox token does not work in production."""
    problems = base_url_problems(account.base_url) + option_problems(account.options, _OPTIONS)
    if not account.credentials.get("token"):
        problems.append("the credential token is missing")
    if account.environment not in ("staging", "production"):
        problems.append("environment must be staging or production")
    host = "" if problems else (urlsplit(account.base_url).hostname or "")
    if not host or is_loopback_host(host):
        return problems
    if not host.endswith(".noonlight.com"):
        problems.append("the host is not one of noonlight.com")
    elif ("sandbox" in host) != (account.environment == "staging"):
        problems.append("the sandbox host belongs to environment staging, and only it")
    return problems


_client = Client()

PROVIDER = Provider(
    name="noonlight",
    dispatch=_client,
    webhooks=Hook(),
    events=_client,
    cannot={
        "notes": "Noonlight takes no text after the alarm was created",
        "sites": "Noonlight keeps no directory of sites; the address travels with each alarm",
        "lookup": "Noonlight cannot list alarms",
    },
    check_account=check_account,
)
