"""What is kept only for a while goes when its time is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from app.domain.audit import Action, Actor
from app.domain.case import Case, CaseState
from app.domain.errors import Contested
from app.domain.retention import Sweep, due
from app.services.house import House
from app.services.scrub_case import ScrubCase

BATCH = 100


@dataclass(frozen=True, slots=True)
class PurgeExpired:
    """Scrub and purge cases whose time has come; drop expired tokens, answers and attempts."""

    house: House
    scrub: ScrubCase
    attempt_keep: timedelta
    audit_keep: timedelta

    def __call__(self) -> int:
        """One round, at most BATCH cases. Returns how many rows and cases were dealt with."""
        now = self.house.clock.now()
        swept = sum(self._sweep(case) for case in self.house.store.cases_to_sweep(now, BATCH))
        return swept + self.house.store.drop_expired(
            now, now - self.attempt_keep, now - self.audit_keep
        )

    def _sweep(self, case: Case) -> bool:
        if due(case) is Sweep.SCRUB:
            reason = "limit" if case.state is CaseState.WITHDRAWN else "retention"
            return self.scrub.now(case, reason)
        try:
            self.house.store.commit(
                *self.house.audited(case, Actor.SERVICE, Action.PURGED, "retention")
            )
        except Contested:
            return False
        self.house.store.purge_case(case.id)
        return True
