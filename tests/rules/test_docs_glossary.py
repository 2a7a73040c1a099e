"""The words of the code are the words of the glossary."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.web.running import ROOT
from tests.rules.pages import table, text_of

SOURCES = [
    *(p for p in sorted((ROOT / "app/domain").glob("*.py")) if p.stem != "errors"),
    ROOT / "app/ports.py",
    *(ROOT / f"partners/{name}.py" for name in ("model", "events", "ports", "registry")),
]
# Words that say how a noun stands, not what it is.
PLAIN = {
    "add", "save", "put", "close", "bad", "new", "kind", "type", "status", "basis", "wish",
    "policies", "clock", "ids", "ring", "row", "of",
}  # fmt: skip


def glossary() -> set[str]:
    """Every word that is explained, in the first column of a table or bold in its meaning."""
    text = text_of("GLOSSARY")
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    told = " ".join(row.split("|")[1] for row in rows)
    told += " " + " ".join(re.findall(r"\*\*([^*]+)\*\*", text))
    return {word.lower() for word in re.findall(r"[A-Za-z]+", told)}


def nouns(name: str) -> Iterator[str]:
    """The words of a class name."""
    for word in re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", name):
        yield word.lower()


def classes() -> list[tuple[Path, str]]:
    return [
        (path, node.name)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def unexplained(name: str) -> list[str]:
    known = glossary() | PLAIN
    return [w for w in nouns(name) if w not in known and w.removesuffix("s") not in known]


@pytest.mark.parametrize("name", sorted({name for _, name in classes()}))
def test_every_noun_of_a_class_is_in_the_glossary(name: str) -> None:
    assert unexplained(name) == []


def test_the_rule_would_notice() -> None:
    assert unexplained("Widget") == ["widget"]
    assert unexplained("CaseWidget") == ["widget"]
    assert len(classes()) > 40


def test_no_word_is_explained_twice() -> None:
    rows = [line.split("|")[1] for line in text_of("GLOSSARY").splitlines() if line[:4] == "| **"]
    told = [word for row in rows for word in re.findall(r"\*\*([^*]+)\*\*", row)]
    assert sorted(told) == sorted(set(told))
    assert len(table(text_of("GLOSSARY"))) > 10
