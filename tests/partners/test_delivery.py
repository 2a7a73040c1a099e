"""The engine: with real servers over TLS, and in simulated time with crashes."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk

from partners.delivery import Counts, DeliveryEngine, DeliverySettings
from partners.egress import EgressGuard
from partners.gate import Gate, GateSettings
from partners.model import (
    DeliveryResult,
    EndpointStatus,
    Message,
    MessageId,
    MessageState,
    NoticeId,
    Partner,
    SigningScheme,
)
from partners.ports import Answer, Clock, MessageStore, Payload, Post, Sender
from partners.registry import (
    EndpointWish,
    Handover,
    new_partner,
    rotate_endpoint_key,
    suspend,
    with_endpoint_status,
)
from partners.scribe import Scribe
from partners.sealing import Signer, unseal
from partners.signing import HmacKey, PrivateKey, parse_verifying_key, verify
from tests.partners.conftest import LONG, MakeSender
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
from tests.partners.platforms import Behaviour, Platform, answer, eventually, hang, in_turn, reset
from tests.partners.scripted import ScriptedSender

GUARD = EgressGuard(allow_loopback=True)
SIGNER = Signer(PrivateKey(bytes(32)))
READER = jwk.OKPKey.generate_key("X25519")
JWKS = json.dumps({"keys": [READER.as_dict(private=False)]})
NEVER = timedelta(days=400)


@dataclass
class House:
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


def all_in(house: House, state: MessageState) -> Callable[[], bool]:
    return lambda: all(message.state is state for message in house.store.all())


@pytest.fixture
def house(make_sender: MakeSender) -> House:
    return House(make_sender())


# Over TLS, with the libraries that partners use.


def test_a_message_arrives_signed_sealed_and_is_recorded(house: House, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, handed = house.enrol(platform.url)
        (message,) = house.tell(partner)
        before = datetime.now(UTC)
        counts = house.engine().step(5)
    (received,) = platform.received
    assert counts == Counts(claimed=1, delivered=1)
    body = json.loads(received.body)
    assert list(body) == ["data", "timestamp", "type"]
    assert (body["type"], body["timestamp"]) == ("removal.requested", "2026-03-01T12:00:00.250Z")
    assert set(body["data"]) == {"item_id", "sealed"}
    assert b"ab" * 32 not in received.body

    key = parse_verifying_key(handed.endpoint_keys[partner.endpoints[0].id])
    assert verify([key], received.headers, received.body, datetime.now(UTC)) == message.id
    version, _, value = received.headers["webhook-signature"].partition(",")
    public = base64.b64decode(handed.endpoint_keys[partner.endpoints[0].id][5:])
    signed = f"{message.id}.{received.headers['webhook-timestamp']}.".encode() + received.body
    Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(value), signed)
    assert version == "v1a"

    private = {"keys": [READER.as_dict(private=True)]}
    inner = unseal(body["data"]["sealed"], private, SIGNER.key.public, partner.id, message.id)
    assert inner["hashes"] == ["ab" * 32, "cd" * 32]
    assert inner["iss"] == "https://remove.example.org"

    after = house.now_is(message)
    assert (after.state, after.due_at, after.attempts) == (MessageState.DELIVERED, None, 1)
    (attempt,) = house.store.attempts(message.id)
    assert (attempt.status, attempt.number, attempt.breaker) == (200, 1, "closed")
    notice = house.store.notice(NoticeId(str(message.notice_id)))
    assert notice is not None
    assert notice.delivered_at is not None
    assert before <= notice.delivered_at <= datetime.now(UTC)
    assert notice.deadline_at == notice.delivered_at + timedelta(hours=48)
    assert house.watcher.attempts == [attempt]


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_v1_verifies_in_the_public_libraries(
    house: House, certificate: Path, library: Callable[[str], Any]
) -> None:
    with Platform(certificate=certificate) as platform:
        partner, handed = house.enrol(platform.url, SigningScheme.V1, jwks=None)
        house.tell(partner)
        house.engine().step(5)
    (received,) = platform.received
    secret = handed.endpoint_keys[partner.endpoints[0].id]
    library(secret).verify(received.body, received.headers)
    with pytest.raises(Exception, match="signature"):
        library(secret).verify(received.body + b" ", received.headers)


def test_a_partner_without_a_key_gets_a_thin_message(house: House, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = house.enrol(platform.url, jwks=None)
        house.tell(partner)
        house.engine().step(5)
    (received,) = platform.received
    assert set(json.loads(received.body)["data"]) == {"item_id"}


def test_what_does_not_fit_is_sent_thin(house: House, certificate: Path) -> None:
    inner = {"noise": base64.b64encode(bytes(range(256)) * 100 + Path(__file__).read_bytes())}
    big = {"noise": inner["noise"].hex()}
    house.payloads.make = lambda _: Payload({"item_id": "itm_1"}, big)
    with Platform(certificate=certificate) as platform:
        partner, _ = house.enrol(platform.url)
        house.tell(partner)
        house.engine().step(5)
    (received,) = platform.received
    assert len(received.body) < 20_000
    assert ("sealed" in json.loads(received.body)["data"]) == (len(received.body) > 1_000)


def test_during_a_rotation_both_keys_sign(house: House, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, old = house.enrol(platform.url, SigningScheme.V1)
        endpoint_id = partner.endpoints[0].id
        rotated, new = rotate_endpoint_key(
            partner,
            endpoint_id,
            house.clock.now(),
            timedelta(hours=1),
            ids=house.ids,
            keys=house.keys,
        )
        house.partners.put(rotated)
        house.tell(partner)
        engine = house.engine()
        steps_until(engine, all_in(house, MessageState.DELIVERED))
        revoked, newest = rotate_endpoint_key(
            rotated, endpoint_id, house.clock.now(), timedelta(0), ids=house.ids, keys=house.keys
        )
        house.partners.put(revoked)
        house.tell(partner)
        engine.wake()
        steps_until(engine, all_in(house, MessageState.DELIVERED))
    first, second = platform.received
    for handed in (old, new):
        key = HmacKey.parse(handed.endpoint_keys[endpoint_id])
        assert verify([key], first.headers, first.body, datetime.now(UTC))
        assert key.signature(b"") not in second.headers["webhook-signature"]
    assert len(second.headers["webhook-signature"].split(" ")) == 1
    key = HmacKey.parse(newest.endpoint_keys[endpoint_id])
    assert verify([key], second.headers, second.body, datetime.now(UTC))


def test_a_key_is_opened_once_however_many_messages_it_signs(
    house: House, certificate: Path
) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = house.enrol(platform.url)
        house.tell(partner, 30)
        steps_until(house.engine(), all_in(house, MessageState.DELIVERED))
    assert house.keys.opened == 1


def test_many_deliveries_are_few_commits(house: House, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = house.enrol(platform.url)
        house.tell(partner, 200)
        steps_until(house.engine(), all_in(house, MessageState.DELIVERED))
    assert sorted({r.headers["webhook-id"] for r in platform.received}) == sorted(
        message.id for message in house.store.all()
    )
    assert len(platform.received) == 200
    assert house.store.commits < 150  # one each would be 200, and their claims


@pytest.mark.parametrize("dies", [False, True])
def test_a_backlog_is_written_beside_and_each_message_comes_once(
    house: House, certificate: Path, dies: bool
) -> None:
    house.scribe = Scribe(SIGNER)
    with Platform(certificate=certificate) as platform:
        partner, handed = house.enrol(platform.url)
        house.tell(partner, 300)
        engine = house.engine()
        steps_until(engine, lambda: len(platform.received) > 50)
        process = house.scribe._process
        assert process is not None
        if dies:
            process.kill()
        steps_until(engine, all_in(house, MessageState.DELIVERED))
        engine.close()
    assert process.poll() is not None
    assert house.watcher.stumbles == ["ScribeEnded"] * dies
    ids = [request.headers["webhook-id"] for request in platform.received]
    assert sorted(ids) == sorted(message.id for message in house.store.all())
    key = parse_verifying_key(next(iter(handed.endpoint_keys.values())))
    for request in platform.received:
        verify([key], request.headers, request.body, datetime.now(UTC))


def test_what_is_written_beside_when_it_closes_is_given_back(
    house: House, certificate: Path
) -> None:
    house.scribe = Scribe(SIGNER)
    with Platform(certificate=certificate) as platform:
        house.tell(house.enrol(platform.url)[0], 100)
        engine = house.engine()
        engine.step(0.0)
        engine.close()
    waiting = [m for m in house.store.all() if m.state is MessageState.PENDING]
    assert waiting
    soon = datetime.now(UTC) + house.pace.lease / 4
    assert all(m.due_at is not None and m.due_at < soon for m in waiting)
    delivered = {m.id for m in house.store.all() if m.state is MessageState.DELIVERED}
    assert delivered == {r.headers["webhook-id"] for r in platform.received}


def test_a_hanging_platform_holds_nobody_up(house: House, certificate: Path) -> None:
    """Nobody waits until it is given up, which takes LONG."""
    with Platform(hang, certificate) as stuck, Platform(certificate=certificate) as well:
        house.tell(house.enrol(stuck.url)[0], 300)
        healthy = house.tell(house.enrol(well.url)[0], 300)
        engine, began = house.engine(), time.monotonic()
        steps_until(engine, lambda: all(_delivered(house, message) for message in healthy))
        assert time.monotonic() - began < 0.9 * LONG
        assert len(well.received) == 300
        assert len(stuck.received) <= 16


def test_what_others_answered_is_stored_without_waiting_for_one_that_hangs(
    house: House, certificate: Path
) -> None:
    """The first answer waits for others, to share a commit: not for one that is known to hang."""
    house.pace = DeliverySettings(gather=LONG / 2, prompt=timedelta(milliseconds=50))
    with Platform(hang, certificate) as stuck, Platform(certificate=certificate) as well:
        hanging, good = house.enrol(stuck.url)[0], house.enrol(well.url)[0]
        engine = house.engine()
        house.tell(hanging)
        engine.step(0.2)
        time.sleep(0.1)
        house.tell(hanging)  # as new as what the others are told
        told = house.tell(good, 3)
        engine.wake()
        began = time.monotonic()
        steps_until(engine, lambda: all(_delivered(house, message) for message in told))
        assert time.monotonic() - began < LONG / 4


@pytest.mark.parametrize(
    "last", [answer(200, body=bytes(1_000_000)), answer(200, headers={"Connection": "close"})]
)
def test_nor_for_one_whose_connection_ended_with_its_last_answer(
    house: House, certificate: Path, last: Behaviour
) -> None:
    """It must be dialled anew, which takes as long as the others would be made to wait."""
    house.pace = DeliverySettings(gather=LONG / 2, prompt=NEVER)
    then_hangs = in_turn(last, hang)
    with Platform(then_hangs, certificate) as bad, Platform(certificate=certificate) as well:
        cut, good = house.enrol(bad.url)[0], house.enrol(well.url)[0]
        engine = house.engine()
        (first,) = house.tell(cut)
        steps_until(engine, lambda: _delivered(house, first))
        house.tell(cut)
        told = house.tell(good, 3)
        engine.wake()
        began = time.monotonic()
        steps_until(engine, lambda: all(_delivered(house, message) for message in told))
        assert time.monotonic() - began < LONG / 4


def _delivered(house: House, message: Message) -> bool:
    return house.now_is(message).state is MessageState.DELIVERED


def test_a_platform_that_comes_back_gets_everything(
    make_sender: MakeSender, certificate: Path
) -> None:
    quick = GateSettings(first_pause=timedelta(milliseconds=50))
    house = House(make_sender(), gate_settings=quick, draw=lambda: 0.0)
    failing = [reset] * 8  # each try dials twice
    with Platform(in_turn(*failing, answer(200)), certificate) as platform:
        partner, _ = house.enrol(platform.url)
        house.tell(partner, 4)
        steps_until(house.engine(), all_in(house, MessageState.DELIVERED))
    tries = sum(len(house.store.attempts(message.id)) for message in house.store.all())
    assert 4 < tries <= 12
    assert len({r.headers["webhook-id"] for r in platform.received}) == 4


def test_a_waiting_engine_wakes_at_once(house: House, certificate: Path) -> None:
    house.pace = DeliverySettings(idle=100, grace=0.1)
    stop = threading.Event()
    with Platform(certificate=certificate) as platform:
        partner, _ = house.enrol(platform.url)
        engine = house.engine()
        worker = threading.Thread(target=engine.run, args=(stop,))
        worker.start()
        time.sleep(0.2)
        for count in (1, 2, 3):
            house.tell(partner)
            engine.wake()
            assert eventually(lambda count=count: len(platform.received) == count)  # type: ignore[misc]
        assert eventually(all_in(house, MessageState.DELIVERED))
        stop.set()
        engine.wake()
        worker.join(5)
    assert not worker.is_alive()


def test_without_a_wake_the_store_is_asked_now_and_then(house: House, certificate: Path) -> None:
    house.pace = DeliverySettings(idle=0.2)
    with Platform(certificate=certificate) as platform:
        partner, _ = house.enrol(platform.url)
        engine = house.engine()
        engine.step(0)
        house.tell(partner)
        steps_until(engine, all_in(house, MessageState.DELIVERED))


def test_an_idle_engine_sleeps_until_the_next_is_due(make_sender: MakeSender) -> None:
    house = House(make_sender())
    partner, _ = house.enrol("https://localhost:1/")
    due_at = house.clock.now() + timedelta(seconds=1)
    house.tell(partner, due_at=due_at)
    engine = house.engine()
    engine.step(0)
    used = time.process_time()
    engine.step(LONG)
    late = house.clock.now() - due_at
    assert timedelta(seconds=-0.1) < late < timedelta(seconds=LONG / 2)
    assert time.process_time() - used < 0.15
    steps_until(engine, lambda: house.store.all()[0].attempts == 1)


def test_a_graceful_stop_finishes_what_it_can_and_gives_back_the_rest(
    house: House, certificate: Path
) -> None:
    house.pace = DeliverySettings(grace=3.0)
    with Platform(hang, certificate) as stuck, Platform(certificate=certificate) as well:
        hanging = house.tell(house.enrol(stuck.url)[0], 40)
        good = house.tell(house.enrol(well.url)[0], 5)
        engine = house.engine()
        engine.step(0)
        engine.close()
    assert {house.now_is(message).state for message in good} == {MessageState.DELIVERED}
    for message in map(house.now_is, hanging):
        assert (message.state, message.attempts) == (MessageState.PENDING, 0)
        assert message.due_at is not None
        assert message.due_at <= house.clock.now() + timedelta(seconds=2)


# In simulated time.


def answering(status: int | None, **more: Any) -> Callable[[Post], Answer]:
    error = None if status else "timeout"
    return lambda post: Answer(post.key, status, error, 9, timedelta(milliseconds=20), **more)


def simulated(answer_to: Callable[[Post], Answer], **more: Any) -> House:
    clock = SetClock()
    pace = DeliverySettings(idle=86_400)
    return House(ScriptedSender(clock, answer_to), clock, pace=pace, **more)


def run_for(house: House, engine: DeliveryEngine, span: timedelta) -> None:
    until = house.clock.now() + span
    while house.clock.now() < until:
        before = house.clock.now()
        engine.step(3600)
        if house.clock.now() == before and not house.store.next_due_at():
            return


URL = "https://hooks.platform.com/"


def test_ten_tries_over_three_days_then_an_operator_is_told() -> None:
    house = simulated(answering(500), draw=lambda: 1.0)
    (message,) = house.tell(house.enrol(URL)[0])
    begun = house.clock.now()
    run_for(house, house.engine(), timedelta(days=6))
    after = house.now_is(message)
    assert (after.state, after.attempts, after.due_at) == (MessageState.FAILED, 10, None)
    assert house.watcher.failed == [(message.id, "schedule-used-up")]
    attempts = house.store.attempts(message.id)
    assert len(attempts) == 10
    assert attempts[-1].started_at - begun == pytest.approx(
        timedelta(hours=75.6), abs=timedelta(hours=1)
    )


def test_a_message_given_up_is_told_of_even_where_disabling_its_endpoint_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = simulated(answering(410))
    partner, _ = house.enrol(URL)
    (message,) = house.tell(partner)
    monkeypatch.setattr(house.watcher, "endpoint_disabled", _fail)
    with pytest.raises(ConnectionError):
        house.engine().step(1)
    assert house.watcher.failed == [(message.id, "endpoint-gone")]


@pytest.mark.parametrize("read", ["store.next_due_at", "partners.partners_named"])
def test_what_was_claimed_is_due_again_at_once_where_nothing_can_be_read(
    monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    house = simulated(answering(204))
    partner, _ = house.enrol(URL)
    house.tell(partner)
    engine = house.engine()
    with monkeypatch.context() as broken:
        where, name = read.split(".")
        broken.setattr(getattr(house, where), name, _fail)
        with pytest.raises(ConnectionError):
            engine.step(1)
    engine.wake()
    assert sum(engine.step(1).delivered for _ in range(3)) == 1  # long before the lease ends


def _fail(*_: object) -> None:
    raise ConnectionError


def test_gone_fails_the_message_and_asks_for_the_endpoint_to_be_disabled() -> None:
    house = simulated(answering(410))
    partner, _ = house.enrol(URL)
    (message,) = house.tell(partner)
    engine = house.engine()
    engine.step(1)
    endpoint_id = partner.endpoints[0].id
    assert house.watcher.disabled == [endpoint_id]
    assert house.watcher.failed == [(message.id, "endpoint-gone")]
    house.partners.put(with_endpoint_status(partner, endpoint_id, EndpointStatus.DISABLED))
    (later,) = house.tell(partner)
    engine.wake()
    assert engine.step(1).failed == 1
    assert house.watcher.failed[1:] == [(later.id, "endpoint-disabled")]
    assert len(house.sender.posts) == 1  # type: ignore[attr-defined]


def test_retry_after_is_waited_for() -> None:
    house = simulated(answering(503, retry_after=7_200.0))
    (message,) = house.tell(house.enrol(URL)[0])
    house.engine().step(1)
    due_at = house.now_is(message).due_at
    assert due_at == house.clock.now() + timedelta(hours=2)


@pytest.mark.parametrize("how", ["suspended", "paused", "unverified", "no url"])
def test_who_may_not_be_posted_to_is_waited_for(how: str) -> None:
    house = simulated(answering(200))
    partner, _ = house.enrol(None if how == "no url" else URL)
    (message,) = house.tell(partner)
    endpoint = partner.endpoints[0]
    changed = {
        "suspended": suspend(partner),
        "paused": with_endpoint_status(partner, endpoint.id, EndpointStatus.PAUSED),
        "unverified": with_endpoint_status(partner, endpoint.id, EndpointStatus.UNVERIFIED),
        "no url": partner,
    }
    house.partners.put(changed[how])
    assert house.engine().step(1).given_back == 1
    after = house.now_is(message)
    assert (after.state, after.due_at, after.attempts) == (MessageState.PENDING, None, 0)
    assert house.sender.posts == []  # type: ignore[attr-defined]


def test_what_there_is_no_more_to_tell_is_cancelled() -> None:
    house = simulated(answering(200))
    partner, _ = house.enrol(URL)
    house.payloads.make = lambda _: None
    known = house.tell(partner)
    stranger = replace(known[0], id=MessageId("msg_x"), partner_id="ptn_gone")  # type: ignore[arg-type]
    house.store.add(stranger)
    assert house.engine().step(1).cancelled == 2
    assert all_in(house, MessageState.CANCELLED)()


def test_a_message_that_cannot_be_composed_stops_no_other() -> None:
    house = simulated(answering(200))
    partner, _ = house.enrol(URL)
    broken, *good = house.tell(partner, 5)

    def make(message: Message) -> Payload | None:
        if message.id == broken.id:
            raise ValueError("the seal is broken")
        return Payload({})

    house.payloads.make = make
    engine = house.engine()
    assert engine.step(1).retried == 1
    run_for(house, engine, timedelta(days=6))
    assert {house.now_is(message).state for message in good} == {MessageState.DELIVERED}
    assert house.now_is(broken).state is MessageState.FAILED
    assert house.store.attempts(broken.id)[0].error == "not-composed"
    assert house.watcher.stumbles == ["ValueError"] * 10


def test_only_a_removal_request_starts_the_deadline() -> None:
    house = simulated(answering(200))
    (message,) = house.tell(house.enrol(URL)[0], event_type="removal.withdrawn")
    house.engine().step(1)
    notice = house.store.notice(NoticeId(str(message.notice_id)))
    assert notice is not None
    assert notice.delivered_at is None


def test_the_webhook_id_and_body_stay_the_same_on_every_try() -> None:
    house = simulated(answering(500))
    (message,) = house.tell(house.enrol(URL, jwks=None)[0])
    run_for(house, house.engine(), timedelta(days=6))
    posts = [post for _, post in house.sender.posts]  # type: ignore[attr-defined]
    assert len(posts) == 10
    assert {post.headers["webhook-id"] for post in posts} == {message.id}
    assert len({post.body for post in posts}) == 1
    assert len({post.headers["webhook-timestamp"] for post in posts}) == 10


def test_a_backlog_beyond_the_cap_is_worked_off_without_being_lost_or_repeated() -> None:
    house = simulated(answering(200), gate_settings=GateSettings(at_once=4))
    house.tell(house.enrol(URL, jwks=None)[0], 1_000)
    begun = house.clock.now()
    engine = house.engine()
    while house.store.next_due_at() is not None:
        engine.step(3600)
        assert house.clock.now() - begun < timedelta(seconds=15)  # 5 s if nothing were lost
    assert all_in(house, MessageState.DELIVERED)()
    assert len(house.sender.posts) == 1_000  # type: ignore[attr-defined]
    assert sum(message.claim for message in house.store.all()) < 3_000


@pytest.mark.parametrize(("service", "rate"), [(1.0, None), (4.0, None), (0.05, 120)])
@pytest.mark.parametrize("seed", range(3))
def test_who_was_sent_away_is_not_starved_by_those_who_come_later(
    service: float, rate: int | None, seed: int
) -> None:
    """A backlog waits for a platform that can keep up, and new messages come all the time."""
    chance = random.Random(seed)
    house = simulated(
        lambda post: Answer(
            post.key, 204, None, 0, timedelta(seconds=service * chance.uniform(0.5, 1.5))
        )
    )
    house.pace = replace(house.pace, gather=0.0)  # in simulated time it would wait for all
    partner = house.enrol(URL)[0]
    granted = replace(partner.endpoints[0], rate_per_minute=rate)
    house.partners.put(replace(partner, endpoints=(granted,)))
    possible = rate / 60 if rate else GateSettings().at_once / service  # a second
    engine, began = house.engine(), house.clock.now()
    waiting, later = house.tell(partner, 60), 0
    # As long as the backlog takes beside the stream, and the two minutes that a slot may lie ahead.
    span = timedelta(minutes=2, seconds=60 / (possible * 0.2))
    while waiting:
        elapsed = house.clock.now() - began
        assert elapsed < span
        due = int(elapsed.total_seconds() * possible * 0.8)
        if due > later:
            house.tell(partner, due - later)
            later = due
            engine.wake()
        engine.step(0.2)
        waiting = [message for message in waiting if not house.store.attempts(message.id)]


def test_a_message_is_never_taken_up_beyond_the_senders_room() -> None:
    house = simulated(answering(None))
    assert isinstance(house.sender, ScriptedSender)
    house.sender.capacity = 3
    partners = [house.enrol(URL)[0] for _ in range(10)]
    for partner in partners:
        house.tell(partner)
    engine = house.engine()
    engine.step(0)
    taken = [message for message in house.store.all() if message.claim]
    assert len(taken) == 3


class Failing(MemoryMessages):
    """A store whose next commits fail."""

    failures = 0

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        super().finish(results)


def test_a_commit_that_fails_is_tried_again_and_nothing_is_sent_meanwhile() -> None:
    house = simulated(answering(200), store=Failing())
    assert isinstance(house.store, Failing)
    partner, _ = house.enrol(URL)
    (message,) = house.tell(partner)
    engine = house.engine()
    house.store.failures = 2
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            engine.step(1)
        house.tell(partner)
        engine.wake()
    assert len(house.sender.posts) == 1  # type: ignore[attr-defined]
    engine.step(1)
    assert house.now_is(message).state is MessageState.DELIVERED


def test_running_on_after_a_failure_and_telling_of_it(make_sender: MakeSender) -> None:
    house = House(make_sender(), store=Failing())
    assert isinstance(house.store, Failing)
    house.pace = DeliverySettings(pause_after_error=0.01, idle=0.05, grace=0.1)
    house.store.failures = 3
    partner, _ = house.enrol("https://localhost:1/")
    house.tell(partner)
    stop = threading.Event()
    engine = house.engine()
    worker = threading.Thread(target=engine.run, args=(stop,))
    worker.start()
    assert eventually(lambda: house.store.all()[0].attempts == 1)
    stop.set()
    engine.wake()
    worker.join(5)
    assert house.watcher.stumbles == ["OSError"] * 3


STATUS = st.sampled_from([None, 200, 204, 301, 400, 410, 429, 500, 503])
SCRIPT = st.lists(
    st.tuples(STATUS, st.integers(1, 15_000), st.one_of(st.none(), st.floats(0, 1e6))),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(
    script=SCRIPT,
    crashes=st.lists(st.integers(0, 400), max_size=4),
    count=st.integers(1, 40),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=7),
)
def test_no_message_is_lost_starved_or_sent_twice_at_once(
    script: list[tuple[int | None, int, float | None]],
    crashes: list[int],
    count: int,
    draws: list[float],
) -> None:
    """Any answers in any order, with workers killed at any step: each message ends in time."""
    turn = [0]

    def answer_to(post: Post) -> Answer:
        status, ms, wait = script[turn[0] % len(script)]
        turn[0] += 1
        error = None if status else "timeout"
        return Answer(post.key, status, error, 0, timedelta(milliseconds=ms), wait)

    house = simulated(answer_to, draw=lambda: draws[turn[0] % len(draws)])
    senders = [house.sender]
    told = [house.enrol(URL)[0], house.enrol("https://other.platform.com/")[0]]
    for n in range(count):
        house.tell(told[n % 2])
    engine = house.engine()
    began = house.clock.now()
    for step in range(100_000):
        if house.store.next_due_at() is None:
            break
        assert house.clock.now() - began < timedelta(days=12)
        if step in crashes:  # killed: what was in flight is answered to nobody
            house.sender = ScriptedSender(house.clock, answer_to)  # type: ignore[arg-type]
            senders.append(house.sender)
            engine = house.engine()
        engine.step(3600)
    engine.step(0)
    assert all(m.state in (MessageState.DELIVERED, MessageState.FAILED) for m in house.store.all())
    assert [sender.twice_at_once for sender in senders] == [[]] * len(senders)  # type: ignore[attr-defined]
    for message in house.store.all():
        attempts = house.store.attempts(message.id)
        statuses = [attempt.status for attempt in attempts]
        assert [a.number for a in attempts] == sorted({a.number for a in attempts})
        assert len(attempts) <= 10
        delivered = message.state is MessageState.DELIVERED
        assert delivered == (statuses[-1] in (200, 204))
        assert delivered or statuses[-1] == 410 or len(attempts) == 10
    failed = {m.id for m in house.store.all() if m.state is MessageState.FAILED}
    assert failed <= {name for name, _ in house.watcher.failed}
