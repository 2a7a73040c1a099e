"""What a device sends, as values: a report, and an item on its way into a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.case import MediaKind
from app.domain.errors import (
    BadReport,
    LocationRefused,
    TooMuch,
    UnknownPlatform,
    UnusableHash,
)
from hashing.denylist import Denylist
from hashing.quality import (
    Quality,
    hangs_together,
    judge,
    suspicious,
    without_bad_frames,
)
from hashing.values import HashEntry, HashType, count
from partners.model import EndpointStatus, Partner, PartnerId, PartnerStatus

Partners = Callable[[PartnerId], Partner | None]


@dataclass(frozen=True, slots=True)
class ItemDraft:
    """One photo or video as sent. No platforms means every platform that takes part.

    `extends` names an item of the case that gets these hashes too, instead of a new item.
    """

    kind: MediaKind
    entries: tuple[HashEntry, ...]
    platforms: tuple[PartnerId, ...] = ()
    locations: Mapping[PartnerId, str] = field(default_factory=dict)
    extends: int | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """The rules by which items are taken."""

    denylist: Denylist
    max_items: int
    max_hashes: int
    take_locations: bool

    def admitted(
        self, drafts: Sequence[ItemDraft], partners: Partners, held: int = 0
    ) -> list[ItemDraft]:
        """The drafts as they are taken into a case that holds `held` items.

        Of a video the frames that can find it and nothing else. Raises for the first draft that
        cannot be taken. `partners` is asked only about a platform that a draft names.
        """
        drafts = [self._without_bad_frames(draft) for draft in self._counted(drafts, held)]
        for number, draft in enumerate(drafts):
            self._check_item(draft, partners, f"/items/{number}")
        return drafts

    def _counted(self, drafts: Sequence[ItemDraft], held: int) -> Sequence[ItemDraft]:
        new = sum(draft.extends is None for draft in drafts)
        if held + new > self.max_items:
            raise TooMuch("too many photos and videos in one case", "/items")
        for number, draft in enumerate(drafts):
            if count(draft.entries) > self.max_hashes:
                raise TooMuch("too many hashes for one photo or video", f"/items/{number}/hashes")
        return drafts

    def _without_bad_frames(self, draft: ItemDraft) -> ItemDraft:
        if draft.kind is not MediaKind.VIDEO:
            return draft
        entries = (without_bad_frames(entry, self.denylist) for entry in draft.entries)
        return replace(draft, entries=tuple(entries))

    def _check_item(self, draft: ItemDraft, partners: Partners, where: str) -> None:
        has_frames = any(entry.type is HashType.VPDQ for entry in draft.entries)
        if has_frames and draft.kind is not MediaKind.VIDEO:
            raise BadReport("only a video has frames", f"{where}/hashes/vpdq")
        self._check_hashes(draft.entries, f"{where}/hashes")
        for place, platform in enumerate(draft.platforms):
            if not takes_part(partners(platform)):
                raise UnknownPlatform(
                    "not a platform that takes part", f"{where}/platforms/{place}"
                )
        for platform in draft.locations:
            partner = partners(platform)
            if not (self.take_locations and partner and partner.takes_location):
                raise LocationRefused("no link or username is taken here", f"{where}/locations")

    def _check_hashes(self, entries: Sequence[HashEntry], where: str) -> None:
        seen = set()
        for entry in entries:
            verdict = judge(entry, self.denylist)
            if verdict is not Quality.ACCEPTED:
                raise UnusableHash(_WHY[verdict], f"{where}/{entry.type}")
            if (entry.type, entry.variant) in seen:
                raise BadReport("one variant named twice", f"{where}/{entry.type}")
            seen.add((entry.type, entry.variant))


_WHY = {
    Quality.LOW_QUALITY: "the picture is too plain or too blurred to be found again",
    Quality.DEGENERATE: "this hash says nothing about a picture",
    Quality.DENYLISTED: "this is a well-known picture that many people share",
}


def takes_part(partner: Partner | None) -> bool:
    """Whether a partner is told of new items now: not before an endpoint of it is verified."""
    if partner is None or partner.status is not PartnerStatus.ACTIVE:
        return False
    return any(e.status is not EndpointStatus.UNVERIFIED for e in partner.endpoints)


def looks_foreign(entries: Sequence[HashEntry]) -> bool:
    """Whether these hashes look unlike what our library makes: a flag for people, not a refusal."""
    return any(suspicious(entry) for entry in entries) or not hangs_together(entries)
