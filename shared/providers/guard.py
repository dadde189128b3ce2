"""Which network addresses we are willing to talk to: the answer to SSRF, decided on resolved addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_NAT64 = IPv6Network("64:ff9b::/96")
# Private networks (RFC 1918, RFC 4193): what `allow_private` opens, and nothing else that is not public.
_PRIVATE = (
    IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"), IPv6Network("fc00::/7"),
)  # fmt: skip
# What Python 3.11 takes for public and is not: protocol assignments (RFC 6890), NAT64 of one's own (RFC 8215),
# IPv4-compatible and site-local addresses.
_NOT_PUBLIC = (
    IPv4Network("192.0.0.0/24"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"), IPv6Network("fec0::/10"),
)  # fmt: skip
# What a cloud answers to its machines outside of the link-local ranges: AWS and Google over IPv6, Alibaba, Azure.
_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")),
)

_Ip = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Guard:
    """What a destination chosen by a customer may resolve to (OWASP API7:2023).

    `allow_private` admits RFC 1918 and unique-local addresses, also over plain http. `allow_loopback` admits
    loopback, also over plain http. Link-local, metadata, multicast and reserved addresses are never admitted.
    """

    allow_private: bool = False
    allow_loopback: bool = True

    def refusal(self, scheme: str, addresses: Iterable[str]) -> str | None:
        """Why the destination is refused, None when every address is fine."""
        for text in addresses:
            address = _real(ip_address(text.partition("%")[0]))
            if address.is_loopback and self.allow_loopback:
                continue
            if _is_inside(address) and self.allow_private:
                continue
            if not _is_public(address):
                return "the address is not a public one"
            if scheme != "https":
                return "https is required"
        return None


def is_loopback_host(host: str) -> bool:
    """True for `localhost` and literal loopback addresses; names are not resolved."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def base_url_problems(url: str) -> list[str]:
    """What is wrong with a provider's base URL: https is required unless the host is loopback."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError when it is no port number
    except ValueError:
        return ["base_url is not a URL"]
    if parts.scheme not in ("http", "https") or not host:
        return ["base_url must be an http(s) URL with a host"]
    problems = []
    if parts.scheme == "http" and not is_loopback_host(host):
        problems.append("base_url must be https")
    if parts.username or parts.password or parts.query or parts.fragment:
        problems.append("base_url must carry no user, query or fragment")
    return problems


def _real(address: _Ip) -> _Ip:
    """The IPv4 address that an IPv6 form stands for, so that a wrapped loopback is seen as loopback."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_inside(address: _Ip) -> bool:
    return address not in _METADATA and any(address in network for network in _PRIVATE)


def _is_public(address: _Ip) -> bool:
    if address.is_multicast or address in _METADATA or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global
