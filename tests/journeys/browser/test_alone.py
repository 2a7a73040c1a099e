"""With no machine to talk to but the service, the kernel's own counter says what left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.browser.proof import BYTES_PER_HASH, FIXED_BYTES
from tests.journeys.browser.world import PHOTO
from tests.journeys.processes import ROOT, clean_env

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def may_unshare() -> bool:
    """Whether this user may make a network namespace and bring its loopback up."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    tried = ["unshare", "--net", "ip", "link", "set", "lo", "up"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="needs root, unshare and ip")
def test_choosing_moves_no_byte_and_sending_few(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.journeys.browser.alone", str(tmp_path), str(PHOTO)]
    done = subprocess.run(
        ["unshare", "--net", *command],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=clean_env(),
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert counted["before"] > counted["photo"]  # the counter counts: the pages came through it
    assert counted["choosing"] == 0
    left = counted["sending"] - counted["answered"]
    assert 0 < left <= FIXED_BYTES + BYTES_PER_HASH * counted["hashes"], counted
