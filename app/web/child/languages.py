"""The words of the pages, one catalogue a language.

Plain JSON and not gettext: the same words serve the templates and, through them, the scripts, need
no compiling, and a translator sees one flat list of short sentences. English is complete by
definition; a test holds the others to its keys and placeholders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).with_name("catalogues")
CODES = ("en", "cy", "ar")


@dataclass(frozen=True, slots=True)
class Language:
    """One catalogue. `reviewed` is False until a native reader has gone through it."""

    code: str
    name: str
    direction: str
    reviewed: bool
    words: Mapping[str, str]

    def say(self, key: str, **values: object) -> str:
        """One sentence. Raises KeyError for a key that is not in the catalogue."""
        return self.words[key].format(**values) if values else self.words[key]


def load() -> dict[str, Language]:
    """Every language, English first."""
    return {code: _read(code) for code in CODES}


def _read(code: str) -> Language:
    raw = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    return Language(
        code=code,
        name=raw["name"],
        direction=raw["direction"],
        reviewed=raw["reviewed"],
        words=MappingProxyType(raw["words"]),
    )
