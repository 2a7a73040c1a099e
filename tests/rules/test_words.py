"""What the documents and the names promise."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.app.web.running import ROOT

PACKAGES = ("app", "partners", "hashing", "infra", "bench")
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(p for n in PACKAGES for p in (ROOT / n).rglob("*.md")),
    }
)
SHOWN = PAGES + sorted(
    path
    for name in ("app", "partners", "infra", "hashing/device")
    for path in (ROOT / name).rglob("*")
    if path.suffix in {".py", ".html", ".js", ".css", ".txt", ".toml", ".svg"}
)
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
# We cannot keep these: copies exist that we never hear of, hashes can be attacked, and whoever has
# the picture and the key can be told apart.
PROMISES = re.compile(
    r"(?i)(?:deleted|removed|gone|erased)\W+everywhere|impossible\W+to\W+(?:reverse|trace)"
    r"|irreversibl|anonymous|anonymity|(?:can\W?not|can't)\W+be\W+(?:reversed|traced)"
    r"|(?:100\W?%|completely|totally|perfectly)\W+(?:safe|secure|private)|military.grade"
)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SHOWN, ids=shown)
def test_nothing_is_promised_that_we_cannot_keep(path: Path) -> None:
    assert [found.group() for found in PROMISES.finditer(path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    ["It will be deleted\neverywhere.", "Hashes are impossible to reverse", "Stay anonymous!"],
)
def test_the_rule_on_promises_would_notice(text: str) -> None:
    assert PROMISES.search(text)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    if path.name == "__init__.py" and not text.strip():
        return
    said = ast.get_docstring(ast.parse(text))
    assert said, "no docstring"
    first = said.split("\n\n")[0]
    assert len(first) >= 15
    assert first.rstrip().endswith((".", ":", "!", "?")), "not a sentence"


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_file_is_named_by_what_is_in_it(path: Path) -> None:
    assert path.stem not in NAMELESS
    assert not set(path.stem.split("_")) & {"utils", "util", "helpers", "misc"}


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def links(text: str) -> list[str]:
    """Targets of links and pictures, outside of code."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return [first or second for first, second in LINK.findall(prose)]


def anchors(text: str) -> set[str]:
    """Anchors of headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return False
    name, _, anchor = target.partition("#")
    aim = (page.parent / name).resolve() if name else page
    if not aim.exists() or not aim.is_relative_to(ROOT):
        return True
    return bool(anchor) and aim.suffix == ".md" and anchor not in anchors(aim.read_text())


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [target for target in links(path.read_text()) if dead(path, target)] == []


def test_the_rule_on_links_would_notice() -> None:
    page = ROOT / "docs/PROBLEMS.md"
    assert links("[a](b.md) ![c](d.png) `[e](f)`") == ["b.md", "d.png"]
    assert dead(page, "NOWHERE.md")
    assert dead(page, "PROBLEMS.md#no-such-heading")
    assert dead(page, "../../shared/README.md")
    assert not dead(page, "#codes")
