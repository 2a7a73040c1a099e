"""How long a case is kept in each state, and what the sweeper does when that time has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.case import Case, CaseState
from partners.model import Notice, Word


@dataclass(frozen=True, slots=True)
class Retention:
    """The operator's limits; see docs/SETTINGS.md for each."""

    case_keep: timedelta
    withdrawal_limit: timedelta
    scrubbed_keep: timedelta

    def sweep_at(self, state: CaseState, now: datetime) -> datetime:
        """When a case that enters `state` now must be looked at next."""
        keep = {
            CaseState.ACTIVE: self.case_keep,
            CaseState.WITHDRAWN: self.withdrawal_limit,
            CaseState.SCRUBBED: self.scrubbed_keep,
        }
        return now + keep[state]


class Sweep(StrEnum):
    """What is due for a case."""

    SCRUB = "scrub"
    PURGE = "purge"


def due(case: Case) -> Sweep:
    """What follows when a case's `sweep_at` has come."""
    return Sweep.PURGE if case.state is CaseState.SCRUBBED else Sweep.SCRUB


def everybody_forgot(notices: Iterable[Notice]) -> bool:
    """Whether each partner that was told has said that it forgot the item."""
    return all(notice.feedback.word is Word.WITHDRAWN_DONE for notice in notices)
