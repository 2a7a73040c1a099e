"""No way of writing or wrapping an address that is not public gets through."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from AntiSSRF.ipaddress_ranges import IPAddressRanges  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from ssrfguard import DEFAULT_DENIED

from partners.egress import EgressGuard, is_public
from partners.errors import EndpointRefused, UnsafeAddress

GUARD = EgressGuard()
DEVELOPMENT = EgressGuard(allow_loopback=True)
ORACLE = DEFAULT_DENIED
# microsoft-antissrf refuses NAT64 whole; we judge what it carries, as ssrfguard does.
DENIED = [
    ip_network(text)
    for text in IPAddressRanges.recommended_latest
    if text not in ("64:ff9b::/96", "::1/128", "::/128")
]
EDGES = [
    str(address + step)
    for network in DENIED
    for address in (network[0], network[-1])
    for step in (-1, 0, 1)
    if 0 <= int(address) + step < 2**network.max_prefixlen
]


@pytest.mark.parametrize("address", EDGES)
def test_at_the_edges_of_every_special_range(address: str) -> None:
    refused = any(ip_address(address) in network for network in DENIED)
    if refused or ORACLE.classify(address).blocked:
        assert not is_public(address)


@given(number=st.integers(0, 2**32 - 1))
def test_ipv4_agrees_with_the_oracles(number: int) -> None:
    address = IPv4Address(number)
    refused = any(address in network for network in DENIED if network.version == 4)
    assert is_public(str(address)) == (not refused)
    assert not (is_public(str(address)) and ORACLE.classify(str(address)).blocked)


@given(number=st.integers(0, 2**128 - 1) | st.integers(0x2 << 124, (0x4 << 124) - 1))
def test_ipv6_is_never_laxer_than_the_oracles(number: int) -> None:
    address = IPv6Address(number)
    refused = any(address in network for network in DENIED if network.version == 6)
    if refused or ORACLE.classify(str(address)).blocked:
        assert not is_public(str(address))


PREFIXES = {
    "mapped": 0xFFFF << 32,
    "compatible": 0,
    "nat64": 0x64FF9B << 96,
    "local nat64": 0x64FF9B0001 << 80,
    "isatap": (0x2A00 << 112) | (0x5EFE << 32),
    "isatap, local": (0x2A00 << 112) | (0x02005EFE << 32),
}


@pytest.mark.parametrize("kind", PREFIXES)
@given(number=st.integers(0, 2**32 - 1))
def test_ipv4_inside_ipv6_is_judged_too(kind: str, number: int) -> None:
    wrapped = str(IPv6Address(PREFIXES[kind] | number))
    if not is_public(str(IPv4Address(number))):
        assert not is_public(wrapped)


@given(number=st.integers(0, 2**32 - 1), rest=st.integers(0, 2**80 - 1))
def test_6to4_and_teredo_are_refused_whole(number: int, rest: int) -> None:
    assert not is_public(str(IPv6Address((0x2002 << 112) | (number << 80) | rest)))
    teredo = (0x20010000 << 96) | (number << 64) | (rest & (2**64 - 1))
    assert not is_public(str(IPv6Address(teredo)))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.15.255.255",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses_are_let_through(address: str) -> None:
    assert is_public(address)
    assert GUARD.admits(address)
    assert not GUARD.admits(address, https=False)


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1%lo", "fe80::1%eth0", "2a00::1%1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert not is_public(address)
    assert not DEVELOPMENT.admits(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "0",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[2a00::5efe:127.0.0.1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "0xa9fea9fe",
        "168.63.129.16",
        "100.100.100.200",
        "10.0.0.1",
        "192.168.1.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "a.localhost.",
        "printer.local",
        "db.internal",
        "metadata.google.internal",
        "intranet",
        "router.lan",
        "hook.test",
        "hidden.onion",
        "1.2.3.4.in-addr.arpa",
        "1.2.3.256",
        "a.0x10",
        "a.12",
    ],
)
def test_a_url_cannot_name_what_is_not_public(host: str) -> None:
    with pytest.raises(UnsafeAddress) as refused:
        GUARD.check_url(f"https://{host}:8443/hook")
    assert host not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///hook",
        "//example.org/hook",
        "example.org/hook",
        "http://example.org/hook",
        "ftp://example.org/hook",
        "file:///etc/passwd",
        "gopher://example.org:25/",
        "HTTPS ://example.org/",
        "https://user@example.org/hook",
        "https://user:word@example.org/hook",
        "https://example.org@127.0.0.1/",
        "https://example.org#@127.0.0.1/",
        "https://example.org/hook#part",
        "https://example.org:0/",
        "https://example.org:65536/",
        "https://example.org:https/",
        "https://example.org:/",
        "https://127.0.0.1%2f.example.org/",
        "https://exa%6dple.org/",
        "https://example.org\\@127.0.0.1/",
        "https://exämple.org/",
        "https://①27.0.0.1/",
        "https://127。0。0。1/",
        "https://example.org/a b",
        "https://example.org/\r\nHost: x",
        "https://example.org/\x00",
        "\thttps://example.org/",
        "https://[::1/",
        "https://[2a00::1%25eth0]/",
        "https://-a.example.org/",
        "https://a..example.org/",
        f"https://{'a' * 64}.example.org/",
        f"https://{'a.' * 127}example.org/",
        "https://example.org/" + "a" * 2_048,
    ],
)
def test_what_is_no_plain_https_url_is_refused(url: str) -> None:
    with pytest.raises(EndpointRefused) as refused:
        GUARD.check_url(url)
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.platform.com",
        "https://hooks.platform.com./a?b=c",
        "https://HOOKS.Platform.com:8443/a/b%20c",
        "https://xn--exmple-cua.org/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]:8443/",
    ],
)
def test_ordinary_endpoints_are_taken(url: str) -> None:
    assert GUARD.check_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/", "http://localhost:9/", "https://localhost:9/", "https://[::1]:9/"],
)
def test_development_lets_loopback_in_and_nothing_else(url: str) -> None:
    assert DEVELOPMENT.check_url(url) == url
    with pytest.raises(EndpointRefused):
        GUARD.check_url(url)
    assert DEVELOPMENT.admits("127.0.0.1", https=False)
    assert not DEVELOPMENT.admits("8.8.8.8", https=False)
    assert not DEVELOPMENT.admits("10.0.0.1")
    for other in ("http://example.org/", "http://10.0.0.1/", "https://10.0.0.1/"):
        with pytest.raises(EndpointRefused):
            DEVELOPMENT.check_url(other)
