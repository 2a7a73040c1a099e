"""Photos as a device reports them: eight turned and mirrored variants, with random hashes."""

from __future__ import annotations

import secrets
from typing import Final

from app.domain.case import MediaKind
from app.domain.report import ItemDraft
from hashing.orientation import Orientation
from hashing.values import HashEntry, HashType, Pdq

VARIANTS: Final = tuple(str(orientation) for orientation in Orientation)


def hash_value() -> str:
    """A random hash with exactly half its bits set, as real ones have."""
    bits = sum(1 << place for place in secrets.SystemRandom().sample(range(256), 128))
    return f"{bits:064x}"


def photo() -> ItemDraft:
    """A photo with a hash for each variant."""
    entries = (HashEntry(HashType.PDQ, Pdq.parse(hash_value()), 100, name) for name in VARIANTS)
    return ItemDraft(MediaKind.PHOTO, tuple(entries))
