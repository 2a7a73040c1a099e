"""Hashes of a photo or video as they are written in a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hashing.values import HashEntry, HashType, Pdq, Vpdq


def hashes_body(entries: Iterable[HashEntry]) -> dict[str, Any]:
    """The `hashes` of an item: by type, and those of a picture by the name of the copy."""
    body: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry.value, Vpdq):
            body[HashType.VPDQ] = [str(frame) for frame in entry.value.frames]
        elif isinstance(entry.value, Pdq):
            copies = body.setdefault(str(entry.type), {})
            copies[entry.variant] = {"quality": entry.quality, "value": str(entry.value)}
        else:
            body[entry.type] = str(entry.value)
    return {str(name): value for name, value in body.items()}


def item_body(kind: str, entries: Iterable[HashEntry], **where: Any) -> dict[str, Any]:
    """An item of a report; `where` may name `platforms`, `locations` or `extends`."""
    return {"kind": str(kind), "hashes": hashes_body(entries), **where}
