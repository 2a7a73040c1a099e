"""What a device sends and receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate

from app.domain.age import AgeBand, AgeBasis
from app.domain.case import CaseState, MediaKind
from app.domain.outcome import Outcome
from app.domain.report import ItemDraft
from app.web.problems import UNKNOWN
from app.web.shapes import Hex, Shape, Strict, Whole, text
from hashing.errors import HashError
from hashing.quality import MIN_QUALITY
from hashing.values import ORIGINAL, HashEntry, HashType, Vpdq, parse_hash
from partners.model import PartnerId

PLATFORM_ID = "ptn_[0-9A-Za-z]{1,40}"
LONGEST_LIST = 512  # a bound on shape; the operator's own limits are checked after it
LONGEST_LOCATION = 500
VARIANT = "[a-z0-9][a-z0-9.+-]{0,39}"
FRAME = r"(0|[1-9][0-9]{0,8}),([5-9][0-9]|100),[0-9a-f]{64},(0|[1-9][0-9]{0,8})\.[0-9]{3}"


class PdqShape(Shape):
    """PDQ of one copy of a photo."""

    quality = Whole(
        required=True,
        validate=validate.Range(MIN_QUALITY, 100),
        metadata={"description": "PDQ's own; what is below 50 finds nothing."},
    )
    value = text("[0-9a-f]{64}", required=True)


class HashesShape(Shape):
    """The hashes of one photo or video. At least one kind; frames for videos only."""

    pdq = fields.Dict(
        text(VARIANT),
        fields.Nested(PdqShape),
        metadata={"description": "By the name of the copy that was hashed; `original` is one."},
    )
    pdq_512 = fields.Dict(
        text(VARIANT),
        fields.Nested(PdqShape),
        data_key="pdq-512",
        metadata={"description": "The same of the picture first shrunk to 512×512."},
    )
    vpdq = fields.List(
        text(FRAME),
        metadata={"description": "A video's frames in order: number, quality, PDQ, seconds."},
    )
    sha256 = text("[0-9a-f]{64}", metadata={"description": "Of the file."})
    md5 = text("[0-9a-f]{32}", metadata={"description": "Of the file."})


def _copies(kind: HashType, raw: Any) -> list[HashEntry]:
    if not isinstance(raw, dict) or not 1 <= len(raw) <= LONGEST_LIST:
        raise ValidationError(f"From 1 to {LONGEST_LIST} hashes by name.")
    return [_copy(kind, variant, one) for variant, one in raw.items()]


def _copy(kind: HashType, variant: str, raw: Any) -> HashEntry:
    if not isinstance(raw, dict) or raw.keys() != _COPY:
        raise ValidationError("Each takes quality and value.")
    return HashEntry(kind, parse_hash(kind, raw["value"]), _quality(raw["quality"]), variant)


def _quality(raw: Any) -> int:
    if raw.__class__ is int or (raw.__class__ is float and raw.is_integer()):
        return int(raw)
    raise ValidationError("The quality must be a whole number.")


def _digest(kind: HashType, raw: Any) -> list[HashEntry]:
    return [HashEntry(kind, parse_hash(kind, raw), None, ORIGINAL)]


def _frames(kind: HashType, raw: Any) -> list[HashEntry]:
    if not isinstance(raw, list) or len(raw) > LONGEST_LIST:
        raise ValidationError(f"From 1 to {LONGEST_LIST} lines.")
    if not all(isinstance(line, str) for line in raw):
        raise ValidationError("Not a list of lines.")
    return [HashEntry(kind, Vpdq.of_lines(raw), None, ORIGINAL)]


_COPY = {"quality", "value"}
_READERS: dict[str, tuple[HashType, Callable[[HashType, Any], list[HashEntry]]]] = {
    "pdq": (HashType.PDQ, _copies),
    "pdq-512": (HashType.PDQ_512, _copies),
    "vpdq": (HashType.VPDQ, _frames),
    "sha256": (HashType.SHA256, _digest),
    "md5": (HashType.MD5, _digest),
}


class Hashes(fields.Nested):
    """A HashesShape, read straight into HashEntry: the longest part of a report."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(HashesShape, **kwargs)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return _entries(value)


def _entries(raw: Any) -> tuple[HashEntry, ...]:
    if not isinstance(raw, dict):
        raise ValidationError("Not a JSON object.")
    if not raw:
        raise ValidationError("At least one hash.")
    if not raw.keys() <= _READERS.keys():
        raise ValidationError(UNKNOWN)
    entries: list[HashEntry] = []
    for name, value in raw.items():
        kind, read = _READERS[name]
        try:
            entries += read(kind, value)
        except HashError as fault:
            raise ValidationError({name: [str(fault)]}) from None
        except ValidationError as fault:
            raise ValidationError({name: fault.messages}) from None
    return tuple(entries)


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
    kind = raw["kind"]
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return None
    try:
        return ItemDraft(known, _entries(raw["hashes"]))
    except ValidationError:
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


class CaseItemKeyShape(CaseKeyShape):
    """One photo or video of a case."""

    item = Whole(
        required=True,
        validate=validate.Range(1, 50),
        metadata={"description": "Its number in the case."},
    )


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
    withdrawn = fields.Boolean(
        required=True, metadata={"description": "Taken back, by itself or with the case."}
    )
    platforms = fields.List(fields.Nested(OutcomeShape), required=True)


class CaseShape(Shape):
    """The case as its holder sees it."""

    state = fields.String(required=True, validate=validate.OneOf([str(s) for s in CaseState]))
    age_basis = fields.String(required=True, validate=validate.OneOf([str(b) for b in AgeBasis]))
    reported_on = fields.Date(required=True)
    can_change = fields.Boolean(required=True)
    items = fields.List(fields.Nested(CaseItemShape), required=True)
