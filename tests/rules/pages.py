"""Documents as tests read them: sections, tables and code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.app.web.running import ROOT

DOCS = ROOT / "docs"
OURS = (
    *(DOCS / f"{name}.md" for name in ("ARCHITECTURE", "GLOSSARY", "DATA-MODEL", "THREAT-MODEL")),
    *(DOCS / f"{name}.md" for name in ("PARTNERS", "RUNBOOK", "DPIA")),
    *(ROOT / name for name in ("SECURITY.md", "infra/README.md", "infra/sandbox/README.md")),
)


def text_of(name: str) -> str:
    """A document of docs/."""
    return (DOCS / f"{name}.md").read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"no heading {title!r}"
    rest = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def headings(text: str, level: int) -> list[str]:
    """The titles of one level, in their order."""
    return re.findall(rf"^{'#' * level} (.+)$", text, re.MULTILINE)


def table(text: str) -> list[list[str]]:
    """The rows of the first table, without its head."""
    lines = [line.strip() for line in text.splitlines()]
    start = next(place for place, line in enumerate(lines) if re.fullmatch(r"\|[-|]+\|", line)) + 1
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def words(cell: str) -> list[str]:
    """What a cell holds in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, language: str) -> list[str]:
    """The code of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_blocks(path: Path) -> str:
    """A document without its code."""
    return re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
