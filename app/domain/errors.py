"""What the service may refuse, in domain words.

ReportRemoveError
├── BadReport                     the request does not hold together
│   ├── TooMuch                   more items or hashes than the documented limit
│   ├── UnusableHash              degenerate, low quality or a known harmless picture
│   ├── UnknownPlatform           names a platform that does not take part
│   └── LocationRefused           a link or username where no such thing is taken
├── AgeRefused                    the age proof does not hold; `reason` says which check failed
│   └── AgeTokenSpent             it was used before
├── CaseRefused
│   ├── CaseNotFound              no such key, or the case is purged: never told apart
│   ├── CaseKeyTaken              another case has this key
│   └── CaseClosed                withdrawn: nothing may be added
├── KeyReused                     the same Idempotency-Key came with another body
├── Contested                     somebody else changed it first; try again
├── SealBroken                    a value at rest does not open where it stands
├── StoreUnavailable              the store cannot keep or give anything now
└── QueueUnavailable              a queue does not take what it is sent now

`code` is stable and public. A message never holds a hash, a key, a token or free text.
"""

from __future__ import annotations


class ReportRemoveError(Exception):
    """Any refusal of the service; `code` names it for machines."""

    code = "refused"


class BadReport(ReportRemoveError):
    """The request has the right shape and makes no sense. `where` points at the part (RFC 6901)."""

    code = "report-invalid"

    def __init__(self, message: str = "", where: str = "") -> None:
        super().__init__(message)
        self.where = where


class TooMuch(BadReport):
    """More items or hashes than the limit in docs/SETTINGS.md."""

    code = "too-much"


class UnusableHash(BadReport):
    """A hash that carries no information, came from a poor image, or is a well-known picture."""

    code = "hash-unusable"


class UnknownPlatform(BadReport):
    """A platform that does not take part."""

    code = "platform-unknown"


class LocationRefused(BadReport):
    """A link or username, and the operator or that platform takes none."""

    code = "location-refused"


class AgeRefused(ReportRemoveError):
    """The age proof does not hold. `reason` is a stable word that names the failed check."""

    code = "age-refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AgeTokenSpent(AgeRefused):
    """The age token was used before."""

    code = "age-token-spent"

    def __init__(self) -> None:
        super().__init__("spent")


class CaseRefused(ReportRemoveError):
    """The case cannot do this."""

    code = "case-refused"


class CaseNotFound(CaseRefused):
    """No case has this key. A purged case's key answers the same."""

    code = "case-not-found"


class CaseKeyTaken(CaseRefused):
    """A case with this key exists: the device makes another code."""

    code = "case-key-taken"


class CaseClosed(CaseRefused):
    """The case was withdrawn: nothing can be added to it."""

    code = "case-withdrawn"


class KeyReused(ReportRemoveError):
    """The same Idempotency-Key came with another body."""

    code = "idempotency-key-reused"


class Contested(ReportRemoveError):
    """Somebody else changed the same row first. Load again and decide again."""

    code = "contested"


class SealBroken(ReportRemoveError):
    """A value at rest was moved, cut, altered, or sealed under a key we do not have."""

    code = "seal-broken"


class StoreUnavailable(ReportRemoveError):
    """The store cannot answer now: locked, full, failing or closed. Nothing was acknowledged."""

    code = "store-unavailable"


class QueueUnavailable(ReportRemoveError):
    """A queue cannot be told of messages now. They are stored: whoever looks for due ones will."""

    code = "queue-unavailable"
