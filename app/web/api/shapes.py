"""What a device sends and receives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate

from app.domain.age import AgeBand, AgeBasis
from app.domain.case import CaseState, MediaKind
from app.domain.outcome import Outcome
from app.domain.report import ItemDraft
from app.web.shapes import Hex, Shape, Strict, Whole, text
from hashing.errors import HashError
from hashing.quality import MIN_QUALITY
from hashing.values import ITEM_TYPES, HashEntry, HashType, parse_hash
from partners.model import PartnerId

PLATFORM_ID = "ptn_[0-9A-Za-z]{1,40}"
LONGEST_LIST = 512  # a bound on shape; the operator's own limits are checked after it
LONGEST_LOCATION = 500

_TYPES = {str(kind): kind for kind in ITEM_TYPES}
_NAMES = frozenset({"type", "value", "quality", "variant"})


class HashShape(Shape):
    """One hash of a photo or video."""

    type = fields.String(required=True, validate=validate.OneOf(sorted(_TYPES)))
    value = text(
        "(?:[0-9a-f]{32}|[0-9a-f]{64})",
        required=True,
        metadata={"description": "Lowercase hexadecimal: 32 digits for md5, 64 for the others."},
    )
    quality = Whole(
        validate=validate.Range(0, 100),
        metadata={"description": "PDQ's own quality; for pdq and pdq-512, and required there."},
    )
    variant = text(
        "[a-z0-9][a-z0-9.+-]{0,39}",
        load_default="original",
        metadata={"description": "Which transformed copy was hashed; the photo itself if absent."},
    )


# What HashShape cannot say field by field: by kind of hash, what its fields are narrowed to. None
# is a field that the kind does not have.
HASH_KINDS: dict[str, dict[str, dict[str, Any] | None]] = {
    "Perceptual hash of the picture": {
        "type": {"enum": [str(HashType.PDQ), str(HashType.PDQ_512)]},
        "value": {"pattern": "^[0-9a-f]{64}$"},
        "quality": {"minimum": MIN_QUALITY},
    },
    "SHA-256 of the file": {
        "type": {"enum": [str(HashType.SHA256)]},
        "value": {"pattern": "^[0-9a-f]{64}$"},
        "quality": None,
    },
    "MD5 of the file": {
        "type": {"enum": [str(HashType.MD5)]},
        "value": {"pattern": "^[0-9a-f]{32}$"},
        "quality": None,
    },
}


class Hashes(fields.List[Any]):
    """A list of HashShape, read straight into HashEntry: the longest part of a report."""

    def __init__(self, **kwargs: Any) -> None:
        size = validate.Length(1, LONGEST_LIST)
        super().__init__(fields.Nested(HashShape), validate=size, **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, list):
            raise ValidationError("Not a list.")
        if len(value) > LONGEST_LIST:
            raise ValidationError(f"At most {LONGEST_LIST} hashes.")
        entries, faults = [], {}
        for place, raw in enumerate(value):
            try:
                entries.append(_entry(raw))
            except (HashError, ValidationError) as fault:
                faults[place] = [str(fault)] if isinstance(fault, HashError) else fault.messages
        if faults:
            raise ValidationError(faults)
        return tuple(entries)


def _entry(raw: Any) -> HashEntry:
    if not isinstance(raw, dict):
        raise ValidationError("Not a JSON object.")
    if not raw.keys() <= _NAMES:
        raise ValidationError("Unknown field.")
    type_name, variant = raw.get("type"), raw.get("variant", "original")
    kind = _TYPES.get(type_name) if isinstance(type_name, str) else None
    if kind is None:
        raise ValidationError({"type": ["Must be one of the documented types."]})
    if not isinstance(variant, str):
        raise ValidationError({"variant": ["Not a valid string."]})
    value = raw.get("value")
    if not isinstance(value, str):
        raise ValidationError({"value": ["Not a valid string."]})
    return HashEntry(kind, parse_hash(kind, value), _quality(raw), variant)


def _quality(raw: dict[str, Any]) -> int | None:
    if "quality" not in raw:
        return None
    quality = raw["quality"]
    if quality.__class__ is int or (quality.__class__ is float and quality.is_integer()):
        return int(quality)
    raise ValidationError({"quality": ["Must be a whole number."]})


class LocationShape(Shape):
    """Where the item was seen on one platform. Taken only where the operator switched it on."""

    platform = text(PLATFORM_ID, required=True)
    where_seen = text(
        rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{LONGEST_LOCATION}}}",
        required=True,
        metadata={
            "pattern": rf"^[^\x00-\x1f\x7f-\x9f]{{1,{LONGEST_LOCATION}}}$",
            "description": "A link or a username. Sealed to that platform alone.",
        },
    )


class ItemShape(Shape):
    """One photo or video."""

    kind = fields.String(required=True, validate=validate.OneOf([str(k) for k in MediaKind]))
    hashes = Hashes(required=True)
    platforms = fields.List(
        text(PLATFORM_ID),
        load_default=[],
        validate=validate.Length(max=LONGEST_LIST),
        metadata={"description": "Which platforms to tell; all that take part if empty."},
    )
    locations = fields.List(
        fields.Nested(LocationShape), load_default=[], validate=validate.Length(max=32)
    )

    @post_load
    def _draft(self, data: dict[str, Any], **_: Any) -> ItemDraft:
        return ItemDraft(
            kind=MediaKind(data["kind"]),
            entries=data["hashes"],
            platforms=tuple(dict.fromkeys(PartnerId(p) for p in data["platforms"])),
            locations={PartnerId(x["platform"]): x["where_seen"] for x in data["locations"]},
            extends=data.get("extends"),
        )


class AddedItemShape(ItemShape):
    """A new photo or video for a case, or more hashes for one that it holds."""

    extends = Whole(
        validate=validate.Range(1, 50),
        metadata={"description": "The number of the item that gets these hashes too."},
    )


class Items(fields.List[Any]):
    """A list of items. What is plainly right is read at once, the rest is refused by its shape."""

    def __init__(self, shape: type[ItemShape], **kwargs: Any) -> None:
        super().__init__(fields.Nested(shape), validate=validate.Length(1, LONGEST_LIST), **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if isinstance(value, list) and 1 <= len(value) <= LONGEST_LIST:
            drafts = [_plain_item(raw) for raw in value]
            if None not in drafts:
                return drafts
        return super()._deserialize(value, attr, data, **kwargs)


_KINDS = {str(kind): kind for kind in MediaKind}
_PLAIN = {"kind", "hashes"}


def _plain_item(raw: Any) -> ItemDraft | None:
    """The item if it is one photo or video for every platform; None for anything else."""
    if not isinstance(raw, dict) or raw.keys() != _PLAIN:
        return None
    kind, hashes = raw["kind"], raw["hashes"]
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None or not isinstance(hashes, list) or not 1 <= len(hashes) <= LONGEST_LIST:
        return None
    try:
        return ItemDraft(known, tuple([_entry(entry) for entry in hashes]))
    except (HashError, ValidationError):
        return None


class AgeShape(Shape):
    """How the age is shown. The token itself, where a profile has one, is in the headers."""

    profile = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z0-9-]{1,32}\Z"),
        metadata={"pattern": "^[a-z0-9-]{1,32}$"},
    )
    band = fields.String(required=True, validate=validate.OneOf([str(b) for b in AgeBand]))


class CaseKeyShape(Shape):
    """The way back to a case: made on the device from the case code, which is never sent."""

    case_key = Hex(64, required=True)


class ReportShape(CaseKeyShape):
    """A report: everything that leaves the device."""

    age = fields.Nested(AgeShape, required=True)
    items = Items(ItemShape, required=True)


class AddShape(CaseKeyShape):
    """More for a case."""

    items = Items(AddedItemShape, required=True)


class ReceivedShape(Shape):
    """The answer to a report. It says nothing of the hashes."""

    received = Strict(required=True)
    items = fields.Integer(required=True)


class PlatformShape(Shape):
    """A platform that takes part."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    takes_location = fields.Boolean(required=True)


