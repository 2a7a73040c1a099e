"""However a command reaches the service's parts, what keeps them from starting is all said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.bootstrap import ROOT_KEY
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


LOOKS = [
    "partner list",
    "partner suspend ptn_a",
    "partner verify ptn_a",
    "partner rotate ptn_a --secret api_key",
    "partner endpoint list ptn_a",
    "partner endpoint add ptn_a",
    "messages list",
    "messages replay --all-failed",
    "audit check",
    "audit show case_a",
    "export all.jsonl",
    "keys list",
]


@pytest.mark.parametrize("command", LOOKS)
def test_a_wrong_folder_is_no_empty_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(tmp_path, command)
    assert (done.exit_code, done.stdout) == (5, "")
    assert str(tmp_path / "data") in done.stderr
    if command != "keys list":
        assert "REPORT_REMOVE_DATA_DIR" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPORT_REMOVE_DATA_DIR", raising=False)
    done = CliRunner().invoke(main, ["partner", "list"])
    assert done.exit_code == 5
    assert f"in {tmp_path / 'var'}:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_who_adds_a_platform_begins_a_service(tmp_path: Path) -> None:
    assert "No platforms" not in run(tmp_path, "partner add Alpha").output
    listed = run(tmp_path, "partner list")
    assert (listed.exit_code, len(listed.stdout.splitlines())) == (0, 1)


def test_who_imports_begins_a_service(tmp_path: Path) -> None:
    run(tmp_path, "partner add Alpha")
    file, there = tmp_path / "all.jsonl", tmp_path / "there"
    assert run(tmp_path, f"export {file}").exit_code == 0
    (there / "data").mkdir(parents=True, mode=0o700)
    shutil.copy2(tmp_path / "data" / ROOT_KEY, there / "data")
    assert run(there, f"import {file}").exit_code == 0
    assert "Alpha" in run(there, "partner list").stdout


def test_a_key_file_is_not_exported(tmp_path: Path) -> None:
    assert "KEYS=kms; a root-key file is copied" in run(tmp_path, "keys export it").stderr
