"""A case: what the service keeps of a report, and the states it may pass through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.domain.age import AgeBand, AgeBasis
from app.domain.errors import CaseClosed
from partners.model import CaseId, PartnerId


class CaseState(StrEnum):
    """Which state may follow which: `CASE_FOLLOWS`. A purged case has no row and so no state."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"  # platforms are being told; our hashes are still needed to say what
    SCRUBBED = "scrubbed"  # our hashes are erased, the row is kept so that the outcome can be read


CASE_FOLLOWS: dict[CaseState, frozenset[CaseState]] = {
    CaseState.ACTIVE: frozenset({CaseState.WITHDRAWN, CaseState.SCRUBBED}),
    CaseState.WITHDRAWN: frozenset({CaseState.SCRUBBED}),
    CaseState.SCRUBBED: frozenset(),
}


class MediaKind(StrEnum):
    """What an item is."""

    PHOTO = "photo"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Case:
    """One report and what was added to it.

    `key_tag` is the keyed digest of the case key: the only way in. `sweep_at` is when the sweeper
    must look next; `audit_head` is the digest of the last audit entry; `version` rises by one with
    every change, and is the number of its audit entry.
    """

    id: CaseId
    key_tag: bytes
    basis: AgeBasis
    band: AgeBand
    profile: str
    created_at: datetime
    sweep_at: datetime
    item_count: int
    state: CaseState = CaseState.ACTIVE
    withdrawn_at: datetime | None = None
    scrubbed_at: datetime | None = None
    audit_head: bytes = b""
    version: int = 1

    def require_open(self) -> None:
        """Raise CaseClosed unless things may still be added."""
        if self.state is not CaseState.ACTIVE:
            raise CaseClosed

    def taken_back(self, now: datetime, sweep_at: datetime) -> Case:
        """The case after its holder withdrew it, even if its hashes were erased for its age."""
        if self.state is CaseState.ACTIVE:
            return self.moved(CaseState.WITHDRAWN, now, sweep_at)
        return replace(self, withdrawn_at=now, sweep_at=sweep_at)

    def moved(self, state: CaseState, now: datetime, sweep_at: datetime) -> Case:
        """The case in its next state. Raises CaseClosed if that state may not follow."""
        if state not in CASE_FOLLOWS[self.state]:
            raise CaseClosed
        withdrawn = now if state is CaseState.WITHDRAWN else self.withdrawn_at
        scrubbed = now if state is CaseState.SCRUBBED else self.scrubbed_at
        return replace(
            self, state=state, withdrawn_at=withdrawn, scrubbed_at=scrubbed, sweep_at=sweep_at
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One photo or video of a case.

    `sealed_hashes` and `sealed_locations` are None once scrubbed.
    `duplicate_tag` is the keyed digest of its primary hash, by which an exact duplicate is found.
    """

    case_id: CaseId
    number: int
    kind: MediaKind
    platforms: tuple[PartnerId, ...]
    added_at: datetime
    duplicate_tag: bytes | None
    sealed_hashes: bytes | None
    sealed_locations: bytes | None = None
    withdrawn_at: datetime | None = None  # by itself; a withdrawn case says so of all its items

    def scrubbed(self) -> Item:
        """The item after our copy of its hashes and places was erased."""
        return replace(self, sealed_hashes=None, sealed_locations=None, duplicate_tag=None)

    @property
    def waits_to_be_forgotten(self) -> bool:
        """Whether it was taken back by itself and its hashes are still here."""
        return self.withdrawn_at is not None and self.sealed_hashes is not None