class PlatformsShape(Shape):
    """The platforms that take part now, in the order they joined."""

    platforms = fields.List(fields.Nested(PlatformShape), required=True)


class CaseKeyRecipeShape(Shape):
    """How a device makes the case key from the case code."""

    kdf = fields.String(required=True)
    salt = fields.String(required=True, metadata={"description": "Hexadecimal."})
    rounds = fields.Integer(required=True)
    length = fields.Integer(required=True, metadata={"description": "Bytes."})


class ChallengeShape(Shape):
    """What a device must know before it reports."""

    profiles = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "The age proofs accepted, the preferred one first."},
    )
    case_key = fields.Nested(CaseKeyRecipeShape, required=True)
    limits = fields.Dict(required=True)


class OutcomeShape(Shape):
    """One item at one platform."""

    platform = fields.String(required=True)
    name = fields.String(required=True)
    outcome = fields.String(required=True, validate=validate.OneOf([str(o) for o in Outcome]))
    words = fields.String(required=True, metadata={"description": "The outcome in plain words."})
    since = fields.Date(required=True)
    reason_code = fields.String(allow_none=True)
    automated = fields.Boolean(allow_none=True)
    redress_url = fields.String(allow_none=True)


class CaseItemShape(Shape):
    """One photo or video of the case."""

    number = fields.Integer(required=True)
    kind = fields.String(required=True)
    added_on = fields.Date(required=True)
    platforms = fields.List(fields.Nested(OutcomeShape), required=True)


class CaseShape(Shape):
    """The case as its holder sees it."""

    state = fields.String(required=True, validate=validate.OneOf([str(s) for s in CaseState]))
    age_basis = fields.String(required=True, validate=validate.OneOf([str(b) for b in AgeBasis]))
    reported_on = fields.Date(required=True)
    can_change = fields.Boolean(required=True)
    items = fields.List(fields.Nested(CaseItemShape), required=True)
