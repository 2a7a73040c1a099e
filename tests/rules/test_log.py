"""What may be logged is a closed list, and every call keeps to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.observability import FIELDS, LogEvent
from tests.app.web.running import ROOT

SOURCES = sorted(
    path for name in ("app", "partners", "hashing") for path in (ROOT / name).rglob("*.py")
)
# hashing.reference is the command line's: the server never imports it.
SERVER = [path for path in SOURCES if path.name != "reference.py"]
ADDED = {"note": frozenset[str](), "failure": frozenset({"error", "place"})}
# The one takes waitress's log into ours, the other hands it over.
USE_LOGGING = {"app/web/server.py", "app/wsgi.py"}


def calls(source: str) -> Iterator[ast.Call]:
    """Every call of a journal's two methods."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if node.func.attr in ADDED and owner.rpartition(".")[2].strip("_") == "journal":
                yield node


def faults(source: str) -> list[str]:
    """What is wrong with the calls in this source."""
    found = []
    for call in calls(source):
        named = ast.unparse(call.args[0])
        owner, _, member = named.rpartition(".")
        if owner != "LogEvent" or member not in LogEvent.__members__:
            found.append(f"{named} is no event")
            continue
        assert isinstance(call.func, ast.Attribute)
        given = {keyword.arg for keyword in call.keywords} | ADDED[call.func.attr]
        found += [f"{named} has no {name}" for name in given - FIELDS[LogEvent[member]]]
    return found


def test_every_event_has_its_fields() -> None:
    assert FIELDS.keys() == set(LogEvent)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_listed_fields_are_logged(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_every_event_is_emitted_somewhere() -> None:
    found = {ast.unparse(call.args[0]) for path in SOURCES for call in calls(path.read_text())}
    assert found == {f"LogEvent.{event.name}" for event in LogEvent}


@pytest.mark.parametrize(
    "source",
    [
        "journal.note(LogEvent.SERVICE_STOPPED, drained=True, hash=value)",
        "self._journal.note(LogEvent.SERVICE_STOPPED, **everything)",
        "context().journal.failure(LogEvent.DEADLINE_MISSED, fault, partner=partner)",
        "self.journal.note('case.opened', case_key=key)",
        "journal.note(LogEvent.CASE_OPENED)",
    ],
)
def test_the_rule_would_notice(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize("path", SERVER, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_else_is_logged(path: Path) -> None:
    """No other logger, no warning, no traceback: each would carry what is not on the list."""
    imported = {
        name.name.partition(".")[0] if isinstance(node, ast.Import) else (node.module or "")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    allowed = {"logging"} if str(path.relative_to(ROOT)) in USE_LOGGING else set()
    assert imported & {"logging", "warnings", "traceback", "structlog", "syslog"} <= allowed
