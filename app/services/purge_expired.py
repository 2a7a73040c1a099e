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
        what = due(case, self.house.store.items(case.id), self.house.retention)
        if what is Sweep.SCRUB_ITEMS:
            return self.scrub.items_over_limit(case)
        if what is Sweep.SCRUB:
            reason = "limit" if case.state is CaseState.WITHDRAWN else "retention"
            return self.scrub.now(case, reason)
        return self._purge(case)

    def _purge(self, case: Case) -> bool:
        """Say it, then do it: two commits, for a case may have more rows than one commit holds.

        Whoever dies between them leaves a case that is still due; it is said once all the same.
        """
        store = self.house.store
        if store.audit_of(case.id)[-1].action is not Action.PURGED:
            try:
                store.commit(*self.house.audited(case, Actor.SERVICE, Action.PURGED, "retention"))
            except Contested:
                return False
        store.purge_case(case.id)
        return True
