"""Which network addresses we are willing to talk to: the answer to SSRF, decided on resolved addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_NAT64 = IPv6Network("64:ff9b::/96")
# Instance metadata that does not lie in a link-local range: AWS over IPv6, Alibaba Cloud.
_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})

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
            if not address.is_global or address.is_multicast or address in _METADATA:
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
    odd = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return address.is_private and not address.is_reserved and not odd and address not in _METADATA
