"""A delivery engine with all it stands on: real servers beside it, or answers in simulated time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwk

from partners.delivery import DeliveryEngine, DeliverySettings
from partners.egress import EgressGuard
from partners.gate import Gate, GateSettings
from partners.model import Message, MessageId, MessageState, NoticeId, Partner, SigningScheme
from partners.ports import Answer, Clock, MessageStore, Post, Sender
from partners.registry import EndpointWish, Handover, new_partner
from partners.scribe import Scribe
from partners.sealing import Signer
from partners.signing import PrivateKey
from tests.partners.conftest import LONG
from tests.partners.memory import (
    CountingIds,
    MadePayloads,
    MemoryKeys,
    MemoryMessages,
    MemoryPartners,
    SetClock,
    SystemClock,
    Watcher,
)
from tests.partners.scripted import ScriptedSender

URL = "https://hooks.platform.com/"
GUARD = EgressGuard(allow_loopback=True)
SIGNER = Signer(PrivateKey(bytes(32)))
READER = jwk.OKPKey.generate_key("X25519")
JWKS = json.dumps({"keys": [READER.as_dict(private=False)]})


@dataclass
class Rig:
    """An engine and all it stands on."""

    sender: Sender
    clock: Clock = field(default_factory=SystemClock)
    store: MemoryMessages = field(default_factory=MemoryMessages)
    partners: MemoryPartners = field(default_factory=MemoryPartners)
    payloads: MadePayloads = field(default_factory=MadePayloads)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    ids: CountingIds = field(default_factory=CountingIds)
    watcher: Watcher = field(default_factory=Watcher)
    pace: DeliverySettings = field(default_factory=DeliverySettings)
    gate_settings: GateSettings = field(default_factory=GateSettings)
    draw: Callable[[], float] = lambda: 0.5
    scribe: Scribe | None = None

    def engine(self, store: MessageStore | None = None) -> DeliveryEngine:
        return DeliveryEngine(
            store or self.store,
            self.partners,
            self.payloads,
            self.keys,
            self.sender,
            Gate(self.gate_settings),
            self.clock,
            observer=self.watcher,
            signer=SIGNER,
            origin="https://remove.example.org",
            scribe=self.scribe,
            settings=self.pace,
            draw=self.draw,
        )

    def enrol(
        self, url: str | None, scheme: SigningScheme = SigningScheme.V1A, jwks: str | None = JWKS
    ) -> tuple[Partner, Handover]:
        partner, handed = new_partner(
            "Example",
            "two-days",
            [EndpointWish(url, scheme)],
            guard=GUARD,
            ids=self.ids,
            keys=self.keys,
            now=self.clock.now(),
            jwks=jwks,
        )
        self.partners.put(partner)
        return partner, handed

    def tell(self, partner: Partner, count: int = 1, **changes: Any) -> list[Message]:
        """Put that many messages for the partner's first endpoint into the store, due now."""
        now = self.clock.now()
        made = [
            Message(
                id=MessageId(self.ids.new("msg")),
                event_type="removal.requested",
                event_at=datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC),
                partner_id=partner.id,
                endpoint_id=partner.endpoints[0].id,
                notice_id=NoticeId(self.ids.new("itm")),
                created_at=now,
                due_at=now,
                deadline=timedelta(hours=48),
            )
            for _ in range(count)
        ]
        made = [replace(message, **changes) for message in made]
        self.store.add(*made)
        return made

    def now_is(self, message: Message) -> Message:
        found = self.store.message(message.id)
        assert found is not None
        return found


def steps_until(engine: DeliveryEngine, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 2 * LONG
    while not holds():
        assert time.monotonic() < until
        engine.step(0.2)


def all_in(rig: Rig, state: MessageState) -> Callable[[], bool]:
    return lambda: all(message.state is state for message in rig.store.all())


def answering(status: int | None, **more: Any) -> Callable[[Post], Answer]:
    """Every platform answers that after 20 ms; None is a time-out."""
    error = None if status else "timeout"
    return lambda post: Answer(post.key, status, error, 9, timedelta(milliseconds=20), **more)


def simulated(answer_to: Callable[[Post], Answer], **more: Any) -> Rig:
    """A rig whose time passes as its platforms answer, and when the engine waits."""
    clock = SetClock()
    pace = DeliverySettings(idle=86_400)
    return Rig(ScriptedSender(clock, answer_to), clock, pace=pace, **more)


def run_for(rig: Rig, engine: DeliveryEngine, span: timedelta) -> None:
    """Deliver for that long in simulated time, or until nothing is left to deliver."""
    until = rig.clock.now() + span
    while rig.clock.now() < until:
        before = rig.clock.now()
        engine.step(3600)
        if rig.clock.now() == before and not rig.store.next_due_at():
            return
