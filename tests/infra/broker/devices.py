"""The broker's keys as a device knows them: from the folder they were made in, or as published."""

from __future__ import annotations

import base64
from pathlib import Path

from infra.broker.issuance import IssuerKey, Predicate
from infra.broker.signers.development import DevelopmentSigner


def key(keys: Path) -> IssuerKey:
    modulus, _ = DevelopmentSigner(keys).public("document")
    return IssuerKey("document", Predicate.DOCUMENT, modulus)


def listed_key(spki: str) -> IssuerKey:
    """Of the directory's `token-key`."""
    raw = base64.urlsafe_b64decode(spki)
    found = IssuerKey("x", Predicate.DOCUMENT, int.from_bytes(raw[-261:-5], "big"))
    assert found.spki == raw
    return found
