"""Limits are for one network each: the one that a trusted proxy names, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.calls import a_case_key, calling
from tests.journeys.processes import Installation, Processes


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Processes(tmp_path) as processes:
        yield Installation(processes, {"LIMIT_CASE": "3 per hour"})


def _asked(installation: Installation, *forwarded: str) -> list[int]:
    """The status of one look at a case for each of these X-Forwarded-For headers."""
    with calling(installation.port) as caller:
        return [
            caller.call(
                "POST",
                "/v1/case/open",
                {"case_key": a_case_key()},
                {"X-Forwarded-For": addresses},
            ).status
            for addresses in forwarded
        ]


def test_behind_a_proxy_each_network_has_its_own_limit(installation: Installation) -> None:
    installation.start(TRUSTED_PROXIES="1")
    one, other = "203.0.113.1", "203.0.113.2"
    assert _asked(installation, *[one] * 4) == [404, 404, 404, 429]
    assert _asked(installation, other) == [404]
    # What stands before the proxy's own word is the sender's, who may write what he likes.
    assert _asked(installation, f"{other}, {one}", f"198.51.100.9, {one}") == [429, 429]


def test_addresses_of_one_ipv6_network_share_a_limit(installation: Installation) -> None:
    installation.start(TRUSTED_PROXIES="1")
    same = [f"2001:db8:1:2::{n}" for n in range(1, 5)]
    assert _asked(installation, *same, "2001:db8:1:3::1") == [404, 404, 404, 429, 404]


def test_without_a_proxy_nobody_chooses_his_own_network(installation: Installation) -> None:
    installation.start()
    addresses = [f"203.0.113.{n}" for n in range(1, 5)]
    assert _asked(installation, *addresses) == [404, 404, 404, 429]
