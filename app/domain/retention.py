"""How long a case is kept in each state, and what the sweeper does when that time has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.case import Case, CaseState, Item
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

    def next_sweep(self, case: Case, items: Iterable[Item]) -> datetime:
        """When an active case must be looked at next: at its end, or at the limit of an item that
        was taken back by itself. The end is reckoned by today's limits.
        """
        limits = [i.withdrawn_at + self.withdrawal_limit for i in items if i.withdrawn_at]
        return min([case.created_at + self.case_keep, *limits])


class Sweep(StrEnum):
    """What is due for a case."""

    SCRUB = "scrub"
    SCRUB_ITEMS = "scrub_items"  # those that were taken back by themselves
    PURGE = "purge"


def due(case: Case, items: Iterable[Item], retention: Retention) -> Sweep:
    """What follows when a case's `sweep_at` has come."""
    if case.state is CaseState.SCRUBBED:
        return Sweep.PURGE
    waiting = any(item.waits_to_be_forgotten for item in items)
    early = case.sweep_at < case.created_at + retention.case_keep
    if case.state is CaseState.ACTIVE and waiting and early:
        return Sweep.SCRUB_ITEMS
    return Sweep.SCRUB


def everybody_forgot(notices: Iterable[Notice]) -> bool:
    """Whether each partner that was told has said that it forgot the item."""
    return all(notice.feedback.word is Word.WITHDRAWN_DONE for notice in notices)
