"""Where an account's webhooks belong, and what we remember of having registered that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.providers.base import Account


def hook_url(public_url: str, account: Account, *, is_default: bool) -> str:
    """The address of the account's hook at the door."""
    own = "" if is_default else f"/{account.id}"
    return f"{public_url.rstrip('/')}/webhooks/{account.provider}{own}"


def hook_record(account: Account, url: str) -> dict[str, str]:
    """What a registration leaves behind, to be sealed: it holds the secret."""
    return {"url": url, "secret": next((secret for secret in account.webhook_secrets if secret), "")}


def stale(record: Mapping[str, Any] | None, account: Account, url: str) -> str | None:
    """Why what we registered would not work any more; None when it would, or when we never registered anything."""
    if record is None:
        return None
    if record["url"] != url:
        return "our address has changed since it was registered"
    if record["secret"] not in account.webhook_secrets:
        return "its secret is none of the account's any more"
    return None
