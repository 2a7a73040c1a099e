"""An SD-JWT with key binding in its parts, and what its disclosures reveal (RFC 9901).

Strict where the RFC leaves room: SHA-256 only, objects only (no array elements), and a digest,
a disclosure and a name stand once each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256

from app.adapters.age.jose import Unreadable, decode, encode, read_json
from app.adapters.age.reasons import Reason
from app.domain.errors import AgeRefused

MOST_DISCLOSURES = 16
_SHAPE = re.compile(r"[A-Za-z0-9_.~-]+")
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
_HIDDEN = "_sd"
_RESERVED = {_HIDDEN, "..."}


@dataclass(frozen=True, slots=True)
class Presented:
    """`credential~disclosure~…~proof`; `hashed` is all up to and with the last tilde."""

    credential: str
    disclosures: tuple[str, ...]
    hashed: str
    proof: str

    @property
    def sd_hash(self) -> str:
        """What the key-binding JWT must name (RFC 9901, section 4.3.1)."""
        return encode(sha256(self.hashed.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class _Disclosure:
    name: str
    value: object


@dataclass(slots=True)
class Disclosed:
    """The disclosures of one presentation, each to be found by its digest exactly once."""

    _by_digest: dict[str, _Disclosure]
    _met: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, texts: tuple[str, ...]) -> Disclosed:
        """Raises AgeRefused if one is misshapen, or there twice."""
        by_digest = {_digest(text): _read(text) for text in texts}
        if len(by_digest) != len(texts):
            raise AgeRefused(Reason.DISCLOSURE_REPEATED)
        return cls(by_digest)

    def reveal(self, members: dict[str, object]) -> dict[str, object]:
        """The object without its `_sd`, with the members whose digests it lists.

        A digest that no disclosure has is a decoy or something kept back: it says nothing. Raises
        AgeRefused for a digest or a name that stands twice.
        """
        shown = {name: value for name, value in members.items() if name != _HIDDEN}
        for digest in _digests(members.get(_HIDDEN, [])):
            if digest in self._met:
                raise AgeRefused(Reason.DISCLOSURE_REPEATED)
            self._met.add(digest)
            disclosure = self._by_digest.get(digest)
            if disclosure is not None:
                if disclosure.name in shown:
                    raise AgeRefused(Reason.DISCLOSURE_REPEATED)
                shown[disclosure.name] = disclosure.value
        return shown

    def check_all_met(self) -> None:
        """Refuse a disclosure that nothing signed refers to."""
        if self._by_digest.keys() - self._met:
            raise AgeRefused(Reason.DISCLOSURE_UNREFERENCED)


def split(text: str) -> Presented:
    """The parts of a presentation. Raises AgeRefused. The caller bounds the size."""
    if not _SHAPE.fullmatch(text) or "~" not in text:
        raise AgeRefused(Reason.TOKEN_MALFORMED)
    credential, *disclosures, proof = text.split("~")
    if len(disclosures) > MOST_DISCLOSURES:
        raise AgeRefused(Reason.DISCLOSURE_MALFORMED)
    if not proof:
        raise AgeRefused(Reason.PROOF_MISSING)
    return Presented(credential, tuple(disclosures), text[: text.rindex("~") + 1], proof)


def _digest(disclosure: str) -> str:
    return encode(sha256(disclosure.encode("ascii")).digest())


def _read(text: str) -> _Disclosure:
    try:
        parts = read_json(decode(text))
    except Unreadable:
        raise AgeRefused(Reason.DISCLOSURE_MALFORMED) from None
    # Three parts are an object's member; two would be an array's, and we know no array.
    if not isinstance(parts, list) or len(parts) != 3:
        raise AgeRefused(Reason.DISCLOSURE_MALFORMED)
    salt, name, value = parts
    if not isinstance(salt, str) or not isinstance(name, str) or name in _RESERVED:
        raise AgeRefused(Reason.DISCLOSURE_MALFORMED)
    return _Disclosure(name, value)


def _digests(listed: object) -> list[str]:
    if not isinstance(listed, list):
        raise AgeRefused(Reason.DISCLOSURE_MALFORMED)
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in listed):
        raise AgeRefused(Reason.DISCLOSURE_MALFORMED)
    return listed
