"""Where passes are handed out: a provider's word becomes a grant, and a grant blind signatures."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from infra.broker.days import DayBook
from infra.broker.errors import (
    Code,
    LimitReached,
    NoPass,
    NotSigned,
    NotYet,
    SignerUnavailable,
    Word,
)
from infra.broker.grants import HOUR, LIFETIME, Grant, Person, day_of, lifted_in
from infra.broker.held import Clock, Held
from infra.broker.issuance import IssuerKey, KeyRing, TokenRequest
from infra.broker.journal import Event, Journal
from infra.broker.providers.port import Away, Page, Provider
from infra.broker.signers.port import BlindSigner, sign

MOST_HELD = 20_000  # grants, and visits to providers, that are remembered at once


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser is at a provider; `kept` is what that provider wants to know at its return."""

    provider: str
    kept: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a browser is sent, the id of its visit, and the state with which it comes back."""

    url: str = field(repr=False)
    visit: str = field(repr=False)
    state: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """Somebody has a grant; its id is all that their browser is given."""

    grant: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens that one grant gives, and that one person is given in a day."""

    tokens_per_grant: int = 3
    tokens_per_day: int = 6


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


class Desk:
    """The broker's use cases. It knows nothing of HTTP."""

    def __init__(
        self,
        keys: KeyRing,
        signer: BlindSigner,
        providers: Mapping[str, Provider],
        days: DayBook,
        limits: Limits,
        journal: Journal,
        clock: Clock = utc_now,
    ) -> None:
        self.keys = keys
        self.providers = providers
        self._signer = signer
        self._days = days
        self._limits = limits
        self._journal = journal
        self._clock = clock
        self._grants: Held[Grant] = Held(LIFETIME, MOST_HELD, clock)
        self._visits: Held[Visit] = Held(LIFETIME, MOST_HELD, clock)

    def start(self, provider: str, form: Mapping[str, str]) -> Page | Sent | Granted:
        """Begin with that provider. Raises KeyError if there is none, and NoPass."""
        asked = self.providers[provider]
        try:
            answer = asked.start(form)
        except NoPass as refusal:
            raise self._noted(refusal, provider) from None
        if isinstance(answer, Person):
            return self._grant(asked, answer)
        if isinstance(answer, Away):
            visit = self._visits.put(Visit(provider, answer.kept))
            return Sent(answer.url, visit, answer.state)
        return answer

    def finish(self, provider: str, visit_id: str, query: Mapping[str, str]) -> Granted | Sent:
        """Somebody is back from that provider. A visit counts once.

        Raises NoPass. Sent means: still being checked, ask again with that visit (no URL).
        """
        visit = self._visits.take(visit_id)
        if visit is None or visit.provider != provider or provider not in self.providers:
            raise NoPass(Word.ENDED)
        asked = self.providers[provider]
        try:
            return self._grant(asked, asked.finish(visit.kept, query))
        except NotYet:
            return Sent("", self._visits.put(visit))
        except NoPass as refusal:
            raise self._noted(refusal, provider) from None

    def leave(self, visit_id: str) -> None:
        """Forget that visit, if it is there."""
        self._visits.take(visit_id)

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id, unless it has ended."""
        return self._grants.get(grant_id)

    def issue(self, grant_id: str, body: bytes) -> bytes:
        """The blind signature, 256 bytes, for a token request's bytes.

        Raises NotSigned, or SignerUnavailable, which costs the grant nothing.
        """
        request = TokenRequest.parse(body)
        key = self.keys.find(request.key_byte, self._clock())
        key.check(request.blinded)
        grant = self._grants.change(grant_id, lambda grant: grant.spend(key.predicate))
        if grant is None:
            raise NotSigned(Code.GRANT_MISSING)
        try:
            return self._counted(grant, key, request.blinded)
        except BaseException:
            self._grants.change(grant_id, Grant.unspend)
            raise

    def tidy(self) -> None:
        """Forget what has ended, and the days that are over. Also run once at the start."""
        self._grants.sweep()
        self._visits.sweep()
        now = self._clock()
        self._days.forget(day_of(now), day_of(now - LIFETIME - timedelta(minutes=1)))

    def _counted(self, grant: Grant, key: IssuerKey, blinded: int) -> bytes:
        """Count first, then sign: whoever asks twice at once gets no more than the limit."""
        if not self._days.count_one(grant.day, grant.person, self._limits.tokens_per_day):
            raise LimitReached(lifted_in(grant.day, self._clock()) + secrets.randbelow(HOUR))
        try:
            return sign(self._signer, key, blinded)
        except BaseException as fault:
            if isinstance(fault, SignerUnavailable):
                self._journal.note(Event.SIGNER_FAILED)
            self._days.uncount_one(grant.day, grant.person)
            raise

    def _grant(self, provider: Provider, person: Person) -> Granted:
        day = day_of(self._clock())
        tag = self._days.tag(day, provider.name, person.subject)
        left = self._limits.tokens_per_day - self._days.had(day, tag)
        if left < 1:
            raise NoPass(Word.LIMIT)
        few = min(left, self._limits.tokens_per_grant)
        return Granted(self._grants.put(Grant(provider.predicate, day, tag, few)))

    def _noted(self, refusal: NoPass, provider: str) -> NoPass:
        """The refusal; a provider that cannot be used is logged, by the kind of its fault."""
        if refusal.word is Word.UNAVAILABLE:
            fault = refusal.__cause__ or refusal
            self._journal.failure(Event.PROVIDER_FAILED, fault, provider=provider)
        return refusal
