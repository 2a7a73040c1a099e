"""Where each row stands in the table and in its indexes (keys.md draws it)."""

from __future__ import annotations

import os
import re
import threading
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zlib import crc32

Key = tuple[str, str]  # partition, sort

ROSTER: Final[Key] = ("partners", "roster")
ROLLS: Final[Key] = ("rolls", "rolls")
NOBODY: Final[Key] = ("nobody", "nobody")  # no row ever stands here

ITEMS: Final = "item#"
CHAIN: Final = "audit#"
NOTICES: Final = "notices#"
ATTEMPTS: Final = "attempt#"


class Shelf(StrEnum):
    """What the index by time keeps apart."""

    DUE = "due"  # messages, at `due_at`
    SWEEP = "sweep"  # cases, at `sweep_at`
    LATE = "late"  # notices that may become late, at `deadline_at`
    OPEN = "open"  # events, in the order of their making
    TOKENS = "tokens"  # and the rest: what is forgotten, at the time from which its age counts
    ANSWERS = "answers"
    ATTEMPTS = "attempts"
    CHAINS = "chains"  # the first entry of each audit chain


@dataclass(frozen=True, slots=True)
class Shards:
    """Over how many partitions of the index by time each shelf is spread.

    One partition takes 1,000 writes a second. More may be chosen at any time; fewer only once
    nothing stands on those that go.
    """

    count: int

    def of(self, shelf: Shelf, name: str) -> str:
        """The bucket of the row of that name."""
        return f"{shelf}#{crc32(name.encode()) % self.count}"

    def all(self, shelf: Shelf) -> list[str]:
        """Every bucket of a shelf."""
        return [f"{shelf}#{number}" for number in range(self.count)]


class Sequence:
    """Names that sort in the order they are given: of one process exactly, of several by clock."""

    _shape = re.compile(r"[0-9a-f]{20}", re.ASCII)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> str:
        """14 hexadecimal digits of microseconds since 1970, then 6 random ones."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return f"{self._last:014x}{os.urandom(3).hex()}"

    @staticmethod
    def of(micros: int) -> str:
        """The first name of that time (microseconds since 1970)."""
        return f"{micros:014x}{0:06x}"

    @classmethod
    def checked(cls, cursor: str) -> str:
        """The cursor, if it may be one. Raises ValueError."""
        if cursor and not cls._shape.fullmatch(cursor):
            raise ValueError("not a cursor of this store")
        return cursor


def at(micros: int) -> str:
    """A time (microseconds since 1970) as a sort key. Rows of one time have the same."""
    return f"{micros:020d}"


def by_tag(tag: bytes) -> str:
    """A tag as part of a key."""
    return urlsafe_b64encode(tag).decode().rstrip("=")


def case(case_id: str) -> Key:
    """A case; its items, its audit chain and the lists of its notices share its partition."""
    return f"case#{case_id}", "case"


def case_key(tag: bytes) -> Key:
    """What a case key opens: the name of its case."""
    return f"key#{by_tag(tag)}", "key"


def item(case_id: str, number: int) -> Key:
    """An item of a case."""
    return f"case#{case_id}", f"{ITEMS}{number:010d}"


def audit(case_id: str, number: int) -> Key:
    """An entry of a case's audit chain."""
    return f"case#{case_id}", f"{CHAIN}{number:010d}"


def notices(case_id: str, seq: str) -> Key:
    """The names of some notices of a case: those of one commit."""
    return f"case#{case_id}", f"{NOTICES}{seq}"


def notice(notice_id: str) -> Key:
    """A notice."""
    return f"notice#{notice_id}", "notice"


def event(event_id: str) -> Key:
    """An open event. The stream's filter knows it by its partition key."""
    return f"event#{event_id}", "event"


def message(message_id: str) -> Key:
    """A message; its attempts share its partition."""
    return f"message#{message_id}", "message"


def attempt(message_id: str, number: int) -> Key:
    """An attempt at a message."""
    return f"message#{message_id}", f"{ATTEMPTS}{number:010d}"


def token(tag: bytes) -> Key:
    """A spent age token."""
    return f"token#{by_tag(tag)}", "token"


def answer(tag: bytes) -> Key:
    """An answer kept for its Idempotency-Key."""
    return f"answer#{by_tag(tag)}", "answer"


def partner(partner_id: str) -> Key:
    """A partner."""
    return f"partner#{partner_id}", "partner"


def roll(partner_id: str, state: str) -> str:
    """The list of a partner's messages in one state."""
    return f"{partner_id}#{state}"


def kin_of_duplicate(tag: bytes) -> str:
    """Items with the same primary hash find each other."""
    return f"duplicate#{by_tag(tag)}"


def kin_of_notice(notice_id: str) -> str:
    """The messages of a notice."""
    return f"notice#{notice_id}"


def kin_of_case(case_id: str) -> str:
    """The open events of a case."""
    return f"case#{case_id}"
