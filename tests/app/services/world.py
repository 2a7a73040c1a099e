"""The whole service without its threads: real store, real keys, and a clock that a test sets."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.bootstrap import DATABASE, Runtime, build
from app.client.age import Device
from app.domain.age import AgeBand, Presentation
from app.domain.case import Case, MediaKind
from app.domain.report import ItemDraft
from app.ports import SavePartner, Store
from app.services.answers import RequestKey
from app.services.catalogue import Services
from app.services.house import House
from app.settings import PREFIX, Settings
from hashing.values import HashEntry, HashType, Pdq, Sha256
from infra.sandbox.issuer import Issuer, TokenRequest
from partners.events import EventType
from partners.model import (
    Delivered,
    DeliveryResult,
    EndpointStatus,
    Feedback,
    Message,
    MessageState,
    Notice,
    Partner,
    PartnerId,
    Word,
)
from partners.registry import with_endpoint_status

NOW = datetime(2026, 5, 17, 12, 30, 15, 123457, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
URL = "http://service.test"
ROUTE = "/v1/reports"
AUDIENCE = "the-service"

_numbers = itertools.count(1)


@dataclass
class HandClock:
    """A clock that stands until it is moved."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


def trust(store: Store, partner_id: PartnerId) -> None:
    """Verify a platform's endpoints without asking them."""
    partner = store.partner(partner_id)
    assert partner is not None
    for endpoint in partner.endpoints:
        if endpoint.status is EndpointStatus.UNVERIFIED:
            partner = with_endpoint_status(partner, endpoint.id, EndpointStatus.ACTIVE)
            store.commit(SavePartner(partner))


def a_pdq(variant: str = "original", quality: int = 90) -> HashEntry:
    """A hash as a photo has it: half of its bits are set."""
    bits = sum(1 << place for place in random.sample(range(256), 128))
    return HashEntry(HashType.PDQ, Pdq(bits.to_bytes(32, "big")), quality, variant)


def a_photo(*platforms: PartnerId, **fields: Any) -> ItemDraft:
    """A photo nobody reported before."""
    return ItemDraft(
        **{"kind": MediaKind.PHOTO, "entries": (a_pdq(),), **fields}, platforms=platforms
    )


def a_digest(variant: str = "original") -> HashEntry:
    return HashEntry(HashType.SHA256, Sha256(random.randbytes(32)), None, variant)


def a_request(key: str | None = None, body: bytes = b"body", route: str = ROUTE) -> RequestKey:
    """A request under a key of its own unless one is given."""
    return RequestKey(key or f"request-{next(_numbers):08d}", route, sha256(body).digest())


def declared() -> Presentation:
    return Presentation("declared-v1", AgeBand.FROM_13_TO_15, b"", "POST", URL + ROUTE)


def a_case_key() -> bytes:
    return random.randbytes(32)


