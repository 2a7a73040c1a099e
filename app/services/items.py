"""Items on their way into a case: their hashes sealed, their duplicate tag made."""

from __future__ import annotations

import json

from app.domain.case import Item
from app.domain.report import ItemDraft
from app.services.house import House, hashes_place, locations_place
from hashing.values import HashEntry, pack, primary, unpack
from partners.model import CaseId, PartnerId
from partners.ports import Purpose


def new_item(house: House, case_id: CaseId, number: int, draft: ItemDraft) -> Item:
    """The item to store for a draft."""
    return Item(
        case_id=case_id,
        number=number,
        kind=draft.kind,
        platforms=draft.platforms,
        added_at=house.clock.now(),
        duplicate_tag=duplicate_tag(house, draft.entries),
        sealed_hashes=house.keys.seal(hashes_place(case_id, number), pack(draft.entries)),
        sealed_locations=_seal_locations(house, case_id, number, draft),
    )


def duplicate_tag(house: House, entries: tuple[HashEntry, ...]) -> bytes:
    """The keyed digest of the primary hash: equal for equal pictures, telling nothing else."""
    first = primary(entries)
    return house.keys.tag(Purpose.DUPLICATE, f"{first.type}:{first.value}".encode())


def open_hashes(house: House, item: Item) -> tuple[HashEntry, ...]:
    """The hashes of an item; none once it is scrubbed."""
    if item.sealed_hashes is None:
        return ()
    return unpack(house.keys.open(hashes_place(item.case_id, item.number), item.sealed_hashes))


def open_location(house: House, item: Item, partner_id: PartnerId) -> str | None:
    """Where the item was seen on that platform, if the young person said so."""
    if item.sealed_locations is None:
        return None
    place = locations_place(item.case_id, item.number)
    seen = json.loads(house.keys.open(place, item.sealed_locations))
    location = seen.get(partner_id)
    return location if isinstance(location, str) else None


def _seal_locations(house: House, case_id: CaseId, number: int, draft: ItemDraft) -> bytes | None:
    if not draft.locations:
        return None
    text = json.dumps(dict(draft.locations)).encode()
    return house.keys.seal(locations_place(case_id, number), text)
