"""Whether a URL that a customer gives us may be one that we write to (OWASP API7:2023, SSRF), judged on its text.

The sender judges the resolved addresses again, by the same guard, each time it connects.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from shared.providers.guard import Guard, is_loopback_host
from shared.settings import Settings

MAX_URL_CHARS = 2_000
# Other characters are read differently by different parsers, and resolvers turn some of them into dots and digits.
_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def guard_of(settings: Settings) -> Guard:
    """What a platform may choose, as the settings say. Loopback is for a desk, unless it is opened by name.

    Who may change a platform's address could else have us POST to whatever listens on our own machine.
    """
    loopback = settings.allow_loopback_endpoints
    if loopback is None:
        loopback = is_loopback_host(urlsplit(settings.public_url).hostname or "")
    return Guard(allow_private=settings.allow_private_endpoints, allow_loopback=loopback)


def problems(url: str, guard: Guard) -> list[str]:
    """What is wrong with a write-back or escalation URL; empty when it may be used. Never quotes the URL."""
    if len(url) > MAX_URL_CHARS or any(char.isspace() or not char.isprintable() for char in url):
        return ["must be a URL without spaces or control characters, of at most 2,000 characters"]
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError when it is no port number
    except ValueError:
        return ["is not a URL"]
    if parts.scheme not in ("http", "https") or not host:
        return ["must be an http(s) URL with a host"]
    return _form_problems(parts) + _host_problems(parts.scheme, host, guard)


def _form_problems(parts: SplitResult) -> list[str]:
    found = []
    if "@" in parts.netloc:
        found.append("must carry no user name or password")
    elif not _HOST.fullmatch(parts.netloc):
        found.append(
            "must name its host in ASCII letters, digits, dots and hyphens (xn--... for others), or its address"
        )
    if parts.fragment:
        found.append("must carry no fragment")
    return found


def _host_problems(scheme: str, host: str, guard: Guard) -> list[str]:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return _name_problems(scheme, host, guard)
    refusal = guard.refusal(scheme, [host])
    return [refusal] if refusal else []


def _name_problems(scheme: str, host: str, guard: Guard) -> list[str]:
    if is_loopback_host(host):
        return [] if guard.allow_loopback else ["must not name this machine (TOCSIN_ALLOW_LOOPBACK_ENDPOINTS)"]
    # "127.1", "0x7f000001" and "2130706433" are no names: resolvers read them as addresses.
    last = host.rstrip(".").rpartition(".")[2]
    if last.isdigit() or last.lower().startswith("0x"):
        return ["must name a host, or spell its address in full"]
    if scheme != "https" and not guard.allow_private:
        return ["https is required"]
    return []
