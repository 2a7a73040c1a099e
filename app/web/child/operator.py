"""What an operator chooses for the pages: a neutral name, where leaving leads, whom one can call.

The file we ship is an example. An operator's own is `pages.toml` in the data folder.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.settings import BadSettings

SHIPPED = Path(__file__).with_name("pages.toml")
FILE = "pages.toml"
OLD = timedelta(days=365)
MOST_HASHES = 128
_ASKED = re.compile(
    r"(?:https://[a-z0-9]+(?:(?:\.|-+)[a-z0-9]+)*|http://(?:localhost|127\.0\.0\.1))"
    r"(?::[0-9]{1,5})?(?:/[A-Za-z0-9_.-]+)+"
)


class BadPages(BadSettings):
    """The operator's file cannot be used; the message names the entry."""

    def __init__(self, problem: str) -> None:
        super().__init__([f"{FILE}: {problem}"])


@dataclass(frozen=True, slots=True)
class Helpline:
    """Somebody to talk to. `source` is where the number was read, `checked_on` when."""

    name: str
    about: str
    phone: str | None
    web: str | None
    source: str
    checked_on: date


@dataclass(frozen=True, slots=True)
class Country:
    """The numbers of one country, under its ISO 3166 code (EU where one number serves all)."""

    code: str
    name: str
    emergency: str
    emergency_source: str
    checked_on: date
    helplines: tuple[Helpline, ...]


@dataclass(frozen=True, slots=True)
class Pages:
    """The whole file."""

    name: str
    leave_to: str
    hashes_per_photo: int
    complaints: str
    countries: tuple[Country, ...]
    broker_answers: str | None = None

    def stale(self, today: date) -> list[str]:
        """What was last checked more than a year ago, by country and name."""
        rows = [(c.code, "emergency number", c.checked_on) for c in self.countries]
        rows += [(c.code, h.name, h.checked_on) for c in self.countries for h in c.helplines]
        return [f"{code}: {name}" for code, name, on in rows if today - on > OLD]


def read(data_dir: Path) -> Pages:
    """The operator's file, or the one we ship. Raises BadPages."""
    own = data_dir / FILE
    return parse((own if own.is_file() else SHIPPED).read_text(encoding="utf-8"))


def parse(text: str) -> Pages:
    """Raises BadPages."""
    try:
        raw = tomllib.loads(text)
        return Pages(
            name=_text(raw, "name"),
            leave_to=_leave_to(raw),
            hashes_per_photo=_budget(raw),
            complaints=_text(raw, "complaints"),
            countries=tuple(_country(entry) for entry in raw["country"]),
            broker_answers=_broker_answers(raw) if "broker_answers" in raw else None,
        )
    except tomllib.TOMLDecodeError as fault:
        raise BadPages(f"not TOML: {fault}") from None
    except (KeyError, TypeError) as fault:
        raise BadPages(f"{fault} is missing or of the wrong kind") from None


def _country(raw: Mapping[str, Any]) -> Country:
    return Country(
        code=_text(raw, "code"),
        name=_text(raw, "name"),
        emergency=_phone(_text(raw, "emergency")),
        emergency_source=_web(raw, "source"),
        checked_on=_day(raw),
        helplines=tuple(_helpline(entry) for entry in raw["helpline"]),
    )


def _helpline(raw: Mapping[str, Any]) -> Helpline:
    return Helpline(
        name=_text(raw, "name"),
        about=_text(raw, "about"),
        phone=_phone(_text(raw, "phone")) if "phone" in raw else None,
        web=_text(raw, "web") if "web" in raw else None,
        source=_web(raw, "source"),
        checked_on=_day(raw),
    )


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw[key]
    if not isinstance(value, str) or not value.strip():
        raise BadPages(f"{key} must be text")
    return value.strip()


def _web(raw: Mapping[str, Any], key: str) -> str:
    value = _text(raw, key)
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.netloc or not value.isascii() or " " in value:
        raise BadPages(f"{key} must be an https address")
    return value


def _leave_to(raw: Mapping[str, Any]) -> str:
    """Plain http only on this machine, where developers have their neutral page."""
    parts = urlsplit(_text(raw, "leave_to"))
    if parts.scheme == "http" and parts.hostname == "127.0.0.1":
        return parts.geturl()
    return _web(raw, "leave_to")


def _broker_answers(raw: Mapping[str, Any]) -> str:
    """It becomes part of a policy, so no character may end it there (CSP Level 3, 2.3.1).

    Plain http only on this machine, where developers have their broker.
    """
    value = _text(raw, "broker_answers")
    if not _ASKED.fullmatch(value):
        raise BadPages(
            "broker_answers must be https, in small ASCII letters, with a path and no query"
        )
    return value


def _phone(value: str) -> str:
    if not set(value) <= set("0123456789 +-"):
        raise BadPages("a phone number has a character that cannot be dialled")
    return value


def _day(raw: Mapping[str, Any]) -> date:
    value = raw["checked_on"]
    if type(value) is not date:
        raise BadPages("checked_on must be a date such as 2026-11-22")
    return value


def _budget(raw: Mapping[str, Any]) -> int:
    value = raw["hashes_per_photo"]
    if type(value) is not int or not 1 <= value <= MOST_HASHES:
        raise BadPages(f"hashes_per_photo must be a whole number from 1 to {MOST_HASHES}")
    return value
