"""Which host belongs to which environment: a sandbox token does not work in production, nor may it be shown there."""

from __future__ import annotations

from urllib.parse import urlsplit

from shared.providers.base import Account
from shared.providers.guard import base_url_problems, is_loopback_host


def host_problems(account: Account) -> list[str]:
    """Problems of base URL and environment; loopback is the sandbox at a desk."""
    problems = base_url_problems(account.base_url)
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
