"""What a demonstration starts is watched, heard and ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from app.demo.processes import StepFailed, command, free_port, processes_in

UP = 'print(\'{"url": "here"}\', flush=True); import time; time.sleep(60)'


def test_a_process_says_what_it_is_and_is_ended_with_the_block(tmp_path: Path) -> None:
    with processes_in(tmp_path) as processes:
        assert processes.start("one", "-c", UP)() == {"url": "here"}
        assert processes.all_run()
        (process,) = processes.running
    assert process.returncode is not None


def test_one_that_does_not_start_is_a_step_that_failed_with_its_last_words(tmp_path: Path) -> None:
    with processes_in(tmp_path) as processes:
        ready = processes.start("one", "-c", "raise SystemExit('no such thing')")
        with pytest.raises(StepFailed, match="one did not start:\nno such thing"):
            ready()
        assert processes.last_words("one") == "no such thing\n"
        assert processes.last_words("two") == ""


def test_a_command_that_is_refused_is_a_step_that_failed(tmp_path: Path) -> None:
    env = {"REPORT_REMOVE_ENVIRONMENT": "development", "REPORT_REMOVE_DATA_DIR": str(tmp_path)}
    with pytest.raises(StepFailed, match=r"^report-remove partner list\n(.|\n)*REPORT_REMOVE_PORT"):
        command({**env, "REPORT_REMOVE_PORT": "x"}, "partner", "list")


def test_settings_and_accounts_of_this_shell_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORT_REMOVE_PORT", "x")
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    code = "import json, os; print(json.dumps(dict(os.environ)), flush=True)"
    with processes_in(tmp_path) as processes:
        seen = processes.start("one", "-c", code, REPORT_REMOVE_THREADS="2")()
    assert {n for n in seen if n.startswith(("REPORT_REMOVE_", "AWS_"))} == {
        "REPORT_REMOVE_THREADS"
    }
    assert os.environ["AWS_PROFILE"] == "somebody"


@pytest.mark.skipif(sys.platform != "linux", reason="it says which ports it gives to clients")
def test_a_free_port_is_none_that_the_system_hands_out() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    first, last = map(int, given)
    assert not any(first <= free_port() <= last for _ in range(100))
