"""What the broker's page, its unit and its code say of each other."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker.errors import Code, Word
from infra.broker.journal import FIELDS, Event
from tests.app.web.running import ROOT
from tests.rules.pages import section, table, words

FOLDER = ROOT / "infra/broker"
SOURCES = sorted(FOLDER.rglob("*.py"))
README = (FOLDER / "README.md").read_text()
UNIT = (FOLDER / "age-broker.service").read_text()
ANALYZE = shutil.which("systemd-analyze")
ADDED = {"note": frozenset[str](), "failure": frozenset({"error", "place"})}


def test_every_code_and_word_is_told() -> None:
    told = {word for row in table(README.split("stable `code`")[1]) for word in words(row[0])}
    assert told == {str(code) for code in Code}
    (line,) = [line for line in README.splitlines() if line.startswith("`/pass?problem=`")]
    assert set(words(line)) - {"/pass?problem="} == {str(word) for word in Word}


def test_every_route_is_told() -> None:
    told = {word for row in table(section(README, "The wire")) for word in words(row[0])}
    routes = re.findall(r'\("(/[^"]*)", self\.\w+, "([A-Z]+)"\)', (FOLDER / "web.py").read_text())
    served = {f"{method} {rule.replace('<name>', 'NAME')}" for rule, method in routes}
    assert len(served) == 7
    assert served - told == {"GET /providers/NAME/return"}
    assert "/providers/NAME/return" in README


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_but_the_journal_writes_a_line(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        name.name.partition(".")[0] if isinstance(node, ast.Import) else (node.module or "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    if path.name != "journal.py":
        assert not imported & {"logging", "warnings", "traceback", "syslog"}
    assert "print" not in {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def calls(tree: ast.AST) -> Iterator[tuple[str, str, set[str | None]]]:
    """Each call of the journal: method, event, names of the fields given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value).rpartition(".")[2].strip("_")
            if owner == "journal" and node.func.attr in ADDED:
                fields = {keyword.arg for keyword in node.keywords}
                yield node.func.attr, ast.unparse(node.args[0]), fields


def test_only_listed_fields_are_logged_and_every_event_is() -> None:
    assert FIELDS.keys() == set(Event)
    found = [call for path in SOURCES for call in calls(ast.parse(path.read_text()))]
    for method, event, fields in found:
        assert fields | ADDED[method] <= FIELDS[Event[event.removeprefix("Event.")]]
    assert {event for _, event, _ in found} == {f"Event.{event.name}" for event in Event}


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
def test_systemd_reads_every_line(tmp_path: Path) -> None:
    unit = tmp_path / "age-broker.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE))
    command = [str(ANALYZE), "verify", "--man=no", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in said.stderr.splitlines() if "age-broker.service" in line]
    assert (said.returncode, ours) == (0, [])


def test_what_guards_the_counts_stays() -> None:
    for line in ("LimitCORE=0", "MemorySwapMax=0", "RuntimeDirectory=age-broker", "UMask=0077"):
        assert line in UNIT.splitlines()
    assert 'database = "/run/age-broker/' in README


def test_its_yoti_part_says_what_it_has_not_met() -> None:
    for text in (README, (FOLDER / "providers/yoti.py").read_text()):
        assert re.search(r"never met the real", text, re.IGNORECASE)
