"""Playing every requirement of the contract at an endpoint, by good messages and bad ones.

What must come is waited for; what must not come is given some time to come after all.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from app.conformance.contract import Requirement, Verdict
from app.conformance.service import Sent, Service
from app.conformance.standin import Book
from partners.composing import body_of
from partners.egress import EgressGuard
from partners.enrolment import shake_hands
from partners.errors import EnrolmentRefused
from partners.events import EventType
from partners.model import PartnerId
from partners.sealing import BODY_LIMIT, Signer
from partners.sender import Failure
from partners.signing import PrivateKey, SigningKey, generate, sign

_OLD: Final = timedelta(minutes=10)
_OVERSIZED: Final = 1_000_000
_UNKNOWN_TYPE: Final = "removal.of_a_kind_yet_to_come"


class NoAnswer(Exception):
    """Nobody answers at that address."""


def check(service: Service) -> Iterator[Verdict]:
    """Play everything and judge. Raises NoAnswer, EndpointRefused for a URL we may not post to."""
    yield from _enrolment(service)
    first = service.tell()
    yield Verdict(Requirement.ACCEPTS, first.taken, str(first))
    if not first.taken:
        rest = list(Requirement)[list(Requirement).index(Requirement.ACCEPTS) + 1 :]
        yield from (_unplayed(requirement, "it takes no good message") for requirement in rest)
        return
    good = _play_good(service, first)
    yield from good.verdicts()
    yield from _play_bad(service, good).verdicts()
    yield _in_time(service)
    faults = sorted(set(service.book.faults))
    yield Verdict(Requirement.FEEDBACK, not faults, "; ".join(faults) or "nothing to object to")


def _enrolment(service: Service) -> Iterator[Verdict]:
    """The handshake, and a challenge by us and by somebody else."""
    EgressGuard(allow_loopback=True).check_url(service.check.url)
    try:
        grant = shake_hands(service.check.url, service.caller, service.url)
    except EnrolmentRefused as refusal:
        if refusal.error in (Failure.CONNECT, Failure.NAME):
            raise NoAnswer(str(refusal)) from None
        yield Verdict(Requirement.HANDSHAKE, kept=False, observed=str(refusal))
    else:
        rate = grant.rate_per_minute
        seen = "no limit" if rate is None else f"{rate} a minute"
        yield Verdict(Requirement.HANDSHAKE, kept=True, observed=seen)
    word, sent = _challenged(service, service.key)
    echoed = _echoes(sent, word)
    yield Verdict(Requirement.CHALLENGE, echoed, "echoed" if echoed else str(sent))
    word, sent = _challenged(service, generate(service.check.scheme))
    echoed = word in sent.reply.body.decode("utf-8", "replace")
    kept = not (echoed or sent.unanswered)
    yield Verdict(Requirement.FORGED_CHALLENGE, kept, "echoed" if echoed else str(sent))


def _challenged(service: Service, key: SigningKey) -> tuple[str, Sent]:
    word = f"challenge_{secrets.token_hex(16)}"
    body = body_of(EventType.ENDPOINT_VERIFICATION, datetime.now(UTC), {"challenge": word})
    headers = sign([key], f"msg_{secrets.token_hex(16)}", datetime.now(UTC), body)
    return word, service.send("", headers, body)


def _echoes(sent: Sent, word: str) -> bool:
    try:
        answer = json.loads(sent.reply.body)
    except (ValueError, RecursionError):
        return False
    echo = answer.get("challenge") if isinstance(answer, dict) else None
    return sent.taken and echo == word


@dataclass(slots=True)
class _Good:
    """What a platform must take and act on, as it was played."""

    service: Service
    first: Sent
    sealed: Sent | None
    rotated: Sent
    largest: Sent
    video: Sent
    repeated: Sent
    replayed: Sent
    early: Sent
    slowest: float = 0.0  # seconds until it said what it did

    def verdicts(self) -> Iterator[Verdict]:
        """What became of them."""
        book = self.service.book
        acts = self._acts(self.first)
        fetched = acts and _until(lambda: book.fetched[self.first.item] > 0, 1.0)
        seen = f"{book.fetched[self.first.item]} reads, said {_words(book, self.first.item)}"
        yield Verdict(Requirement.FETCHES, fetched, seen)
        yield self._opens()
        yield self._taken_and_done(Requirement.ROTATION, self.rotated)
        yield self._taken_and_done(Requirement.LARGEST, self.largest)
        yield self._taken_and_done(Requirement.VIDEOS, self.video)
        yield self._withdrawn()
        yield self._other_types()
        for sent in (self.repeated, self.replayed, self.early):
            self._acts(sent)

    def _acts(self, sent: Sent) -> bool:
        began = time.monotonic()
        acts = _until(lambda: bool(self.service.book.said[sent.item]), self.service.check.patience)
        if acts:
            self.slowest = max(self.slowest, time.monotonic() - began)
        return acts

    def _taken_and_done(self, requirement: Requirement, sent: Sent) -> Verdict:
        done = sent.taken and self._acts(sent)
        return Verdict(requirement, done, f"{sent}, said {_words(self.service.book, sent.item)}")

    def _opens(self) -> Verdict:
        if self.sealed is None:
            return _unplayed(Requirement.OPENS, "no key set was given")
        return self._taken_and_done(Requirement.OPENS, self.sealed)

    def _withdrawn(self) -> Verdict:
        self.service.book.withdraw(self.first.item)
        sent = self.service.tell(EventType.REMOVAL_WITHDRAWN, self.first.item)
        said = self.service.book.said[self.first.item]
        done = sent.taken and _until(lambda: "withdrawn_done" in said, self.service.check.patience)
        return Verdict(Requirement.WITHDRAWN, done, f"{sent}, said {', '.join(said) or 'nothing'}")

    def _other_types(self) -> Verdict:
        kinds = (EventType.REMOVAL_UPDATED, EventType.REMOVAL_REMINDER, _UNKNOWN_TYPE)
        sent = {str(kind): self.service.tell(kind, self.rotated.item) for kind in kinds}
        refused = [f"{kind}: {one}" for kind, one in sent.items() if not one.taken]
        return Verdict(
            Requirement.OTHER_TYPES, not refused, "; ".join(refused) or "all answered 2xx"
        )


def _play_good(service: Service, first: Sent) -> _Good:
    """Send what a platform must take and act on; the first of it was already sent."""
    stranger = generate(service.check.scheme)
    withdrawn = str(service.item()["item_id"])
    service.book.withdraw(withdrawn)
    return _Good(
        service,
        first,
        sealed=service.tell(sealed=service.sealed) if service.check.jwks else None,
        rotated=service.tell(keys=[stranger, service.key]),
        largest=service.tell(pad_to=BODY_LIMIT),
        video=service.tell(item=str(service.item("video")["item_id"])),
        repeated=service.tell(),
        replayed=service.tell(),
        early=service.tell(EventType.REMOVAL_WITHDRAWN, withdrawn),
    )


@dataclass(frozen=True, slots=True)
class _Bad:
    """What a platform must refuse, or must not act on again, as it was played.

    `calls` and `words` are how often it had called us about an item, and what it had said of the
    early one, before that.
    """

    service: Service
    good: _Good
    calls: Mapping[str, int]
    words: int
    again: Sent
    copy: Sent
    late: Sent
    refused: Mapping[Requirement, list[Sent]]
    after: Sent
    ignored: list[Sent]

    def verdicts(self) -> Iterator[Verdict]:
        """What became of them."""
        for requirement, sent in self.refused.items():
            verdict = self._refused(requirement, sent)
            if requirement is Requirement.OVERSIZED and not self.after.taken:
                verdict = replace(verdict, kept=False, observed=f"after it: {self.after}")
            yield verdict
        yield self._once(Requirement.REPLAYED, self.copy, must_take=False)
        yield self._once(Requirement.REPEATED, self.again, must_take=True)
        yield self._unsealed()
        yield self._reordered()

    def _refused(self, requirement: Requirement, sent: list[Sent]) -> Verdict:
        # A server may hang up on a body that it will not read.
        may_hang_up = requirement is Requirement.OVERSIZED
        refused = all(not one.taken and (may_hang_up or not one.unanswered) for one in sent)
        acted = [one for one in sent if self.service.book.calls(one.item)]
        seen = ", ".join(str(one) for one in sent) + (", then acted on it" if acted else "")
        return Verdict(requirement, refused and not acted, seen)

    def _once(self, requirement: Requirement, sent: Sent, *, must_take: bool) -> Verdict:
        more = self.service.book.calls(sent.item) - self.calls[sent.item]
        kept = more == 0 and (sent.taken or not must_take)
        return Verdict(requirement, kept, f"{sent}, {more} more calls")

    def _unsealed(self) -> Verdict:
        if not self.ignored:
            return _unplayed(Requirement.SEALED_FORGED, "no key set was given")
        acted = [one for one in self.ignored if self.service.book.said[one.item]]
        seen = ", ".join(map(str, self.ignored)) + (", then acted on it" if acted else "")
        return Verdict(Requirement.SEALED_FORGED, not acted, seen)

    def _reordered(self) -> Verdict:
        said = self.service.book.said[self.good.early.item]
        later = [word for word in said[self.words :] if word != "withdrawn_done"]
        kept = "withdrawn_done" in said and not later
        return Verdict(
            Requirement.REORDERED, kept, f"{self.late}, said {', '.join(said) or 'nothing'}"
        )


def _play_bad(service: Service, good: _Good) -> _Bad:
    """Send what a platform must refuse or ignore, once it is done with the good ones."""
    quiet = max(service.check.quiet, 2 * good.slowest)
    time.sleep(quiet)  # what the good ones caused is over
    bad = _Bad(
        service,
        good,
        calls={s.item: service.book.calls(s.item) for s in (good.repeated, good.replayed)},
        words=len(service.book.said[good.early.item]),
        again=_retry(service, good.repeated),
        copy=service.send(good.replayed.item, good.replayed.headers, good.replayed.body),
        late=service.tell(
            item=good.early.item, sealed=service.sealed if service.check.jwks else None
        ),
        refused=_forgeries(service),
        after=service.tell(),
        ignored=_foreign_seals(service) if service.check.jwks else [],
    )
    time.sleep(quiet)
    return bad


def _retry(service: Service, sent: Sent) -> Sent:
    """The same message later: its id stays, its timestamp and signature are new."""
    now = datetime.now(UTC) + timedelta(seconds=1)
    headers = sign([service.key], sent.headers["webhook-id"], now, sent.body)
    return service.send(sent.item, headers, sent.body)


def _forgeries(service: Service) -> dict[Requirement, list[Sent]]:
    stranger = generate(service.check.scheme)
    return {
        Requirement.FORGED: [service.tell(keys=[stranger])],
        Requirement.ALTERED: [service.tell(spoil=_altered)],
        Requirement.UNSIGNED: [service.tell(spoil=_unsigned)],
        Requirement.STALE: [service.tell(age=_OLD), service.tell(age=-_OLD)],
        Requirement.OVERSIZED: [service.tell(pad_to=_OVERSIZED)],
    }


def _foreign_seals(service: Service) -> list[Sent]:
    """Signed outside by us; inside by somebody else, and by us for another platform."""
    other = Signer(PrivateKey.generate())
    own, stranger = service.book.partner_id, PartnerId("ptn_somebody_else")

    def by_other(about: dict[str, object], message: str) -> str:
        return service.seal(about, message, by=other, to=own)

    def to_other(about: dict[str, object], message: str) -> str:
        return service.seal(about, message, by=service.signer, to=stranger)

    return [service.tell(sealed=by_other), service.tell(sealed=to_other)]


def _in_time(service: Service) -> Verdict:
    seen = f"the slowest took {service.slowest:.2f} s of {service.check.answer_within:g}"
    return Verdict(Requirement.IN_TIME, not service.late, seen)


def _altered(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """The deadline of 48 hours becomes 98."""
    place = body.index(b'"deadline_hours":48') + len(b'"deadline_hours":')
    return headers, body[:place] + b"9" + body[place + 1 :]


def _unsigned(_: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {}, body


def _until(holds: Callable[[], bool], patience: float) -> bool:
    give_up_at = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.01)
    return True


def _words(book: Book, item: str) -> str:
    return ", ".join(book.said[item]) or "nothing"


def _unplayed(requirement: Requirement, why: str) -> Verdict:
    return Verdict(requirement, None, why)
