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
@pytest.mark.timeout(400)
def test_choosing_moves_no_byte_and_sending_few(tmp_path: Path) -> None:
    """What the page sent would be counted each time; what ends a silent connection need not be."""
    tries = (_counted(tmp_path / str(number)) for number in range(3))
    counted = next((one for one in tries if one["choosing"] == 0), None)
    assert counted is not None, "bytes moved while a photo was chosen, three times"
    assert counted["before"] > counted["photo"]  # the counter counts: the pages came through it
    left = counted["sending"] - counted["answered"]
    assert 0 < left <= FIXED_BYTES + BYTES_PER_HASH * counted["hashes"], counted


def _counted(folder: Path) -> dict[str, int]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.journeys.browser.alone", str(folder), str(PHOTO)]
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
    found: dict[str, int] = json.loads(done.stdout)
    return found
