"""The catalogues say the same things, and the English says them so that a child can read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from string import Formatter

import pytest
from flask import Flask

from app.web.application import create_app
from app.web.child.languages import CODES, load
from app.web.child.pages import STATIC
from tests.app.web.running import ROOT, in_process

LANGUAGES = load()
ENGLISH = LANGUAGES["en"].words
TEMPLATES = ROOT / "app/web/child/templates/child"
GRADE = 4.0
# Names of people's work and of machines: not words that one reads for their difficulty.
FORBIDDEN = re.compile(
    r"(?i)!|\bsexting\b|should(?:n't| not) have|offend|illegal|crime|\bpunish|self-generated"
)


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("code", CODES)
def test_every_language_says_everything(code: str) -> None:
    words = LANGUAGES[code].words
    assert list(words) == list(ENGLISH)
    assert all(sentence.strip() for sentence in words.values())
    assert {k: places(w) for k, w in words.items()} == {k: places(w) for k, w in ENGLISH.items()}


def test_only_english_was_read_by_a_native_reader() -> None:
    assert [code for code in CODES if LANGUAGES[code].reviewed] == ["en"]
    assert [code for code in CODES if LANGUAGES[code].direction == "rtl"] == ["ar"]


@pytest.mark.parametrize("code", ["cy", "ar"])
def test_no_sentence_was_left_in_english(code: str) -> None:
    words = LANGUAGES[code].words
    same = {key for key, sentence in words.items() if sentence == ENGLISH[key]}
    assert same <= {"choose.working", "code.hidden", "date.day"}


def test_every_word_that_scripts_ask_for_is_there() -> None:
    asked = set()
    for path in STATIC.glob("*.js"):
        asked |= set(re.findall(r'words\(\s*"([a-z_.0-9-]+)"', path.read_text()))
    assert len(asked) > 30
    assert asked <= ENGLISH.keys()
    shown = re.search(
        r"in\s+\((.*?)\)", (TEMPLATES / "shell.html").read_text().split("words.items")[1], re.DOTALL
    )
    assert shown is not None
    groups = set(re.findall(r'"([a-z_]+)"', shown[1]))
    assert {key.split(".")[0] for key in asked} <= groups


def test_every_refusal_of_the_library_has_words_in_every_language() -> None:
    source = (ROOT / "hashing/device/refusals.js").read_text()
    codes = set(
        re.findall(r"^  ([a-z_]+):", source.split("SENTENCES")[1].split("});")[0], re.MULTILINE)
    )
    assert len(codes) > 10
    assert {f"refused.{code}" for code in codes} == {k for k in ENGLISH if k.startswith("refused.")}


def test_nothing_blames_threatens_or_shouts() -> None:
    assert [s for s in ENGLISH.values() if FORBIDDEN.search(s)] == []


# ---- reading age ---------------------------------------------------------------------------------


class Screens(HTMLParser):
    """The text of each screen, block by block: a heading, a button, a list entry is a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.screens: dict[str, list[str]] = {}
        self._name = ""
        self._foreign = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "section":
            self._name = named.get("data-step") or ""
            self.screens[self._name] = []
        self._foreign += "helplines" in (named.get("class") or "").split() or (
            self._foreign > 0 and tag == "div"
        )
        if self._name and tag not in ("b", "bdi", "span", "a", "small"):
            self.screens[self._name].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self._name = ""
        if tag == "div" and self._foreign:
            self._foreign -= 1

    def handle_data(self, data: str) -> None:
        if self._name and not self._foreign and self.screens[self._name]:
            self.screens[self._name][-1] += f" {data.strip()}"


def syllables(word: str) -> int:
    """Groups of vowels, less a silent e at the end."""
    found = len(re.findall(r"[aeiouy]+", word))
    silent = word.endswith("e") and not word.endswith(("le", "ee")) and found > 1
    return max(1, found - silent)


def grade(sentences: list[str]) -> float:
    """Flesch-Kincaid (1975)."""
    text = " ".join(s if re.search(r"[.?:…]\W*$", s) else f"{s}." for s in sentences)
    words = re.findall(r"[a-z']+", text.lower())
    count = len(re.findall(r"[.?:…]+(?=\s|$)", text))
    return 0.39 * len(words) / count + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with in_process(tmp_path_factory.mktemp("words")) as (runtime, _):
        yield create_app(runtime.context)


def test_every_english_screen_can_be_read_by_a_ten_year_old(app: Flask) -> None:
    seen = Screens()
    seen.feed(app.test_client().get("/en").get_data(as_text=True))
    blocks = {n: [b.strip() for b in s if b.strip()] for n, s in seen.screens.items()}
    assert len(blocks) >= 19
    hard = {name: round(grade(s), 1) for name, s in blocks.items() if grade(s) > GRADE}
    assert hard == {}


def test_so_can_everything_that_a_script_says() -> None:
    for group in ("choose", "refused", "problem", "status", "where", "check", "code", "proof"):
        sentences = [s for key, s in ENGLISH.items() if key.startswith(f"{group}.")]
        assert grade(sentences) <= GRADE, (group, grade(sentences))


def test_the_measure_tells_easy_from_hard() -> None:
    hard = "Perceptual identification facilitates the expeditious removal of imagery."
    assert grade(["It stays on your phone."]) < 2 < 15 < grade([hard])
