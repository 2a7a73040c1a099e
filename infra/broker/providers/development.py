"""A page on which one chooses an age. It checks nobody, and only `--development` takes it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from infra.broker.errors import NoPass, Word
from infra.broker.grants import Person
from infra.broker.issuance import Predicate
from infra.broker.providers.port import Page

_AGE = re.compile(r"[0-9]{1,3}")
_ADULT = 18


class DevelopmentProvider:
    """Believes the form: `age` in years, and `person` for whose limit it counts (optional)."""

    goes_to: tuple[str, ...] = ()

    def __init__(self, name: str, predicate: Predicate) -> None:
        self.name = name
        self.predicate = predicate

    def start(self, form: Mapping[str, str]) -> Page | Person:
        age = form.get("age")
        if age is None:
            return Page("development.html")
        if not _AGE.fullmatch(age) or int(age) >= _ADULT:
            raise NoPass(Word.REFUSED)
        return Person(form.get("person") or secrets.token_hex(16))

    def finish(self, kept: Mapping[str, str], query: Mapping[str, str]) -> Person:
        raise NoPass(Word.ENDED)
