"""Profile `pp-under18-v1`: a token signed blind, so that its issuer does not know it again."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from app.adapters.age.claims import bounded, trusted
from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jose import Unreadable
from app.adapters.age.private_token import TYPE, Token, TokenKey, token_challenge
from app.adapters.age.reasons import Reason
from app.adapters.age.trust import BlindIssuer, Issuers
from app.adapters.age.windows import DayWindow, day_of, kept_until
from app.domain.age import AgeBand, AgeClaim, Presentation, Spend
from app.domain.errors import AgeRefused
from partners.ports import Clock

PROFILE = "pp-under18-v1"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A challenge that we gave: to whose address, and how long a spend of it is remembered.

    To a midnight: a finer time could be matched with the issuer's. A token counts on the
    challenge's day and the day after; one day more, for machines whose clocks differ.
    """

    address: tuple[str, str]
    kept_until_at: datetime


class _Accepted:
    """Every challenge of a day and the day before it, for every issuer."""

    def __init__(self, issuers: Issuers, today: int, contexts: DayWindow) -> None:
        self.issuers = issuers
        self.today = today
        self.by_digest = {
            sha256(token_challenge(*address, contexts.of(day))).digest(): _Asked(
                address, kept_until(day)
            )
            for day in (today, today - 1)
            for address in map(_address, issuers.blind)
        }


class PrivacyPass:
    """Verifies `Authorization: PrivateToken` tokens of pinned keys (RFC 9577, RFC 9578)."""

    profile: str = PROFILE
    scheme: str = "PrivateToken"

    def __init__(self, issuers: IssuerFile, secret: bytes, clock: Clock) -> None:
        """`secret` is at least 32 bytes, the same on every machine of the service."""
        self._issuers = issuers
        self._contexts = DayWindow(secret, PROFILE)
        self._clock = clock
        self._kept = _Accepted(issuers.current(), day_of(clock.now()), self._contexts)

    def asks(self) -> list[str]:
        """RFC 9577 section 2.1: a challenge of each issuer, and its key."""
        return [
            f'{self.scheme} challenge="{asked["challenge"]}", token-key="{asked["token_key"]}"'
            for asked in self._asked()
        ]

    def challenge(self) -> dict[str, object]:
        """The same for everybody: what to have signed, and by which key.

        `challenge` and `token_key` are base64url with padding, as in `WWW-Authenticate`. An issuer
        with a page that gives tokens has its address as `pass_url`.
        """
        return {"profile": self.profile, "issuers": self._asked()}

    def _asked(self) -> list[dict[str, str]]:
        now = self._clock.now()
        context = self._contexts.current(now)
        issuers = self._issuers.current().blind
        return [_asked_of(issuer, context) for issuer in issuers if issuer.trust.holds(now)]

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """What the token's key asserts, once everything of docs/AGE.md holds. Raises AgeRefused."""
        if presentation.proof is not None:
            raise AgeRefused(Reason.PROOF_UNEXPECTED)
        issuers = self._issuers.current()
        token = _read(presentation.token)
        asked = self._accepted(issuers, day_of(now)).get(token.challenge_digest)
        if asked is None:
            raise AgeRefused(Reason.CHALLENGE)
        issuer, key = _key(token, issuers, now)
        if _address(issuer) != asked.address:
            raise AgeRefused(Reason.CHALLENGE)
        if not key.verifies(token):
            raise AgeRefused(Reason.TOKEN_SIGNATURE)
        if presentation.band is AgeBand.WAS_UNDER_18:
            raise AgeRefused(Reason.BAND)
        return AgeClaim(issuer.trust.basis, _spend(token, asked))

    def _accepted(self, issuers: Issuers, today: int) -> dict[bytes, _Asked]:
        """The challenges that a token may answer, by digest: the same all day, so kept."""
        accepted = self._kept
        if accepted.issuers is not issuers or accepted.today != today:
            accepted = self._kept = _Accepted(issuers, today, self._contexts)
        return accepted.by_digest


def _address(issuer: BlindIssuer) -> tuple[str, str]:
    return issuer.id, issuer.audience


def _asked_of(issuer: BlindIssuer, context: bytes) -> dict[str, str]:
    asked = {
        "issuer": issuer.id,
        "basis": str(issuer.trust.basis),
        "challenge": _padded(token_challenge(*_address(issuer), context)),
        "token_key": _padded(issuer.keys[0].spki),
    }
    return asked | ({"pass_url": issuer.pass_url} if issuer.pass_url else {})


def _read(text: str | None) -> Token:
    try:
        token = Token.parse(bounded(text))
    except Unreadable:
        raise AgeRefused(Reason.TOKEN_MALFORMED) from None
    if token.type != TYPE:
        raise AgeRefused(Reason.TOKEN_TYPE)
    return token


def _key(token: Token, issuers: Issuers, now: datetime) -> tuple[BlindIssuer, TokenKey]:
    found = issuers.blind_by_key.get(token.key_id)
    if found is None:
        raise AgeRefused(Reason.KEY_UNKNOWN)
    return trusted(found[0], now), found[1]


def _spend(token: Token, asked: _Asked) -> Spend:
    return Spend(sha256(token.key_id + sha256(token.nonce).digest()).digest(), asked.kept_until_at)


def _padded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii")
