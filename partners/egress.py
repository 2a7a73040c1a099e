"""Where we may post: https, at public addresses, judged on the very socket that is opened.

A partner names the URL, so it could name our own network. The name is looked at when it is
registered, the address each time a connection is made, because DNS may answer differently then.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from partners.errors import EndpointRefused, UnsafeAddress

URL_LIMIT: Final = 2_048

_NOT_PUBLIC_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # shared by carriers (RFC 6598); some clouds' metadata
            "127.0.0.0/8",  # loopback (RFC 1122)
            "168.63.129.16/32",  # Azure's host, inside public space
            "169.254.0.0/16",  # link local (RFC 3927); most clouds' metadata
            "172.16.0.0/12",  # private (RFC 1918)
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.31.196.0/24",  # AS112 (RFC 7535)
            "192.52.193.0/24",  # AMT (RFC 7450)
            "192.88.99.0/24",  # 6to4 relays, retired (RFC 7526)
            "192.168.0.0/16",  # private (RFC 1918)
            "192.175.48.0/24",  # AS112 (RFC 7534)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved and broadcast (RFC 1112)
        ),
    )
)
_GLOBAL_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them (RFC 2928, RFC 4380)
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4, retired (RFC 7526)
            "2620:4f:8000::/48",  # AS112 (RFC 7534)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: how an IPv6-only host reaches IPv4
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214: IPv4 in the lower half of any prefix

_PRIVATE_SUFFIXES: Final = ("localhost", "local", "internal", "intranet", "lan", "home", "corp")
_RESERVED_SUFFIXES: Final = ("arpa", "example", "invalid", "onion", "test")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_CLEAN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class EgressGuard:
    """The one judge of URLs and addresses. `allow_loopback` is for development only."""

    allow_loopback: bool = False

    def check_url(self, url: str) -> str:
        """The URL, if its written form is one we may post to; what it resolves to is judged later.

        Raises EndpointRefused, and UnsafeAddress for a host that is no public address or name.
        """
        return _checked(self, url)

    def admits(self, address: str, *, https: bool = True) -> bool:
        """Whether a socket may be opened to this numeric address; without TLS only to loopback."""
        if self.allow_loopback and _is_loopback(address):
            return True
        return https and is_public(address)


@lru_cache(maxsize=1024)
def _checked(guard: EgressGuard, url: str) -> str:
    """Kept, because every post asks again."""
    parts = _split(url)
    host = parts.hostname or ""
    is_loopback = guard.allow_loopback and _names_loopback(host)
    if parts.scheme != "https" and not (is_loopback and parts.scheme == "http"):
        raise EndpointRefused("an endpoint is https")
    if not is_loopback:
        _check_host(host)
    return url


def _check_host(host: str) -> None:
    numeric = _as_address(host)
    if numeric is None:
        _check_name(host.removesuffix("."))
    elif not is_public(numeric):
        raise UnsafeAddress("the host is not a public address")


@lru_cache(maxsize=4096)
def is_public(address: str) -> bool:
    """Whether a numeric address belongs to one host on the public internet.

    IPv4 inside IPv6 is taken out and judged too (mapped, NAT64); retired ways of carrying it
    (compatible, 6to4, Teredo, ISATAP to a private one) are refused whole. IANA special-purpose
    registries, 2025; not `ipaddress.is_global`, whose answer differs between Python versions.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        return _is_public_6(found)
    return _is_public_4(found)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address in _MAPPED or address in _NAT64:
        return _is_public_4(_last_four(address))
    if address not in _GLOBAL_6 or any(address in network for network in _NOT_PUBLIC_6):
        return False
    is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return not is_isatap or _is_public_4(_last_four(address))


def _last_four(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return found.is_loopback


def _names_loopback(host: str | None) -> bool:
    name = (host or "").removesuffix(".")
    return name == "localhost" or _is_loopback(name)


def _split(url: str) -> SplitResult:
    if len(url) > URL_LIMIT or not _CLEAN.fullmatch(url) or "\\" in url:
        raise EndpointRefused(f"an endpoint is plain ASCII of at most {URL_LIMIT} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EndpointRefused("the endpoint is not a URL") from None
    for problem in _problems(parts, port):
        raise EndpointRefused(problem)
    return parts


def _problems(parts: SplitResult, port: int | None) -> Iterator[str]:
    if not parts.hostname:
        yield "an endpoint names a host"
    if "@" in parts.netloc:
        yield "an endpoint carries no user name or password"
    if parts.fragment:
        yield "an endpoint has no fragment"
    if port == 0 or parts.netloc.endswith(":"):
        yield "the port is not a number from 1 to 65535"
    if "%" in parts.netloc:
        yield "the host is written without escapes"


def _as_address(host: str) -> str | None:
    """The address that a host stands for if it is a number in any of the forms systems take.

    `inet_aton` reads 0x7f.1, 0177.0.0.1 and 2130706433 as resolvers do.
    """
    host = host.removesuffix(".")
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _check_name(name: str) -> None:
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise EndpointRefused("the host is not a DNS name")
    if len(labels) < 2 or labels[-1] in _PRIVATE_SUFFIXES + _RESERVED_SUFFIXES:
        raise UnsafeAddress("the host is not a public name")
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        raise UnsafeAddress("the host is a number that is no address")
