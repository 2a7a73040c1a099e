"""The words that say which check of an age proof failed; docs/AGE.md explains each one."""

# ruff: noqa: S105 - these words about tokens are not passwords

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """`AgeRefused.reason` of every verifier here. Stable: clients and partners may rely on them."""

    TOKEN_MISSING = "token-missing"
    TOKEN_UNEXPECTED = "token-unexpected"
    TOKEN_TOO_LARGE = "token-too-large"
    TOKEN_MALFORMED = "token-malformed"
    TOKEN_HEADER = "token-header"
    TOKEN_TYPE = "token-type"
    TOKEN_ALG = "token-alg"
    TOKEN_SIGNATURE = "token-signature"
    ISSUER_UNKNOWN = "issuer-unknown"
    ISSUER_WINDOW = "issuer-window"
    KEY_UNKNOWN = "key-unknown"
    CLAIM_MISSING = "claim-missing"
    CLAIM_EXTRA = "claim-extra"
    CLAIM_SHAPE = "claim-shape"
    CLAIM_NOT_TRUE = "claim-not-true"
    AUDIENCE = "audience"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    LIFETIME = "lifetime"
    CHALLENGE = "challenge"
    BAND = "band"
    PROOF_MISSING = "proof-missing"
    PROOF_UNEXPECTED = "proof-unexpected"
    PROOF_TOO_LARGE = "proof-too-large"
    PROOF_MALFORMED = "proof-malformed"
    PROOF_HEADER = "proof-header"
    PROOF_TYPE = "proof-type"
    PROOF_KEY = "proof-key"
    PROOF_ALG = "proof-alg"
    PROOF_SIGNATURE = "proof-signature"
    PROOF_CLAIMS = "proof-claims"
    PROOF_METHOD = "proof-method"
    PROOF_URL = "proof-url"
    PROOF_STALE = "proof-stale"
    PROOF_TOKEN = "proof-token"
    PROOF_BODY = "proof-body"
