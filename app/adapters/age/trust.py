"""Whose word on age counts, for what and how long: the issuer file's entries, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.x509 import Certificate

from app.adapters.age.jose import PublicKey
from app.adapters.age.private_token import TokenKey
from app.domain.age import AgeBasis


@dataclass(frozen=True, slots=True)
class Trust:
    """What we take from an issuer's word: how strong it is, and when it counts."""

    basis: AgeBasis
    valid_from_at: datetime
    valid_until_at: datetime

    def holds(self, now: datetime) -> bool:
        """Whether its tokens count now."""
        return self.valid_from_at <= now < self.valid_until_at


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs JWS: `keys` by `kid`, all of algorithm `alg`."""

    id: str
    audience: str
    trust: Trust
    alg: str
    keys: Mapping[str, PublicKey]


@dataclass(frozen=True, slots=True)
class Issuer(Signer):
    """A signer of `jwt-age-v1` tokens."""


@dataclass(frozen=True, slots=True)
class BlindIssuer:
    """A signer of `pp-under18-v1` tokens for one basis; tokens are asked of `keys[0]`.

    `audience` is the `origin_info` of RFC 9577; `pass_url` the page that gives tokens, if any.
    """

    id: str
    audience: str
    trust: Trust
    keys: tuple[TokenKey, ...]
    pass_url: str | None = None


@dataclass(frozen=True, slots=True)
class CredentialIssuer(Signer):
    """A signer of `sdjwt-age-v1` credentials of one type, `vct`.

    `audience` is our Client Identifier (OpenID4VP); a credential counts for `fresh` after `iat`.
    """

    vct: str
    fresh: timedelta


@dataclass(frozen=True, slots=True)
class StaffIssuer(Signer):
    """One seat of a helpline, whose keys sign `counsellor-attested-v1` attestations.

    `id` is the helpline, `staff` its own word for the seat: a number, never a name.
    """

    staff: str


@dataclass(frozen=True, slots=True)
class DocumentIssuer:
    """Whoever signs `mdoc-age-v1` documents of the type `id`, under one of the `anchors`.

    `audience` is our web origin; a document counts for `fresh` after it was signed.
    """

    id: str
    audience: str
    trust: Trust
    namespace: str
    anchors: tuple[Certificate, ...]
    fresh: timedelta


@dataclass(frozen=True, slots=True)
class Issuers:
    """Every trusted issuer, as its profile looks it up.

    `jwt` and `credentials` by `iss`, `blind_by_key` by key id, `staff_by_key` by helpline and kid,
    `documents` by document type.
    """

    jwt: Mapping[str, Issuer]
    blind: tuple[BlindIssuer, ...]
    blind_by_key: Mapping[bytes, tuple[BlindIssuer, TokenKey]]
    credentials: Mapping[str, CredentialIssuer]
    staff: tuple[StaffIssuer, ...]
    staff_by_key: Mapping[tuple[str, str], StaffIssuer]
    documents: Mapping[str, DocumentIssuer]

    @property
    def entries(self) -> int:
        """How many entries the file has."""
        signers = len(self.jwt) + len(self.credentials) + len(self.staff)
        return signers + len(self.blind) + len(self.documents)
