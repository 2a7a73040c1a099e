"""A certificate authority and its certificates, made once for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from partners.egress import EgressGuard
from partners.sender import CurlSender, SenderSettings
from tests.partners.platforms import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Path:
    return authority.certificate("good")


MakeSender = Callable[..., CurlSender]
LONG = 20.0  # seconds: no time-out but where a test asks for one, however busy the machine is


@pytest.fixture
def make_sender(authority: Authority) -> Iterator[MakeSender]:
    """Makes senders that trust our authority and may use loopback; closes them in the end."""
    made: list[CurlSender] = []

    def make(guard: EgressGuard | None = None, **changes: Any) -> CurlSender:
        defaults: dict[str, Any] = {"total_timeout": LONG, "connect_timeout": LONG}
        settings = SenderSettings(ca_bundle=str(authority.bundle), **(defaults | changes))
        made.append(CurlSender(guard or EgressGuard(allow_loopback=True), settings))
        return made[-1]

    yield make
    for sender in made:
        sender.close()
