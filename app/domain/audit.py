"""Who did what to which case, when and why; chained, so that a missing entry shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from partners.model import CaseId

Keyed = Callable[[bytes], bytes]  # HMAC-SHA256 under the audit key


class Action(StrEnum):
    """What can be done to a case."""

    REPORTED = "reported"
    ITEMS_ADDED = "items_added"
    FEEDBACK = "feedback"
    ITEM_WITHDRAWN = "item_withdrawn"
    ITEM_SCRUBBED = "item_scrubbed"
    WITHDRAWN = "withdrawn"
    SCRUBBED = "scrubbed"
    PURGED = "purged"


class Actor(StrEnum):
    """Who does things to cases."""

    YOUNG_PERSON = "young_person"
    PARTNER = "partner"
    SERVICE = "service"  # retention and the limits after a withdrawal
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One link of a case's chain. `reason` is one of a few fixed words, never free text.

    Of feedback it is the partner's word and, after a blank, its name for the item.
    """

    case_id: CaseId
    number: int
    at: datetime
    actor: Actor
    action: Action
    reason: str
    digest: bytes


def link(
    previous: bytes,
    case_id: CaseId,
    number: int,
    at: datetime,
    actor: Actor,
    action: Action,
    reason: str,
    keyed: Keyed,
) -> AuditEntry:
    """The next entry of the chain that ends in `previous` (b"" for the first)."""
    digest = _digest(previous, case_id, number, at, actor, action, reason, keyed)
    return AuditEntry(case_id, number, at, actor, action, reason, digest)


def unbroken(entries: Iterable[AuditEntry], keyed: Keyed) -> bool:
    """Whether these are all entries of one chain, in order, none altered."""
    previous = b""
    for number, entry in enumerate(entries, start=1):
        expected = _digest(
            previous,
            entry.case_id,
            number,
            entry.at,
            entry.actor,
            entry.action,
            entry.reason,
            keyed,
        )
        if entry.number != number or entry.digest != expected:
            return False
        previous = entry.digest
    return True


def _digest(
    previous: bytes,
    case_id: CaseId,
    number: int,
    at: datetime,
    actor: Actor,
    action: Action,
    reason: str,
    keyed: Keyed,
) -> bytes:
    text = "|".join((case_id, str(number), at.isoformat(), actor, action, reason))
    return keyed(previous + text.encode())
