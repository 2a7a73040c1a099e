"""The page that derives the least calls, and the benchmark that counts beside it, say the same."""

from __future__ import annotations

import re

from bench.cloud import LEAST
from tests.rules.pages import section, table, text_of

ROWS = table(section(text_of("CAPACITY"), "Calls: the least that the design needs"))


def test_each_phase_needs_the_same_calls() -> None:
    said = {
        phase: {name: int(n) for name, n in re.findall(r"(\w+) (\d+)", calls)}
        for phase, calls, _, _ in ROWS
    }
    assert said == {phase: dict(calls) for phase, calls in LEAST.items()}


def test_each_row_adds_up() -> None:
    assert [int(least) for _, _, least, _ in ROWS] == [each.total() for each in LEAST.values()]
