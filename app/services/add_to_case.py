"""More photos or videos for a case, or more hashes for one it holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.audit import Action, Actor
from app.domain.case import Case, Item
from app.domain.errors import BadReport, CaseNotFound, TooMuch
from app.domain.report import ItemDraft
from app.ports import Change, PutItem, Remember
from app.services.answers import Answers, RequestKey
from app.services.house import House, hashes_place
from app.services.items import duplicate_tag, new_item, open_hashes
from hashing.values import count, pack
from partners.events import EventType


@dataclass(frozen=True, slots=True)
class AddToCase:
    """Add items to an open case. The age basis is the case's own; no new token is asked for."""

    house: House
    answers: Answers

    def __call__(self, case_key: bytes, drafts: Sequence[ItemDraft], request: RequestKey) -> bytes:
        """The JSON answer, the same for a repeat of the same request.

        Raises CaseNotFound, CaseClosed, BadReport, KeyReused, or Contested if the case was changed
        again and again at the same moment.
        """

        def act(remember: Remember) -> None:
            case = self.house.store.case_by_key(self.house.case_tag(case_key))
            if case is None:
                raise CaseNotFound
            case.require_open()
            intake, partner = self.house.intake, self.house.store.partner
            admitted = intake.admitted(drafts, partner, held=case.item_count)
            self.house.store.commit(*self._changes(case, admitted), remember)

        answer = json.dumps({"received": True, "items": len(drafts)}).encode()
        return self.answers.once(request, act, answer)

    def _changes(self, case: Case, drafts: Sequence[ItemDraft]) -> list[Change]:
        house = self.house
        fresh = [draft for draft in drafts if draft.extends is None]
        held = {item.number: item for item in house.store.items(case.id)}
        new = [
            new_item(house, case.id, number, draft)
            for number, draft in enumerate(fresh, start=case.item_count + 1)
        ]
        grown = [
            self._extend(held, draft, f"/items/{place}")
            for place, draft in enumerate(drafts)
            if draft.extends is not None
        ]
        if len({item.number for item in grown}) != len(grown):
            raise BadReport("one item extended twice", "/items")
        case = replace(case, item_count=case.item_count + len(new))
        changes = house.audited(case, Actor.YOUNG_PERSON, Action.ITEMS_ADDED, "added")
        changes += [PutItem(item) for item in new + grown]
        if new:
            numbers = [item.number for item in new]
            changes.append(house.event(EventType.REMOVAL_REQUESTED, case.id, numbers))
        if grown:
            numbers = [item.number for item in grown]
            changes.append(house.event(EventType.REMOVAL_UPDATED, case.id, numbers))
        return changes

    def _extend(self, held: dict[int, Item], draft: ItemDraft, where: str) -> Item:
        item = held.get(draft.extends or 0)
        if item is None:
            raise BadReport("no such item in this case", f"{where}/extends")
        if item.withdrawn_at is not None:
            raise BadReport("this item was taken back", f"{where}/extends")
        if draft.platforms or draft.locations or draft.kind is not item.kind:
            raise BadReport("an item that is extended keeps its kind and places", where)
        entries = open_hashes(self.house, item)
        known = {(e.type, str(e.value)) for e in entries}
        entries += tuple(e for e in draft.entries if (e.type, str(e.value)) not in known)
        if count(entries) > self.house.intake.max_hashes:
            raise TooMuch("too many hashes for one photo or video", f"{where}/hashes")
        place = hashes_place(item.case_id, item.number)
        return replace(
            item,
            sealed_hashes=self.house.keys.seal(place, pack(entries)),
            duplicate_tag=duplicate_tag(self.house, entries),
        )
