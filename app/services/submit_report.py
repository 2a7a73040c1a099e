"""A young person's report becomes a case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.age import AgeClaim, Presentation
from app.domain.audit import Action, Actor
from app.domain.case import Case, CaseState
from app.domain.errors import AgeRefused
from app.domain.report import ItemDraft
from app.ports import AgeVerifier, Change, PutItem, Remember, SpendToken
from app.services.answers import Answers, RequestKey
from app.services.house import House
from app.services.items import new_item
from partners.events import EventType
from partners.model import CaseId
from partners.ports import Purpose

PROFILE: Final = "profile"  # why a proof is refused before a verifier sees it
SCHEME: Final = "scheme"


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """Check the age proof and the hashes, then keep case, token, audit entry and event at once."""

    house: House
    answers: Answers
    verifiers: Mapping[str, AgeVerifier]

    def __call__(
        self,
        case_key: bytes,
        drafts: Sequence[ItemDraft],
        presentation: Presentation,
        request: RequestKey,
    ) -> bytes:
        """The JSON answer, the same for a repeat of the same request.

        It says nothing of the hashes: a new one and a duplicate get the same answer.
        Raises AgeRefused, BadReport, CaseKeyTaken or KeyReused.
        """

        def act(remember: Remember) -> None:
            claim = self._verify(presentation)
            admitted = self.house.intake.admitted(drafts, self.house.store.partner)
            changes = self.changes(case_key, admitted, presentation, claim)
            self.house.store.commit(*changes, remember)

        answer = json.dumps({"received": True, "items": len(drafts)}).encode()
        return self.answers.once(request, act, answer)

    def _verify(self, presentation: Presentation) -> AgeClaim:
        verifier = self.verifiers.get(presentation.profile)
        if verifier is None:
            raise AgeRefused(PROFILE)
        if presentation.token and verifier.scheme.lower() not in ("", presentation.scheme):
            raise AgeRefused(SCHEME)
        return verifier.verify(presentation, self.house.clock.now())

    def changes(
        self,
        case_key: bytes,
        drafts: Sequence[ItemDraft],
        presentation: Presentation,
        claim: AgeClaim,
    ) -> list[Change]:
        """Everything that a new case is, for one commit."""
        house, now = self.house, self.house.clock.now()
        case = Case(
            id=CaseId(house.ids.ordered("case")),
            key_tag=house.case_tag(case_key),
            basis=claim.basis,
            band=presentation.band,
            profile=presentation.profile,
            created_at=now,
            sweep_at=house.retention.sweep_at(CaseState.ACTIVE, now),
            item_count=len(drafts),
        )
        items = [new_item(house, case.id, n, draft) for n, draft in enumerate(drafts, start=1)]
        changes = house.audited(case, Actor.YOUNG_PERSON, Action.REPORTED, "report")
        changes += [PutItem(item) for item in items]
        changes.append(
            house.event(EventType.REMOVAL_REQUESTED, case.id, [item.number for item in items])
        )
        if claim.spend is not None:
            tag = house.keys.tag(Purpose.SPENT_TOKEN, claim.spend.value)
            changes.append(SpendToken(tag, claim.spend.expires_at))
        return changes
