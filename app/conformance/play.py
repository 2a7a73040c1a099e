"""Playing every line of the contract at an endpoint, good messages and bad ones.

Each message is about an item of its own, so that every call of the platform's tells which message
it acted on. What must come is waited for; what must not come is given some time to come after all.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from app.conformance.contract import Line, Verdict
from app.conformance.standin import Book, StandIn
from partners.composing import body_of
from partners.egress import EgressGuard
from partners.enrolment import shake_hands
from partners.errors import EnrolmentRefused
from partners.events import EventType
from partners.model import MessageId, PartnerId, SigningScheme
from partners.ports import Reply
from partners.sealing import BODY_LIMIT, Addressed, Signer, check_key_set, seal
from partners.sender import CurlCaller, SenderSettings
from partners.signing import PrivateKey, SigningKey, generate, sign

Kind = Literal["photo", "video"]

_OLD: Final = timedelta(minutes=10)
_OVERSIZED: Final = 1_000_000
_UNKNOWN_TYPE: Final = "removal.of_a_kind_yet_to_come"
_OUTER: Final = ("item_id", "item_url", "deadline", "deadline_hours", "deadline_policy")
_ANSWERED: Final = range(200, 300)


class NoAnswer(Exception):
    """Nobody answers at that address."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be checked, and how patiently. Times in seconds.

    `jwks` is the platform's public JWK Set; without it nothing sealed is played. `reach` is the
    address by which the platform reaches the stand-in where that is not loopback.
    """

    url: str
    scheme: SigningScheme = SigningScheme.V1A
    jwks: str | None = None
    reach: str | None = None
    port: int = 0
    answer_within: float = 15.0
    patience: float = 10.0
    quiet: float = 1.0


@dataclass
class Sent:
    """One message as it was played, and what was answered."""

    item: str
    headers: dict[str, str]
    body: bytes
    reply: Reply

    @property
    def taken(self) -> bool:
        """Whether it was answered 2xx."""
        return self.reply.status in _ANSWERED

    def __str__(self) -> str:
        return self.reply.error or f"answered {self.reply.status}"


@dataclass
class Service:
    """The service as the platform meets it: keys, messages, and the stand-in's book."""

    wish: Wish
    book: Book
    url: str
    key: SigningKey
    signer: Signer
    caller: CurlCaller
    slowest: float = 0.0
    late: int = 0

    def enrolment(self) -> dict[str, object]:
        """What an operator hands over."""
        return {
            "service_url": self.url,
            "partner_id": self.book.partner_id,
            "api_key": self.book.api_key,
            "keys": [self.key.handed_over()],
            "sealing_key": self.signer.jwk() if self.wish.jwks else None,
        }

    def item(self, kind: Kind = "photo") -> dict[str, object]:
        """A made-up item, which the platform may read from now on."""
        name = f"itm_{secrets.token_hex(16)}"
        made: dict[str, object] = {
            "item_id": name,
            "item_url": f"{self.url}/v1/partner/items/{name}",
            "deadline": None,
            "deadline_hours": 48,
            "deadline_policy": "uk-osa-48h",
            "media_kind": kind,
            "hashes": [_hash(kind)],
            "recommended_distance": 31,
            "age_basis": "declared",
            "assurance": "self_reported",
            "review_required": True,
            "unusual_hashes": False,
            "other_reports": 0,
            "preserve_evidence": True,
            "where_seen": None,
            "jurisdiction": "GB",
        }
        self.book.put(made)
        return made

    def tell(
        self,
        event: str = EventType.REMOVAL_REQUESTED,
        item: str | None = None,
        *,
        sealed: Callable[[dict[str, object], str], str] | None = None,
        keys: list[SigningKey] | None = None,
        age: timedelta = timedelta(0),
        pad_to: int = 0,
        spoil: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]] | None = None,
    ) -> Sent:
        """Compose, sign and post one message; `spoil` changes it after it was signed."""
        about = self.book.items[item] if item else self.item()
        name = f"msg_{secrets.token_hex(16)}"
        data = {name: about[name] for name in _OUTER}
        if sealed is not None:
            data["sealed"] = sealed(about, name)
        body = _padded(event, data, pad_to)
        headers = sign(keys or [self.key], name, datetime.now(UTC) - age, body)
        if spoil is not None:
            headers, body = spoil(headers, body)
        return self.send(str(about["item_id"]), headers, body)

    def send(self, item: str, headers: dict[str, str], body: bytes) -> Sent:
        """Post it."""
        began = time.monotonic()
        sent = {**headers, "content-type": "application/json"}
        reply = self.caller.ask("POST", self.wish.url, sent, body)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.late += reply.error == "timeout"
        return Sent(item, headers, body, reply)

    def seal(self, about: dict[str, object], message: str, *, by: Signer, to: PartnerId) -> str:
        """The sealed part of a message about that item."""
        address = Addressed(self.url, to, MessageId(message), int(time.time()))
        return seal(about, address, by, self.wish.jwks or "")

    def sealed(self, about: dict[str, object], message: str) -> str:
        """As we seal it."""
        return self.seal(about, message, by=self.signer, to=self.book.partner_id)


