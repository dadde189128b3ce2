"""Where things are at AURA: templates that an account may replace, since some of them are inferred."""

from __future__ import annotations

from urllib.parse import quote

from shared.providers.base import Account

_PREFIX = "/panic-api/v2"

# `sites` and `active` rest on AURA's earlier reference; the rest on its current one. Option `paths` overrides by name.
DEFAULTS: dict[str, str] = {
    "token": f"{_PREFIX}/oauth/token",
    "create": f"{_PREFIX}/predefinedLocations/externalRef/{{reference}}/callouts",
    "callout": f"{_PREFIX}/callouts/{{id}}",
    "active": f"{_PREFIX}/callouts/activeCallouts",
    "cancel": f"{_PREFIX}/callouts/{{id}}/cancel",
    "events": f"{_PREFIX}/callouts/{{id}}/events",
    "notifier": f"{_PREFIX}/notifiers/webhooks",
    "sites": f"{_PREFIX}/predefinedLocations",
    "upload": "/v1/predefinedlocations/upload",
    "download": "/v1/predefinedlocations/download",
    "site": f"{_PREFIX}/predefinedLocations/{{id}}",
}


def url(account: Account, name: str, **parts: str) -> str:
    """The URL of a call; parts are percent-encoded with no safe characters, so that a reference may hold `/ % # ?`."""
    path: str = account.options.get("paths", {}).get(name, DEFAULTS[name])
    for key, value in parts.items():
        path = path.replace(f"{{{key}}}", quote(value, safe=""))
    return account.base_url.rstrip("/").removesuffix(_PREFIX) + path


def is_addressable(reference: str) -> bool:
    """False for `.` and `..`, which every URL parser folds away, encoded or not (RFC 3986, 5.2.4 and 6.2.2.2)."""
    return reference not in (".", "..")