@dataclass
class World:
    """One service in a folder. `open` again to see what a new process would."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    clock: HandClock = field(default_factory=HandClock)
    issuer: Issuer = field(
        default_factory=lambda: Issuer("https://issuer.test", Ed25519PrivateKey.generate())
    )
    runtimes: list[Runtime] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.issuers = self.folder / "issuers.toml"
        self.issuers.write_text(self.issuer.issuers_file(AUDIENCE))
        self.runtime = self.open()

    def open(self) -> Runtime:
        env = {
            "ENVIRONMENT": "development",
            "ALLOW_LOOPBACK_PARTNERS": "yes",
            "DATA_DIR": str(self.folder / "data"),
            "PUBLIC_URL": URL,
            "AGE_ISSUERS_FILE": str(self.issuers),
            **self.settings,
        }
        settings = Settings.from_env({PREFIX + name: value for name, value in env.items()})
        self.runtimes.append(build(settings, self.clock))
        return self.runtimes[-1]

    def close(self) -> None:
        for runtime in self.runtimes:
            runtime.close()

    @property
    def services(self) -> Services:
        return self.runtime.services

    @property
    def house(self) -> House:
        return self.services.house

    @property
    def database(self) -> Path:
        return self.folder / "data" / DATABASE

    # ---- platforms ----

    def platform(
        self,
        name: str = "Platform",
        webhook: str | None = "http://127.0.0.1:9/hook",
        *,
        policy: str = "uk-osa-48h",
        takes_location: bool = False,
    ) -> Partner:
        """A platform that takes part. Nothing is posted to it unless a test steps the engine."""
        made = self.services.manage_partners.add(name, webhook, "v1", policy, None, takes_location)
        return self.trusting(PartnerId(str(made["partner_id"])))

    def trusting(self, partner_id: PartnerId) -> Partner:
        """The platform, its endpoints verified without being asked."""
        trust(self.house.store, partner_id)
        return self.again(partner_id)

    def again(self, partner_id: PartnerId) -> Partner:
        """The platform as it is stored now."""
        partner = self.house.store.partner(partner_id)
        assert partner is not None
        return partner

    # ---- a young person ----

    def report(self, *drafts: ItemDraft, request: RequestKey | None = None) -> bytes:
        """Report, and the case key of it."""
        key = a_case_key()
        self.services.submit_report(key, drafts or (a_photo(),), declared(), request or a_request())
        return key

    def token(self) -> Presentation:
        """A real age token of the development issuer, with its proof."""
        now = int(self.clock.at.timestamp())
        challenge = self.services.verifiers["jwt-age-v1"].challenge()
        device, body = Device(), b"body"
        wish = TokenRequest(device.thumbprint(), str(challenge["nonce"]), AUDIENCE, "age_under_18")
        token = self.issuer.token(wish, now)
        proof = device.proof(token, "POST", URL + ROUTE, body, now)
        digest = sha256(body).digest()
        band = AgeBand.FROM_13_TO_15
        return Presentation("jwt-age-v1", band, digest, "POST", URL + ROUTE, token, proof, "dpop")

    # ---- what stands in the store ----

    def case(self, key: bytes) -> Case:
        case = self.house.store.case_by_key(self.house.case_tag(key))
        assert case is not None
        return case

    def notices(self, key: bytes) -> list[Notice]:
        return self.house.store.notices_of(self.case(key).id)

    def notice(self, key: bytes, partner: Partner, item: int = 1) -> Notice:
        found = [
            notice
            for notice in self.notices(key)
            if notice.partner_id == partner.id and notice.item_number == item
        ]
        assert len(found) == 1
        return found[0]

    def messages(self, *, partner: Partner | None = None) -> list[Message]:
        """Every message, oldest first."""
        found: list[Message] = []
        after: str | None = ""
        while after is not None:
            page, after = self.house.store.messages(
                partner_id=partner.id if partner else None, after=after, limit=500
            )
            found += page
        return found

    def count(self, table: str) -> int:
        """How many rows, read past all of our own code."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - a constant

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchall()

    # ---- what goes on beside requests ----

    def expand(self) -> int:
        """Turn every event into messages."""
        count = 0
        while done := self.services.expand_events():
            count += done
        return count

    def deliver(self) -> list[Message]:
        """Every message that is due arrives at its platform."""
        taken = self.house.store.claim_due(self.clock.at, 1000, HOUR)
        self.house.store.finish([_arrived(message, self.clock.at) for message in taken])
        return taken

    def post_until(self, holds: Callable[[], bool], within: float = 20.0) -> None:
        """Deliver in earnest until that holds. AssertionError after `within` seconds."""
        give_up_at = time.monotonic() + within
        while not holds():
            assert time.monotonic() < give_up_at
            self.runtime.worker.engine.wake()
            self.runtime.worker.engine.step(0.1)

    def give_up(self, message: Message) -> int:
        """No further try is made; how many items became late by it."""
        self.services.mark_late.given_up(message)
        return self.services.mark_late()

    def say(self, partner: Partner, key: bytes, word: Word, item: int = 1) -> Notice:
        """The platform says that word of an item."""
        notice = self.notice(key, partner, item)
        said = Feedback(word, self.clock.at)
        return self.services.record_feedback(partner, notice.id, said)

    def outcomes(self, key: bytes) -> list[dict[str, str]]:
        """What the young person reads: for each item the outcome at each platform by name."""
        view = self.services.open_case(key)
        return [{row.name: str(row.outcome) for row in item.platforms} for item in view.items]


def _arrived(message: Message, now: datetime) -> DeliveryResult:
    done = replace(message, state=MessageState.DELIVERED, due_at=None, attempts=1)
    if message.event_type != EventType.REMOVAL_REQUESTED or message.notice_id is None:
        return DeliveryResult(done, None)
    deadline_at = now + message.deadline if message.deadline else None
    return DeliveryResult(done, None, Delivered(message.notice_id, now, deadline_at))


def said(answer: bytes) -> Any:
    """The JSON of an answer."""
    return json.loads(answer)
