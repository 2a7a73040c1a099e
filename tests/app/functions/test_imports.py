"""What a program imports is what it uses: a cold start pays for the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.app.web.running import ROOT

HEAVY = ("boto3", "botocore", "flask", "numpy", "PIL", "pycurl", "waitress")


def imported(*lines: str) -> set[str]:
    """Which heavy packages a new process has loaded after these lines."""
    report = f"import sys; print(*(n for n in {HEAVY} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, report])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["relay", "sender", "sweeper", "purge"])
def test_only_the_api_loads_the_web_framework(name: str) -> None:
    assert imported(f"import app.functions.{name}") == set()


def test_the_api_loads_nothing_that_posts() -> None:
    assert imported("import app.functions.api") == {"flask"}


def test_clients_of_aws_come_without_what_nobody_uses() -> None:
    assert imported("from app.adapters import aws", "aws.client") == {"botocore"}


def test_the_server_of_one_machine_loads_nothing_of_the_cloud(tmp_path: object) -> None:
    lines = (
        "from app.bootstrap import build",
        "from app.settings import Settings",
        "import app.wsgi",
        f"build(Settings.from_env({{'REPORT_REMOVE_DATA_DIR': {str(tmp_path)!r}}})).close()",
    )
    assert imported(*lines) == {"flask", "pycurl", "waitress"}