@contextmanager
def service_for(wish: Wish) -> Iterator[Service]:
    """The stand-in, serving, with keys made for this one check.

    Raises KeySetRefused, or OSError if the port cannot be had.
    """
    partner = f"ptn_{secrets.token_hex(10)}"
    api_key = f"rrp_{partner.removeprefix('ptn_')}_{secrets.token_hex(16)}"
    book = Book(PartnerId(partner), api_key)
    key_set = check_key_set(wish.jwks) if wish.jwks is not None else None
    settings = SenderSettings(total_timeout=wish.answer_within, response_limit=64_000)
    with StandIn(book, wish.port) as standin:
        yield Service(
            replace(wish, jwks=key_set),
            book,
            (wish.reach or standin.url).rstrip("/"),
            generate(wish.scheme),
            Signer(PrivateKey.generate()),
            CurlCaller(EgressGuard(allow_loopback=True), settings),
        )


def write_enrolment(path: Path, members: dict[str, object], *, overwrite: bool) -> None:
    """Write the hand-over for this user's eyes only. Raises FileExistsError unless told to."""
    if overwrite:
        path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(members, file)


def check(service: Service) -> Iterator[Verdict]:
    """Play everything and judge. Raises NoAnswer, EndpointRefused for a URL we may not post to."""
    yield from _enrolment(service)
    first = service.tell()
    yield Verdict(Line.ACCEPTS, first.taken, str(first))
    if not first.taken:
        rest = list(Line)[list(Line).index(Line.ACCEPTS) + 1 :]
        yield from (_unplayed(line, "it takes no good message") for line in rest)
        return
    good = _Good(service, first)
    yield from good.verdicts()
    yield from _Bad(service, good).verdicts()
    yield _in_time(service)
    faults = sorted(set(service.book.faults))
    yield Verdict(Line.FEEDBACK, not faults, "; ".join(faults) or "nothing to object to")


def _enrolment(service: Service) -> Iterator[Verdict]:
    """The handshake, and a challenge by us and by somebody else."""
    EgressGuard(allow_loopback=True).check_url(service.wish.url)
    try:
        grant = shake_hands(service.wish.url, service.caller, service.url)
    except EnrolmentRefused as refusal:
        if "connection-refused" in str(refusal) or "name-unknown" in str(refusal):
            raise NoAnswer(str(refusal)) from None
        yield Verdict(Line.HANDSHAKE, kept=False, observed=str(refusal))
    else:
        rate = grant.rate_per_minute
        seen = "no limit" if rate is None else f"{rate} a minute"
        yield Verdict(Line.HANDSHAKE, kept=True, observed=seen)
    word, reply = _challenged(service, service.key)
    echoed = _echoes(reply, word)
    yield Verdict(Line.CHALLENGE, echoed, "echoed" if echoed else _said(reply))
    word, reply = _challenged(service, generate(service.wish.scheme))
    echoed = word in reply.body.decode("utf-8", "replace")
    yield Verdict(Line.FORGED_CHALLENGE, not echoed, "echoed" if echoed else _said(reply))


def _challenged(service: Service, key: SigningKey) -> tuple[str, Reply]:
    word = f"challenge_{secrets.token_hex(16)}"
    body = body_of(EventType.ENDPOINT_VERIFICATION, datetime.now(UTC), {"challenge": word})
    headers = sign([key], f"msg_{secrets.token_hex(16)}", datetime.now(UTC), body)
    return word, service.send("", headers, body).reply


def _echoes(reply: Reply, word: str) -> bool:
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return False
    echo = answer.get("challenge") if isinstance(answer, dict) else None
    return reply.status in _ANSWERED and echo == word


