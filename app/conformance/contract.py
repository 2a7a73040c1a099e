"""The contract with a platform, line by line, and what one endpoint made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Requirement(StrEnum):
    """One line of the contract: docs/PARTNERS.md says each at length."""

    HANDSHAKE = "handshake"
    CHALLENGE = "challenge"
    FORGED_CHALLENGE = "forged-challenge"
    ACCEPTS = "accepts"
    FETCHES = "fetches"
    OPENS = "opens"
    ROTATION = "rotation"
    LARGEST = "largest"
    VIDEOS = "videos"
    OTHER_TYPES = "other-types"
    FORGED = "forged"
    ALTERED = "altered"
    UNSIGNED = "unsigned"
    STALE = "stale"
    REPLAYED = "replayed"
    REPEATED = "repeated"
    OVERSIZED = "oversized"
    SEALED_FORGED = "sealed-forged"
    WITHDRAWN = "withdrawn"
    REORDERED = "reordered"
    IN_TIME = "in-time"
    FEEDBACK = "feedback"


SAYS: Final[Mapping[Requirement, str]] = MappingProxyType(
    {
        Requirement.HANDSHAKE: "answers the OPTIONS handshake, naming us and a rate",
        Requirement.CHALLENGE: "echoes the word of a signed challenge",
        Requirement.FORGED_CHALLENGE: "echoes no challenge that somebody else signed",
        Requirement.ACCEPTS: "answers 2xx to a good removal.requested",
        Requirement.FETCHES: "reads a thin message's item with its API key, and says what it did",
        Requirement.OPENS: "opens a sealed message with its own key, and says what it did",
        Requirement.ROTATION: "finds our signature among several, as during a change of keys",
        Requirement.LARGEST: "takes a body of 20,000 bytes, with members it does not know",
        Requirement.VIDEOS: "takes a video by its frames (vpdq), and says what it did",
        Requirement.OTHER_TYPES: "answers 2xx to reminders, updates and types it does not know",
        Requirement.FORGED: "refuses a message that another key signed",
        Requirement.ALTERED: "refuses a message of which one byte was changed",
        Requirement.UNSIGNED: "refuses a message without a signature",
        Requirement.STALE: "refuses a message signed ten minutes ago, or ten minutes ahead",
        Requirement.REPLAYED: "acts once on a request that is sent again byte for byte",
        Requirement.REPEATED: "answers 2xx to a retry under the same webhook-id, and acts once",
        Requirement.OVERSIZED: "refuses a body of a megabyte, and goes on answering",
        Requirement.SEALED_FORGED: "ignores a sealed part that is not ours, or not for it",
        Requirement.WITHDRAWN: "forgets a withdrawn item, and says withdrawn_done",
        Requirement.REORDERED: "stands by a withdrawal that came before its request",
        Requirement.IN_TIME: "answers every message in time",
        Requirement.FEEDBACK: "calls the partner API with its key, in shape and in order",
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one line is kept, by what was seen. `kept` is None where it could not be played."""

    requirement: Requirement
    kept: bool | None
    observed: str

    def row(self) -> dict[str, object]:
        """As JSON."""
        contract = SAYS[self.requirement]
        return {
            "line": self.requirement,
            "kept": self.kept,
            "contract": contract,
            "observed": self.observed,
        }

    def __str__(self) -> str:
        word = {True: "kept", False: "BROKEN", None: "not played"}[self.kept]
        return f"{word:11} {self.requirement:17} {SAYS[self.requirement]} ({self.observed})"
