"""Reading a TOML table member by member: every fault becomes a problem with its place."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


class NotToml(Exception):
    """The text is no TOML; the message says where it stops being so."""


class Table:
    """One table of a file. What does not fit is a problem, and reading goes on."""

    def __init__(self, where: str, members: dict[str, Any], problems: list[str]) -> None:
        """`problems` is shared by every table of the file."""
        self.where = where
        self._members = dict(members)
        self._problems = problems

    def problem(self, words: str) -> None:
        """Note a fault of this table, never a value of it."""
        self._problems.append(f"{self.where}: {words}")

    def take(self, name: str) -> Any:
        """The raw member, None if it is not there."""
        return self._members.pop(name, None)

    def text(self, name: str) -> str:
        """1 to 255 visible ASCII characters, else ''."""
        value = self.take(name)
        if isinstance(value, str) and _VISIBLE.fullmatch(value):
            return value
        self.problem(f"{name} must be 1 to 255 visible ASCII characters")
        return ""

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of these, else ''."""
        value = self.take(name)
        if value in choices:
            return str(value)
        self.problem(f"{name} must be one of {', '.join(choices)}")
        return ""

    def texts(self, name: str, most: int) -> list[str]:
        """1 to `most` texts, else none."""
        value = self.take(name)
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            texts: list[str] = value
            if 1 <= len(texts) <= most:
                return texts
        self.problem(f"{name} must be a list of 1 to {most} texts")
        return []

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, else `low`."""
        value = self.take(name)
        if type(value) is int and low <= value <= high:
            return value
        self.problem(f"{name} must be a whole number from {low} to {high}")
        return low

    def address(self, name: str) -> str | None:
        """An https address without query or fragment, http on loopback; None if not there."""
        if name not in self._members:
            return None
        value = self.take(name)
        if isinstance(value, str) and _VISIBLE.fullmatch(value) and _is_address(value):
            return value
        self.problem(f"{name} must be an https address, or http on loopback, without a query")
        return None

    def moment(self, name: str, otherwise: datetime) -> datetime:
        """A time with its offset, as UTC."""
        value = self.take(name)
        with suppress(OverflowError):  # the first and last hours of the calendar
            if isinstance(value, datetime) and value.tzinfo:
                return value.astimezone(UTC)
        self.problem(f"{name} must be a date and time with its offset")
        return otherwise

    def tables(self, name: str, most: int) -> list[Table]:
        """1 to `most` tables, else none."""
        value = self.take(name)
        if not _is_tables(value) or not 1 <= len(value) <= most:
            self.problem(f"must have a list of 1 to {most} tables named {name}")
            return []
        place = "" if self.where == "file" else f"{self.where}, "
        return [
            Table(f"{place}{name} {number}", entry, self._problems)
            for number, entry in enumerate(value, start=1)
        ]

    def rest(self) -> dict[str, Any]:
        """Every member not yet taken."""
        members, self._members = self._members, {}
        return members

    def close(self) -> None:
        """Whatever was not taken is a problem."""
        if self._members:
            # A name may hold anything, a pasted secret too: only its place is told.
            self.problem(f"has {len(self._members)} members that the format does not know")


def read_toml(text: str) -> dict[str, Any]:
    """The members of a TOML text. Raises NotToml."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r"at line \d+, column \d+", str(error))
        raise NotToml(f"the file is not TOML {place[0] if place else ''}".rstrip()) from None


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    # A browser reads `\` as `/`: what stands before it would be another host than we think.
    if not host or port == 0 or {*text} & {*"?#@\\"}:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
