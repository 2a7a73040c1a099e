"""A line that hangs, is slow or breaks: the wait has an end, and a slow line reaches it first."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.web.running import ROOT

FIFTY = 355_593  # bytes of a report of 50 photos with 64 copies each (tests/js/report_sizes.mjs)
ONE = 7_252
SLOWEST = 20_000  # bit/s upwards: what browsers' own tools call GPRS
BOUND_MS = 4 * 60_000
LAST_WAIT_MS = 10_000


def sent(bytes_: int, line: str, taken: float = 0) -> dict[str, Any]:
    done = subprocess.run(
        ["node", str(ROOT / "tests/js/waiting_for_an_answer.mjs")],
        input=json.dumps([{"bytes": bytes_, "line": line, "taken": taken}]),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


@pytest.mark.parametrize(("size", "within_ms"), [(ONE, 25_000), (FIFTY, BOUND_MS)])
def test_a_line_that_hangs_is_given_up_once_and_for_all(size: int, within_ms: int) -> None:
    found = sent(size, "hangs")
    assert (found["tries"], found["code"]) == (1, "no_answer")
    assert 20_000 <= found["ms"] <= within_ms


@pytest.mark.parametrize("size", [ONE, FIFTY])
def test_a_slow_line_that_moves_is_waited_for(size: int) -> None:
    found = sent(size, "slow", taken=size * 8 / SLOWEST * 1000)
    assert (found["tries"], found["code"]) == (1, "sent")


def test_a_line_that_breaks_is_tried_again_with_the_same_key() -> None:
    assert sent(ONE, "breaks") == {"ms": 4600, "tries": 4, "keys": 1, "code": "no_line"}


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["breaks late", "busy"]), st.integers(1, 250_000))
def test_all_tries_together_have_an_end(line: str, taken: int) -> None:
    found = sent(FIFTY, line, taken)
    assert found["keys"] == 1
    assert found["code"] != "sent"
    assert found["ms"] <= BOUND_MS + LAST_WAIT_MS