class _Good:
    """Everything that a platform must take and act on."""

    def __init__(self, service: Service, first: Sent) -> None:
        self.service = service
        self.first = first
        self.slowest = 0.0  # seconds until it said what it did
        stranger = generate(service.wish.scheme)
        self.sealed = service.tell(sealed=service.sealed) if service.wish.jwks else None
        self.rotated = service.tell(keys=[stranger, service.key])
        self.largest = service.tell(pad_to=BODY_LIMIT)
        self.video = service.tell(item=str(service.item("video")["item_id"]))
        self.repeated = service.tell()
        self.replayed = service.tell()
        early = str(service.item()["item_id"])
        service.book.withdraw(early)
        self.early = service.tell(EventType.REMOVAL_WITHDRAWN, early)

    def verdicts(self) -> Iterator[Verdict]:
        """What became of them."""
        book = self.service.book
        acts = self._acts(self.first)
        fetched = acts and _until(lambda: book.fetched[self.first.item] > 0, 1.0)
        seen = f"{book.fetched[self.first.item]} reads, said {_words(book, self.first.item)}"
        yield Verdict(Line.FETCHES, fetched, seen)
        yield self._opens()
        yield self._taken_and_done(Line.ROTATION, self.rotated)
        yield self._taken_and_done(Line.LARGEST, self.largest)
        yield self._taken_and_done(Line.VIDEOS, self.video)
        yield self._withdrawn()
        yield self._other_types()
        for sent in (self.repeated, self.replayed, self.early):
            self._acts(sent)

    def _acts(self, sent: Sent) -> bool:
        began = time.monotonic()
        acts = _until(lambda: bool(self.service.book.said[sent.item]), self.service.wish.patience)
        if acts:
            self.slowest = max(self.slowest, time.monotonic() - began)
        return acts

    def _taken_and_done(self, line: Line, sent: Sent) -> Verdict:
        done = sent.taken and self._acts(sent)
        return Verdict(line, done, f"{sent}, said {_words(self.service.book, sent.item)}")

    def _opens(self) -> Verdict:
        if self.sealed is None:
            return _unplayed(Line.OPENS, "no key set was given")
        return self._taken_and_done(Line.OPENS, self.sealed)

    def _withdrawn(self) -> Verdict:
        self.service.book.withdraw(self.first.item)
        sent = self.service.tell(EventType.REMOVAL_WITHDRAWN, self.first.item)
        said = self.service.book.said[self.first.item]
        done = sent.taken and _until(lambda: "withdrawn_done" in said, self.service.wish.patience)
        return Verdict(Line.WITHDRAWN, done, f"{sent}, said {', '.join(said) or 'nothing'}")

    def _other_types(self) -> Verdict:
        kinds = (EventType.REMOVAL_UPDATED, EventType.REMOVAL_REMINDER, _UNKNOWN_TYPE)
        sent = {str(kind): self.service.tell(kind, self.rotated.item) for kind in kinds}
        refused = [f"{kind}: {one}" for kind, one in sent.items() if not one.taken]
        return Verdict(Line.OTHER_TYPES, not refused, "; ".join(refused) or "all answered 2xx")


