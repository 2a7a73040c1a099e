"""The functions make hardly more calls to AWS than the design needs: bench/cloud.py, small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_no_phase_makes_calls_in_vain() -> None:
    """In a process of its own: it sets the environment, and listens to every client."""
    ran = subprocess.run(
        [sys.executable, "bench/cloud.py", "--reports", "2", "--backlog", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    figure = json.loads(ran.stdout.splitlines()[-1])
    assert 0.9 < figure["ratio"] <= figure["worst_ratio"] <= figure["limit"]
    assert figure["sender_per_second"] > 0
