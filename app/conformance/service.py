"""The service as a platform meets it in a check: its keys, the messages it makes, where it listens.

Each message is about an item of its own unless told otherwise, so that every call of the platform's
tells which message it acted on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from app.conformance.standin import Book, StandIn
from partners.composing import body_of
from partners.egress import EgressGuard
from partners.events import EventType
from partners.model import EndpointId, MessageId, PartnerId, SigningScheme
from partners.ports import Reply
from partners.sealing import Addressed, Signer, check_key_set, seal
from partners.sender import CurlCaller, Failure, SenderSettings
from partners.signing import PrivateKey, SigningKey, generate, sign

Kind = Literal["photo", "video"]

_ANSWERED: Final = range(200, 300)
_OUTER: Final = ("item_id", "item_url", "deadline", "deadline_hours", "deadline_policy")


@dataclass(frozen=True, slots=True)
class Check:
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

    @property
    def unanswered(self) -> bool:
        """Whether no answer came: who hangs up refuses nothing."""
        return self.reply.status == 0

    def __str__(self) -> str:
        return self.reply.error or f"answered {self.reply.status}"


@dataclass
class Service:
    """The service as the platform meets it: keys, messages, and the stand-in's book."""

    check: Check
    book: Book
    endpoint_id: EndpointId
    url: str
    key: SigningKey
    signer: Signer
    caller: CurlCaller
    slowest: float = 0.0
    late: int = 0

    def enrolment(self) -> dict[str, object]:
        """What an operator hands over, as `report-remove partner add --json` prints it."""
        return {
            "partner_id": self.book.partner_id,
            "endpoint_id": self.endpoint_id,
            "service_url": self.url,
            "api_key": self.book.api_key,
            "webhook_key": self.key.handed_over(),
            "sealing_key": self.signer.jwk() if self.check.jwks else None,
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
        message_id = f"msg_{secrets.token_hex(16)}"
        data = {name: about[name] for name in _OUTER}
        if sealed is not None:
            data["sealed"] = sealed(about, message_id)
        body = _padded(event, data, pad_to)
        headers = sign(keys or [self.key], message_id, datetime.now(UTC) - age, body)
        if spoil is not None:
            headers, body = spoil(headers, body)
        return self.send(str(about["item_id"]), headers, body)

    def send(self, item: str, headers: dict[str, str], body: bytes) -> Sent:
        """Post it."""
        began = time.monotonic()
        sent = {**headers, "content-type": "application/json"}
        reply = self.caller.ask("POST", self.check.url, sent, body)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.late += reply.error == Failure.TIMEOUT
        return Sent(item, headers, body, reply)

    def seal(self, about: dict[str, object], message: str, *, by: Signer, to: PartnerId) -> str:
        """The sealed part of a message about that item."""
        address = Addressed(self.url, to, MessageId(message), int(time.time()))
        return seal(about, address, by, self.check.jwks or "")

    def sealed(self, about: dict[str, object], message: str) -> str:
        """As we seal it."""
        return self.seal(about, message, by=self.signer, to=self.book.partner_id)


@contextmanager
def service_for(check: Check) -> Iterator[Service]:
    """The stand-in, serving, with keys made for this one check.

    Raises KeySetRefused, or OSError if the port cannot be bound.
    """
    partner = f"ptn_{secrets.token_hex(10)}"
    api_key = f"rrp_{partner.removeprefix('ptn_')}_{secrets.token_hex(16)}"
    book = Book(PartnerId(partner), api_key)
    key_set = check_key_set(check.jwks) if check.jwks is not None else None
    settings = SenderSettings(total_timeout=check.answer_within, response_limit=64_000)
    with StandIn(book, check.port) as standin:
        yield Service(
            replace(check, jwks=key_set),
            book,
            EndpointId(f"end_{secrets.token_hex(16)}"),
            (check.reach or standin.url).rstrip("/"),
            generate(check.scheme),
            Signer(PrivateKey.generate()),
            CurlCaller(EgressGuard(allow_loopback=True), settings),
        )


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


def _padded(event: str, data: dict[str, object], pad_to: int) -> bytes:
    """The body, made exactly that long by a member that nobody knows."""
    now = datetime.now(UTC)
    bare = body_of(event, now, {**data, "x_padding": ""} if pad_to else data)
    if not pad_to:
        return bare
    return body_of(event, now, {**data, "x_padding": "x" * (pad_to - len(bare))})
