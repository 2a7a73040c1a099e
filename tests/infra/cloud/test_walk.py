"""What `./run --cloud` does, to its end: a report through Lambda, DynamoDB, SQS and KMS."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.infra.cloud.templates import ROOT


@pytest.mark.slow
@pytest.mark.timeout(300)  # functions start cold, on a machine that may be busy
def test_a_report_goes_through_the_stacks_to_its_removal_and_back() -> None:
    command = [sys.executable, "-m", "app.cli", "cloud", "demo", "--once"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=290, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for line in (
        "enforces signatures and policies",
        "says of Picnic: Taken down",
        "says of Postcard: Not found so far",
        "no longer the copy",
        "Both platforms say that they forgot it, and our hashes are erased",
    ):
        assert line in done.stdout
