"""Whether a URL that a customer gives us may be one that we write to (OWASP API7:2023, SSRF), judged on its text.

The sender judges the resolved addresses again, by the same guard, each time it connects.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from shared.providers.guard import Guard, is_loopback_host

MAX_URL_CHARS = 2_000


def problems(url: str, allow_private: bool) -> list[str]:
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
    return _form_problems(parts) + _host_problems(parts.scheme, host, Guard(allow_private=allow_private))


def _form_problems(parts: SplitResult) -> list[str]:
    found = []
    if "@" in parts.netloc:
        found.append("must carry no user name or password")
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
        return []
    # "127.1", "0x7f000001" and "2130706433" are no names: resolvers read them as addresses.
    last = host.rstrip(".").rpartition(".")[2]
    if last.isdigit() or last.lower().startswith("0x"):
        return ["must name a host, or spell its address in full"]
    if scheme != "https" and not guard.allow_private:
        return ["https is required"]
    return []
