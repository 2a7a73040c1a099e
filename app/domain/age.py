"""What may be known of a young person's age, and how strongly it was checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AgeBasis(StrEnum):
    """How strong the claim is, strongest first. Carried to partners, never used as a wall."""

    VERIFIED_DOCUMENT = "verified_document"
    VERIFIED_ESTIMATE = "verified_estimate"
    COUNSELLOR_ATTESTED = "counsellor_attested"
    DECLARED = "declared"


class AgeBand(StrEnum):
    """The age group the young person chose."""

    UNDER_13 = "under_13"
    FROM_13_TO_15 = "13_15"
    FROM_16_TO_17 = "16_17"
    WAS_UNDER_18 = "was_under_18"  # an adult now, under 18 in the image


@dataclass(frozen=True, slots=True)
class Presentation:
    """An age proof as it arrived, with what of the request it may be bound to.

    `token` came in `Authorization` under `scheme` (in small letters), `proof` is a header's value;
    `body_digest` is SHA-256 of the raw body; `url` is the
    public URL of the route without query (RFC 9449 `htu`).
    """

    profile: str
    band: AgeBand
    body_digest: bytes
    method: str
    url: str
    token: str | None = None
    proof: str | None = None
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Spend:
    """A token's use, remembered until `expires_at`: `value` is unique to the token."""

    value: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AgeClaim:
    """What a verified presentation asserts. `spend` is None for a profile without a token."""

    basis: AgeBasis
    spend: Spend | None = None
