"""Every file and test that a document names is there, and every claim names one."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

from tests.app.web.running import ROOT
from tests.rules.pages import OURS, section, table, text_of, without_blocks, words

FOLDERS = ("app", "partners", "hashing", "infra", "tests", "bench", "docs")
TOKEN = re.compile(r"`([^`\s]+)`")


def named(path: Path) -> set[str]:
    """What a document names that is a path of this project."""
    found = TOKEN.findall(without_blocks(path))
    return {token for token in found if token.split("/")[0] in FOLDERS and "/" in token}


@lru_cache
def functions(path: Path) -> frozenset[str]:
    """The functions of a test file."""
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def missing(token: str) -> bool:
    """Whether there is no such file, folder or test."""
    name, _, function = token.partition("::")
    path = ROOT / name
    if not path.exists():
        return True
    return bool(function) and function not in functions(path)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_test_that_is_named_is_there(path: Path) -> None:
    assert [token for token in sorted(named(path)) if missing(token)] == []


def test_the_rule_would_notice() -> None:
    assert missing("app/nowhere.py")
    assert missing("tests/rules/test_docs_files.py::test_that_nobody_wrote")
    assert not missing("tests/rules/test_docs_files.py::test_the_rule_would_notice")


THREATS = [
    row
    for part in (
        "On the young person's side",
        "Reports that are not honest",
        "Partners",
        "On the way and at rest",
        "Wearing us down",
    )
    for row in table(section(text_of("THREAT-MODEL"), part))
]


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row[0])
def test_every_threat_names_what_stops_it_and_what_shows_it(row: list[str]) -> None:
    _, achieved, stopped, shown = row
    assert achieved
    if stopped.startswith("nothing here can"):
        assert shown == "none"
        return
    assert [token for token in words(stopped) if "/" in token]
    assert all("::test_" in token for token in words(shown))
    assert words(shown)


@pytest.mark.parametrize(
    "row", table(section(text_of("ARCHITECTURE"), "Invariants")), ids=lambda row: row[0]
)
def test_every_invariant_names_what_holds_it_and_what_shows_it(row: list[str]) -> None:
    _, held, shown = row
    assert all((ROOT / token).is_file() for token in words(held))
    assert words(held)
    assert words(shown)
    assert all("::test_" in token for token in words(shown))


def test_the_folders_of_the_house_are_all_described() -> None:
    told = {token.rstrip("/") for row in table(text_of("ARCHITECTURE")) for token in words(row[0])}
    inside = {
        str(path.relative_to(ROOT)).removesuffix("/__init__.py")
        for name in ("app", "partners", "hashing")
        for path in (ROOT / name).glob("*/__init__.py")
    }
    assert inside | {"app/ports.py", "partners", "hashing"} <= told


def test_every_thread_is_described() -> None:
    """The names that the code gives its threads."""
    worker = (ROOT / "app/worker.py").read_text()
    parts = re.findall(r'^ +"([a-z]+)": lambda', worker, re.MULTILINE)
    told = {
        token
        for row in table(section(text_of("ARCHITECTURE"), "What runs"))
        for token in words(row[0])
    }
    assert len(parts) >= 5
    assert set(parts) <= told


SETTING = re.compile(r"REPORT_REMOVE_[A-Z_]+")


@pytest.mark.parametrize(
    "path",
    [*OURS, ROOT / "infra/report-remove.service"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    known = set(SETTING.findall(text_of("SETTINGS")))
    assert set(SETTING.findall(path.read_text())) <= known
