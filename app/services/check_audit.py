"""Whether the audit chains are whole: an entry that is missing or was altered shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from app.domain.audit import AuditEntry, unbroken
from app.domain.case import Case
from app.services.house import House
from partners.model import CaseId
from partners.ports import Purpose

_PAGE = 500
_LOOKS = 3  # at a case that is being changed while we look


class Fault(StrEnum):
    """What is wrong with a chain."""

    MISSING = "missing"  # there is a case, and no entry of it
    BROKEN = "broken"  # an entry was altered, or is missing between two others
    CUT = "cut"  # the last entries are missing: the case ends its chain with another


@dataclass(frozen=True, slots=True)
class Chain:
    """What was found of one chain."""

    case_id: CaseId
    entries: int
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class CheckAudit:
    """Looks at chains one by one; may run beside the service.

    A chain outlives its case by the audit retention: then nothing says where it should end.
    """

    house: House

    def __call__(self) -> Iterator[Chain]:
        """Every case, and every chain whose case is gone."""
        for case_id in self._cases():
            yield self.one(case_id)
        for case_id in self._chains():
            if self.house.store.case(case_id) is None:
                yield self.one(case_id)

    def one(self, case_id: CaseId) -> Chain:
        """The chain of one case."""
        for _ in range(_LOOKS):
            case = self.house.store.case(case_id)
            entries = self.house.store.audit_of(case_id)
            fault = self._fault(case, entries)
            if fault is None or self.house.store.case(case_id) == case:
                break
        return Chain(case_id, len(entries), fault)

    def rows(self, case_id: CaseId) -> list[dict[str, object]]:
        """The entries of one chain for an operator's eyes."""
        return [
            {
                "number": entry.number,
                "at": entry.at.isoformat(),
                "actor": entry.actor,
                "action": entry.action,
                "reason": entry.reason,
            }
            for entry in self.house.store.audit_of(case_id)
        ]

    def _fault(self, case: Case | None, entries: list[AuditEntry]) -> Fault | None:
        if not unbroken(entries, partial(self.house.keys.tag, Purpose.AUDIT)):
            return Fault.BROKEN
        if case is None:
            return None
        if not entries:
            return Fault.MISSING
        return None if entries[-1].digest == case.audit_head else Fault.CUT

    def _cases(self) -> Iterator[CaseId]:
        after: str | None = ""
        while after is not None:
            page, after = self.house.store.records(Case, after, _PAGE)
            yield from (case.id for case in page)

    def _chains(self) -> Iterator[CaseId]:
        """Each chain's case once, by its first entry, or by its first that is there."""
        seen: set[CaseId] = set()
        after: str | None = ""
        while after is not None:
            page, after = self.house.store.records(AuditEntry, after, _PAGE)
            for entry in page:
                if entry.case_id not in seen:
                    seen.add(entry.case_id)
                    yield entry.case_id