class _Bad:
    """Everything that a platform must refuse, or must not act on again."""

    def __init__(self, service: Service, good: _Good) -> None:
        self.service = service
        self.good = good
        quiet = max(service.wish.quiet, 2 * good.slowest)
        time.sleep(quiet)  # what the good ones caused is over
        self.before = {
            sent.item: service.book.calls(sent.item) for sent in (good.repeated, good.replayed)
        }
        self.early_words = len(service.book.said[good.early.item])
        stranger = generate(service.wish.scheme)
        self.again = self._retry(good.repeated)
        self.copy = service.send(good.replayed.item, good.replayed.headers, good.replayed.body)
        sealed = service.sealed if service.wish.jwks else None
        self.late = service.tell(item=good.early.item, sealed=sealed)
        self.refused = {
            Line.FORGED: [service.tell(keys=[stranger])],
            Line.ALTERED: [service.tell(spoil=_altered)],
            Line.UNSIGNED: [service.tell(spoil=_unsigned)],
            Line.STALE: [service.tell(age=_OLD), service.tell(age=-_OLD)],
            Line.OVERSIZED: [service.tell(pad_to=_OVERSIZED)],
        }
        self.after = service.tell()
        self.ignored = self._foreign_seals() if service.wish.jwks else []
        time.sleep(quiet)

    def verdicts(self) -> Iterator[Verdict]:
        """What became of them."""
        for line, sent in self.refused.items():
            verdict = self._refused(line, sent)
            if line is Line.OVERSIZED and not self.after.taken:
                verdict = replace(verdict, kept=False, observed=f"after it: {self.after}")
            yield verdict
        yield self._once(Line.REPLAYED, self.copy, must_take=False)
        yield self._once(Line.REPEATED, self.again, must_take=True)
        yield self._unsealed()
        yield self._reordered()

    def _retry(self, sent: Sent) -> Sent:
        """The same message later: its id stays, its timestamp and signature are new."""
        now = datetime.now(UTC) + timedelta(seconds=1)
        headers = sign([self.service.key], sent.headers["webhook-id"], now, sent.body)
        return self.service.send(sent.item, headers, sent.body)

    def _foreign_seals(self) -> list[Sent]:
        """Signed outside by us; inside by somebody else, and by us for another platform."""
        service, other = self.service, Signer(PrivateKey.generate())
        own, stranger = service.book.partner_id, PartnerId("ptn_somebody_else")

        def by_other(about: dict[str, object], message: str) -> str:
            return service.seal(about, message, by=other, to=own)

        def to_other(about: dict[str, object], message: str) -> str:
            return service.seal(about, message, by=service.signer, to=stranger)

        return [service.tell(sealed=by_other), service.tell(sealed=to_other)]

    def _refused(self, line: Line, sent: list[Sent]) -> Verdict:
        taken = [one for one in sent if one.taken]
        acted = [one for one in sent if self.service.book.calls(one.item)]
        seen = ", ".join(str(one) for one in sent) + (", then acted on it" if acted else "")
        return Verdict(line, not taken and not acted, seen)

    def _once(self, line: Line, sent: Sent, *, must_take: bool) -> Verdict:
        more = self.service.book.calls(sent.item) - self.before[sent.item]
        kept = more == 0 and (sent.taken or not must_take)
        return Verdict(line, kept, f"{sent}, {more} more calls")

    def _unsealed(self) -> Verdict:
        if not self.ignored:
            return _unplayed(Line.SEALED_FORGED, "no key set was given")
        acted = [one for one in self.ignored if self.service.book.said[one.item]]
        seen = ", ".join(map(str, self.ignored)) + (", then acted on it" if acted else "")
        return Verdict(Line.SEALED_FORGED, not acted, seen)

    def _reordered(self) -> Verdict:
        said = self.service.book.said[self.good.early.item]
        later = [word for word in said[self.early_words :] if word != "withdrawn_done"]
        kept = "withdrawn_done" in said and not later
        return Verdict(Line.REORDERED, kept, f"{self.late}, said {', '.join(said) or 'nothing'}")


def _in_time(service: Service) -> Verdict:
    seen = f"the slowest took {service.slowest:.2f} s of {service.wish.answer_within:g}"
    return Verdict(Line.IN_TIME, not service.late, seen)


def _hash(kind: Kind) -> dict[str, object]:
    """One hash of a made-up photo, or of a video of three frames, as an item carries it."""
    value, quality = _bits(), 100
    if kind == "photo":
        return {"type": "pdq", "value": value, "quality": quality, "variant": "original"}
    frames = "".join(f"{25 * at},{quality},{_bits()},{at}.000\n" for at in range(3))
    return {"type": "vpdq", "value": frames, "quality": None, "variant": "original"}


def _bits() -> str:
    """Half of 256 bits, in hexadecimal: PDQ cuts at the median."""
    places = secrets.SystemRandom().sample(range(256), 128)
    return f"{sum(1 << place for place in places):064x}"


def _altered(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """Two days become four."""
    place = body.index(b'"deadline_hours":48') + len(b'"deadline_hours":')
    return headers, body[:place] + b"9" + body[place + 1 :]


def _unsigned(_: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {}, body


def _padded(event: str, data: dict[str, object], pad_to: int) -> bytes:
    """The body, made exactly that long by a member that nobody knows."""
    now = datetime.now(UTC)
    bare = body_of(event, now, {**data, "x_padding": ""} if pad_to else data)
    if not pad_to:
        return bare
    return body_of(event, now, {**data, "x_padding": "x" * (pad_to - len(bare))})


def _until(holds: Callable[[], bool], patience: float) -> bool:
    give_up_at = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.01)
    return True


def _said(reply: Reply) -> str:
    return reply.error or f"answered {reply.status}"


def _words(book: Book, item: str) -> str:
    return ", ".join(book.said[item]) or "nothing"


def _unplayed(line: Line, why: str) -> Verdict:
    return Verdict(line, None, why)
