"""A short run of tests/fuzz/age.py, the same each time, and what its long runs found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.age import Bench, bench, feed

PARSERS = (
    "authorization",
    "private-token",
    "jwt",
    "dpop",
    "sd-jwt",
    "mdoc",
    "attestation",
    "issuers",
)


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    with bench() as bench_:
        yield bench_


def test_every_parser_is_fed(made: Bench) -> None:
    assert tuple(made.parsers()) == PARSERS


@pytest.mark.parametrize("name", PARSERS)
def test_nothing_fed_breaks_it(made: Bench, name: str) -> None:
    feed(made.parsers()[name], examples=100, start=7)
