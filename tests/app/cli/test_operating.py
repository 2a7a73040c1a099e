"""However a command reaches the service's parts, what keeps them from starting is all said."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.main import main

EVERY_WAY = ["serve", "partner list", "keys create", "keys list", "keys rotate", "keys export it"]


def run(folder: Path, command: str, **settings: str) -> Result:
    env = {"ENVIRONMENT": "development", "DATA_DIR": str(folder / "data"), **settings}
    named = {f"REPORT_REMOVE_{name}": value for name, value in env.items()}
    return CliRunner().invoke(main, command.split(), env=named)


@pytest.mark.parametrize("command", EVERY_WAY)
def test_every_bad_setting_is_named(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command, PORT="many", THREADS="few")
    assert (done.exit_code, done.stdout) == (5, "")
    said, *problems = done.stderr.splitlines()
    assert said == "report-remove: cannot start:"
    assert [problem.split()[0] for problem in problems] == [
        "REPORT_REMOVE_PORT",
        "REPORT_REMOVE_THREADS",
    ]


@pytest.mark.parametrize("command", EVERY_WAY)
def test_a_refused_start_is_told_in_a_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "data").write_text("a file where the folder belongs")
    done = run(tmp_path, command)
    assert (done.exit_code, done.stdout) == (5, "")
    said, sentence = done.stderr.splitlines()
    assert said == "report-remove: cannot start:"
    assert sentence.startswith("  ")


def test_a_key_file_is_not_exported(tmp_path: Path) -> None:
    assert "KEYS=kms; a root-key file is copied" in run(tmp_path, "keys export it").stderr
