"""The engine: with real servers over TLS, and in simulated time with crashes."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from partners.delivery import Counts, DeliverySettings
from partners.errors import SignatureRefused
from partners.gate import GateSettings
from partners.model import (
    DeliveryResult,
    EndpointStatus,
    Message,
    MessageId,
    MessageState,
    NoticeId,
    SigningScheme,
)
from partners.ports import Answer, Payload, Post
from partners.registry import rotate_endpoint_key, suspend, with_endpoint_status
from partners.scribe import Scribe
from partners.sealing import unseal
from partners.signing import HmacKey, parse_verifying_key, verify
from tests.partners.conftest import LONG, MakeSender
from tests.partners.engines import (
    READER,
    SIGNER,
    URL,
    Rig,
    all_in,
    answering,
    run_for,
    simulated,
    steps_until,
)
from tests.partners.memory import MemoryMessages
from tests.partners.platforms import Behaviour, Platform, answer, eventually, hang, in_turn, reset
from tests.partners.scripted import ScriptedSender

NEVER = timedelta(days=400)


@pytest.fixture
def rig(make_sender: MakeSender) -> Rig:
    return Rig(make_sender())


# Over TLS, with the libraries that partners use.


def test_a_message_arrives_signed_sealed_and_is_recorded(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, handed = rig.enrol(platform.url)
        (message,) = rig.tell(partner)
        before = datetime.now(UTC)
        counts = rig.engine().step(5)
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

    after = rig.now_is(message)
    assert (after.state, after.due_at, after.attempts) == (MessageState.DELIVERED, None, 1)
    (attempt,) = rig.store.attempts(message.id)
    assert (attempt.status, attempt.number, attempt.breaker) == (200, 1, "closed")
    notice = rig.store.notice(NoticeId(str(message.notice_id)))
    assert notice is not None
    assert notice.delivered_at is not None
    assert before <= notice.delivered_at <= datetime.now(UTC)
    assert notice.deadline_at == notice.delivered_at + timedelta(hours=48)
    assert rig.watcher.attempts == [attempt]


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_v1_verifies_in_the_public_libraries(
    rig: Rig, certificate: Path, library: Callable[[str], Any]
) -> None:
    with Platform(certificate=certificate) as platform:
        partner, handed = rig.enrol(platform.url, SigningScheme.V1, jwks=None)
        rig.tell(partner)
        rig.engine().step(5)
    (received,) = platform.received
    secret = handed.endpoint_keys[partner.endpoints[0].id]
    library(secret).verify(received.body, received.headers)
    with pytest.raises(Exception, match="signature"):
        library(secret).verify(received.body + b" ", received.headers)


def test_a_partner_without_a_key_gets_a_thin_message(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url, jwks=None)
        rig.tell(partner)
        rig.engine().step(5)
    (received,) = platform.received
    assert set(json.loads(received.body)["data"]) == {"item_id"}


def test_what_does_not_fit_is_sent_thin(rig: Rig, certificate: Path) -> None:
    noise = random.Random(1).randbytes(20_000).hex()
    rig.payloads.make = lambda _: Payload({"item_id": "itm_1"}, {"noise": noise})
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        rig.tell(partner)
        rig.engine().step(5)
    (received,) = platform.received
    assert json.loads(received.body)["data"] == {"item_id": "itm_1"}


def test_during_a_rotation_both_keys_sign(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, old = rig.enrol(platform.url, SigningScheme.V1)
        endpoint_id = partner.endpoints[0].id
        rotated, new = rotate_endpoint_key(
            partner,
            endpoint_id,
            rig.clock.now(),
            timedelta(hours=1),
            ids=rig.ids,
            keys=rig.keys,
        )
        rig.partners.put(rotated)
        rig.tell(partner)
        engine = rig.engine()
        steps_until(engine, all_in(rig, MessageState.DELIVERED))
        revoked, newest = rotate_endpoint_key(
            rotated, endpoint_id, rig.clock.now(), timedelta(0), ids=rig.ids, keys=rig.keys
        )
        rig.partners.put(revoked)
        rig.tell(partner)
        engine.wake()
        steps_until(engine, all_in(rig, MessageState.DELIVERED))
    first, second = platform.received
    for handed in (old, new):
        key = HmacKey.parse(handed.endpoint_keys[endpoint_id])
        assert verify([key], first.headers, first.body, datetime.now(UTC))
        with pytest.raises(SignatureRefused):
            verify([key], second.headers, second.body, datetime.now(UTC))
    assert len(second.headers["webhook-signature"].split(" ")) == 1
    key = HmacKey.parse(newest.endpoint_keys[endpoint_id])
    assert verify([key], second.headers, second.body, datetime.now(UTC))


def test_a_key_is_opened_once_however_many_messages_it_signs(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        rig.tell(partner, 30)
        steps_until(rig.engine(), all_in(rig, MessageState.DELIVERED))
    assert rig.keys.opened == 1


def test_many_deliveries_are_few_commits(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        rig.tell(partner, 200)
        steps_until(rig.engine(), all_in(rig, MessageState.DELIVERED))
    assert sorted({r.headers["webhook-id"] for r in platform.received}) == sorted(
        message.id for message in rig.store.all()
    )
    assert len(platform.received) == 200
    assert rig.store.commits < 150  # one each would be 200, and their claims


@pytest.mark.parametrize("dies", [False, True])
def test_a_backlog_is_written_beside_and_each_message_comes_once(
    rig: Rig, certificate: Path, dies: bool
) -> None:
    rig.scribe = Scribe(SIGNER)
    with Platform(certificate=certificate) as platform:
        partner, handed = rig.enrol(platform.url)
        rig.tell(partner, 300)
        engine = rig.engine()
        steps_until(engine, lambda: len(platform.received) > 50)
        process = rig.scribe._process
        assert process is not None
        if dies:
            process.kill()
        steps_until(engine, all_in(rig, MessageState.DELIVERED))
        engine.close()
    assert process.poll() is not None
    assert rig.watcher.stumbles == ["ScribeEnded"] * dies
    ids = [request.headers["webhook-id"] for request in platform.received]
    assert sorted(ids) == sorted(message.id for message in rig.store.all())
    key = parse_verifying_key(next(iter(handed.endpoint_keys.values())))
    for request in platform.received:
        verify([key], request.headers, request.body, datetime.now(UTC))


def test_what_is_written_beside_when_it_closes_is_given_back(rig: Rig, certificate: Path) -> None:
    rig.scribe = Scribe(SIGNER)
    with Platform(certificate=certificate) as platform:
        rig.tell(rig.enrol(platform.url)[0], 100)
        engine = rig.engine()
        engine.step(0.0)
        engine.close()
    waiting = [m for m in rig.store.all() if m.state is MessageState.PENDING]
    assert waiting
    soon = datetime.now(UTC) + rig.pace.lease / 4
    assert all(m.due_at is not None and m.due_at < soon for m in waiting)
    delivered = {m.id for m in rig.store.all() if m.state is MessageState.DELIVERED}
    assert delivered == {r.headers["webhook-id"] for r in platform.received}


def test_a_hanging_platform_holds_nobody_up(rig: Rig, certificate: Path) -> None:
    """Nobody waits until it is given up, which takes LONG."""
    with Platform(hang, certificate) as stuck, Platform(certificate=certificate) as well:
        rig.tell(rig.enrol(stuck.url)[0], 300)
        healthy = rig.tell(rig.enrol(well.url)[0], 300)
        engine, began = rig.engine(), time.monotonic()
        steps_until(engine, lambda: all(_delivered(rig, message) for message in healthy))
        assert time.monotonic() - began < 0.9 * LONG
        assert len(well.received) == 300
        assert len(stuck.received) <= 16


def test_what_others_answered_is_stored_without_waiting_for_one_that_hangs(
    rig: Rig, certificate: Path
) -> None:
    """The first answer waits for others, to share a commit: not for one that is known to hang."""
    rig.pace = DeliverySettings(gather=LONG / 2, prompt=timedelta(milliseconds=50))
    with Platform(hang, certificate) as stuck, Platform(certificate=certificate) as well:
        hanging, good = rig.enrol(stuck.url)[0], rig.enrol(well.url)[0]
        engine = rig.engine()
        rig.tell(hanging)
        engine.step(0.2)
        time.sleep(0.1)
        rig.tell(hanging)  # as new as what the others are told
        told = rig.tell(good, 3)
        engine.wake()
        began = time.monotonic()
        steps_until(engine, lambda: all(_delivered(rig, message) for message in told))
        assert time.monotonic() - began < LONG / 4


@pytest.mark.parametrize(
    "last", [answer(200, body=bytes(1_000_000)), answer(200, headers={"Connection": "close"})]
)
def test_nor_for_one_whose_connection_ended_with_its_last_answer(
    rig: Rig, certificate: Path, last: Behaviour
) -> None:
    """It must be dialled anew, which takes as long as the others would be made to wait."""
    rig.pace = DeliverySettings(gather=LONG / 2, prompt=NEVER)
    then_hangs = in_turn(last, hang)
    with Platform(then_hangs, certificate) as bad, Platform(certificate=certificate) as well:
        cut, good = rig.enrol(bad.url)[0], rig.enrol(well.url)[0]
        engine = rig.engine()
        (first,) = rig.tell(cut)
        steps_until(engine, lambda: _delivered(rig, first))
        rig.tell(cut)
        told = rig.tell(good, 3)
        engine.wake()
        began = time.monotonic()
        steps_until(engine, lambda: all(_delivered(rig, message) for message in told))
        assert time.monotonic() - began < LONG / 4


def _delivered(rig: Rig, message: Message) -> bool:
    return rig.now_is(message).state is MessageState.DELIVERED


def test_a_platform_that_comes_back_gets_everything(
    make_sender: MakeSender, certificate: Path
) -> None:
    quick = GateSettings(first_pause=timedelta(milliseconds=50))
    rig = Rig(make_sender(), gate_settings=quick, draw=lambda: 0.0)
    failing = [reset] * 8  # each try dials twice
    with Platform(in_turn(*failing, answer(200)), certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        rig.tell(partner, 4)
        steps_until(rig.engine(), all_in(rig, MessageState.DELIVERED))
    tries = sum(len(rig.store.attempts(message.id)) for message in rig.store.all())
    assert 4 < tries <= 12
    assert len({r.headers["webhook-id"] for r in platform.received}) == 4


def test_a_waiting_engine_wakes_at_once(rig: Rig, certificate: Path) -> None:
    rig.pace = DeliverySettings(idle=100, grace=0.1)
    stop = threading.Event()
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        engine = rig.engine()
        worker = threading.Thread(target=engine.run, args=(stop,))
        worker.start()
        time.sleep(0.2)
        for count in (1, 2, 3):
            rig.tell(partner)
            engine.wake()
            assert eventually(lambda count=count: len(platform.received) == count)  # type: ignore[misc]
        assert eventually(all_in(rig, MessageState.DELIVERED))
        stop.set()
        engine.wake()
        worker.join(5)
    assert not worker.is_alive()


def test_without_a_wake_the_store_is_asked_now_and_then(rig: Rig, certificate: Path) -> None:
    rig.pace = DeliverySettings(idle=0.2)
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        engine = rig.engine()
        engine.step(0)
        rig.tell(partner)
        steps_until(engine, all_in(rig, MessageState.DELIVERED))


def test_an_idle_engine_sleeps_until_the_next_is_due(make_sender: MakeSender) -> None:
    rig = Rig(make_sender())
    partner, _ = rig.enrol("https://localhost:1/")
    due_at = rig.clock.now() + timedelta(seconds=1)
    rig.tell(partner, due_at=due_at)
    engine = rig.engine()
    engine.step(0)
    used = time.process_time()
    engine.step(LONG)
    late = rig.clock.now() - due_at
    assert timedelta(seconds=-0.1) < late < timedelta(seconds=LONG / 2)
    assert time.process_time() - used < 0.15
    steps_until(engine, lambda: rig.store.all()[0].attempts == 1)


def test_a_graceful_stop_finishes_what_it_can_and_gives_back_the_rest(
    rig: Rig, certificate: Path
) -> None:
    rig.pace = DeliverySettings(grace=3.0)
    with Platform(hang, certificate) as stuck, Platform(certificate=certificate) as well:
        hanging = rig.tell(rig.enrol(stuck.url)[0], 40)
        good = rig.tell(rig.enrol(well.url)[0], 5)
        engine = rig.engine()
        engine.step(0)
        engine.close()
    assert {rig.now_is(message).state for message in good} == {MessageState.DELIVERED}
    for message in map(rig.now_is, hanging):
        assert (message.state, message.attempts) == (MessageState.PENDING, 0)
        assert message.due_at is not None
        assert message.due_at <= rig.clock.now() + timedelta(seconds=2)


# In simulated time.


def test_ten_tries_over_three_days_then_an_operator_is_told() -> None:
    rig = simulated(answering(500), draw=lambda: 1.0)
    (message,) = rig.tell(rig.enrol(URL)[0])
    begun = rig.clock.now()
    run_for(rig, rig.engine(), timedelta(days=6))
    after = rig.now_is(message)
    assert (after.state, after.attempts, after.due_at) == (MessageState.FAILED, 10, None)
    assert rig.watcher.failed == [(message.id, "schedule-used-up")]
    attempts = rig.store.attempts(message.id)
    assert len(attempts) == 10
    assert attempts[-1].started_at - begun == pytest.approx(
        timedelta(hours=75.6), abs=timedelta(hours=1)
    )


def test_a_retry_is_made_when_it_is_due() -> None:
    rig = simulated(answering(500))
    (message,) = rig.tell(rig.enrol(URL)[0])
    engine = rig.engine()
    engine.step(1)
    due_at = rig.now_is(message).due_at
    assert due_at is not None
    run_for(rig, engine, timedelta(seconds=30))
    assert rig.store.attempts(message.id)[1].started_at - due_at < timedelta(seconds=1)


def test_a_message_given_up_is_told_of_even_where_disabling_its_endpoint_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = simulated(answering(410))
    partner, _ = rig.enrol(URL)
    (message,) = rig.tell(partner)
    monkeypatch.setattr(rig.watcher, "endpoint_disabled", _fail)
    with pytest.raises(ConnectionError):
        rig.engine().step(1)
    assert rig.watcher.failed == [(message.id, "endpoint-gone")]


@pytest.mark.parametrize("read", ["store.next_due_at", "partners.partners_named"])
def test_what_was_claimed_is_due_again_at_once_where_nothing_can_be_read(
    monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    rig = simulated(answering(204))
    partner, _ = rig.enrol(URL)
    rig.tell(partner)
    engine = rig.engine()
    with monkeypatch.context() as broken:
        where, name = read.split(".")
        broken.setattr(getattr(rig, where), name, _fail)
        with pytest.raises(ConnectionError):
            engine.step(1)
    engine.wake()
    assert sum(engine.step(1).delivered for _ in range(3)) == 1  # long before the lease ends


def _fail(*_: object) -> None:
    raise ConnectionError


def test_gone_fails_the_message_and_asks_for_the_endpoint_to_be_disabled() -> None:
    rig = simulated(answering(410))
    partner, _ = rig.enrol(URL)
    (message,) = rig.tell(partner)
    engine = rig.engine()
    engine.step(1)
    endpoint_id = partner.endpoints[0].id
    assert rig.watcher.disabled == [endpoint_id]
    assert rig.watcher.failed == [(message.id, "endpoint-gone")]
    rig.partners.put(with_endpoint_status(partner, endpoint_id, EndpointStatus.DISABLED))
    (later,) = rig.tell(partner)
    engine.wake()
    assert engine.step(1).failed == 1
    assert rig.watcher.failed[1:] == [(later.id, "endpoint-disabled")]
    assert len(rig.sender.posts) == 1  # type: ignore[attr-defined]


def test_retry_after_is_waited_for() -> None:
    rig = simulated(answering(503, retry_after=7_200.0))
    (message,) = rig.tell(rig.enrol(URL)[0])
    rig.engine().step(1)
    due_at = rig.now_is(message).due_at
    assert due_at == rig.clock.now() + timedelta(hours=2)


@pytest.mark.parametrize("how", ["suspended", "paused", "unverified", "no url"])
def test_who_may_not_be_posted_to_is_waited_for(how: str) -> None:
    rig = simulated(answering(200))
    partner, _ = rig.enrol(None if how == "no url" else URL)
    (message,) = rig.tell(partner)
    endpoint = partner.endpoints[0]
    changed = {
        "suspended": suspend(partner),
        "paused": with_endpoint_status(partner, endpoint.id, EndpointStatus.PAUSED),
        "unverified": with_endpoint_status(partner, endpoint.id, EndpointStatus.UNVERIFIED),
        "no url": partner,
    }
    rig.partners.put(changed[how])
    assert rig.engine().step(1).given_back == 1
    after = rig.now_is(message)
    assert (after.state, after.due_at, after.attempts) == (MessageState.PENDING, None, 0)
    assert rig.sender.posts == []  # type: ignore[attr-defined]


def test_what_there_is_no_more_to_tell_is_cancelled() -> None:
    rig = simulated(answering(200))
    partner, _ = rig.enrol(URL)
    rig.payloads.make = lambda _: None
    known = rig.tell(partner)
    stranger = replace(known[0], id=MessageId("msg_x"), partner_id="ptn_gone")  # type: ignore[arg-type]
    rig.store.add(stranger)
    assert rig.engine().step(1).cancelled == 2
    assert all_in(rig, MessageState.CANCELLED)()


def test_a_message_that_cannot_be_composed_stops_no_other() -> None:
    rig = simulated(answering(200))
    partner, _ = rig.enrol(URL)
    broken, *good = rig.tell(partner, 5)

    def make(message: Message) -> Payload | None:
        if message.id == broken.id:
            raise ValueError("the seal is broken")
        return Payload({})

    rig.payloads.make = make
    engine = rig.engine()
    assert engine.step(1).retried == 1
    run_for(rig, engine, timedelta(days=6))
    assert {rig.now_is(message).state for message in good} == {MessageState.DELIVERED}
    assert rig.now_is(broken).state is MessageState.FAILED
    assert rig.store.attempts(broken.id)[0].error == "not-composed"
    assert rig.watcher.stumbles == ["ValueError"] * 10


def _broken(_: Message) -> Payload:
    raise ValueError("the seal is broken")


@pytest.mark.parametrize("make", [_broken, lambda _: None], ids=["broken", "void"])
def test_what_is_not_posted_leaves_its_place_to_the_next(
    make: Callable[[Message], Payload | None],
) -> None:
    rig = simulated(answering(200), gate_settings=GateSettings(at_once=2))
    partner, _ = rig.enrol(URL)
    rig.payloads.make = make
    rig.tell(partner, 4)
    engine = rig.engine()
    engine.step(1)
    rig.payloads.make = lambda _: Payload({})
    (good,) = rig.tell(partner)
    engine.wake()
    run_for(rig, engine, timedelta(minutes=1))
    assert rig.now_is(good).state is MessageState.DELIVERED


def test_only_a_removal_request_starts_the_deadline() -> None:
    rig = simulated(answering(200))
    (message,) = rig.tell(rig.enrol(URL)[0], event_type="removal.withdrawn")
    rig.engine().step(1)
    notice = rig.store.notice(NoticeId(str(message.notice_id)))
    assert notice is not None
    assert notice.delivered_at is None


def test_the_webhook_id_and_body_stay_the_same_on_every_try() -> None:
    rig = simulated(answering(500))
    (message,) = rig.tell(rig.enrol(URL, jwks=None)[0])
    run_for(rig, rig.engine(), timedelta(days=6))
    posts = [post for _, post in rig.sender.posts]  # type: ignore[attr-defined]
    assert len(posts) == 10
    assert {post.headers["webhook-id"] for post in posts} == {message.id}
    assert len({post.body for post in posts}) == 1
    assert len({post.headers["webhook-timestamp"] for post in posts}) == 10


def test_a_backlog_beyond_the_cap_is_worked_off_without_being_lost_or_repeated() -> None:
    rig = simulated(answering(200), gate_settings=GateSettings(at_once=4))
    rig.tell(rig.enrol(URL, jwks=None)[0], 1_000)
    begun = rig.clock.now()
    engine = rig.engine()
    while rig.store.next_due_at() is not None:
        engine.step(3600)
        assert rig.clock.now() - begun < timedelta(seconds=15)  # 5 s if nothing were lost
    assert all_in(rig, MessageState.DELIVERED)()
    assert len(rig.sender.posts) == 1_000  # type: ignore[attr-defined]
    assert sum(message.claim for message in rig.store.all()) < 3_000


@pytest.mark.parametrize(("service", "rate"), [(1.0, None), (4.0, None), (0.05, 120)])
@pytest.mark.parametrize("seed", range(3))
def test_who_was_sent_away_is_not_starved_by_those_who_come_later(
    service: float, rate: int | None, seed: int
) -> None:
    """A backlog waits for a platform that can keep up, and new messages come all the time."""
    chance = random.Random(seed)
    rig = simulated(
        lambda post: Answer(
            post.key, 204, None, 0, timedelta(seconds=service * chance.uniform(0.5, 1.5))
        )
    )
    rig.pace = replace(rig.pace, gather=0.0)  # in simulated time it would wait for all
    partner = rig.enrol(URL)[0]
    granted = replace(partner.endpoints[0], rate_per_minute=rate)
    rig.partners.put(replace(partner, endpoints=(granted,)))
    possible = rate / 60 if rate else GateSettings().at_once / service  # a second
    engine, began = rig.engine(), rig.clock.now()
    waiting, later = rig.tell(partner, 60), 0
    # As long as the backlog takes beside the stream, and the two minutes that a slot may lie ahead.
    span = timedelta(minutes=2, seconds=60 / (possible * 0.2))
    while waiting:
        elapsed = rig.clock.now() - began
        assert elapsed < span
        due = int(elapsed.total_seconds() * possible * 0.8)
        if due > later:
            rig.tell(partner, due - later)
            later = due
            engine.wake()
        engine.step(0.2)
        waiting = [message for message in waiting if not rig.store.attempts(message.id)]


def test_a_message_is_never_taken_up_beyond_the_senders_room() -> None:
    rig = simulated(answering(None))
    assert isinstance(rig.sender, ScriptedSender)
    rig.sender.capacity = 3
    partners = [rig.enrol(URL)[0] for _ in range(10)]
    for partner in partners:
        rig.tell(partner)
    engine = rig.engine()
    engine.step(0)
    taken = [message for message in rig.store.all() if message.claim]
    assert len(taken) == 3


def test_nor_is_one_that_waits_for_its_endpoint_posted_beyond_it() -> None:
    """Its turn comes while others fill the sender: it waits on, until there is room again."""
    rig = simulated(lambda post: Answer(post.key, 200, None, 0, timedelta(seconds=15)))
    assert isinstance(rig.sender, ScriptedSender)
    rig.sender.capacity = 3
    slow, _ = rig.enrol(URL)
    granted = replace(slow.endpoints[0], rate_per_minute=60)  # two at once, then one a second
    rig.partners.put(replace(slow, endpoints=(granted,)))
    rig.tell(slow, 3)
    engine = rig.engine()
    engine.step(0)
    rig.tell(rig.enrol("https://other.platform.com/")[0])
    engine.wake()
    engine.step(0)
    assert (len(rig.sender.posts), rig.sender.room()) == (3, 0)
    rig.clock.at += timedelta(seconds=2)  # type: ignore[attr-defined]
    engine.step(0)
    assert len(rig.sender.posts) == 3
    run_for(rig, engine, timedelta(minutes=1))
    assert all_in(rig, MessageState.DELIVERED)()


def test_what_waits_for_its_endpoint_is_posted_as_soon_as_that_answers() -> None:
    rig = simulated(answering(200), gate_settings=GateSettings(at_once=1))
    told = rig.tell(rig.enrol(URL)[0], 2)
    run_for(rig, rig.engine(), timedelta(seconds=1))
    (first,), (second,) = (rig.store.attempts(message.id) for message in told)
    assert second.started_at - first.started_at == timedelta(milliseconds=first.duration_ms)


def test_no_more_is_taken_up_while_enough_wait_for_their_endpoints() -> None:
    hanging = timedelta(seconds=15)
    rig = simulated(
        lambda post: Answer(post.key, None, "timeout", 0, hanging),
        gate_settings=GateSettings(at_once=1),
    )
    rig.pace = replace(rig.pace, batch=2, held_in_all=3)
    for _ in range(6):
        rig.tell(rig.enrol(URL)[0], 2)  # one is posted, one waits
    engine = rig.engine()
    for _ in range(6):
        engine.step(0)
    assert len([message for message in rig.store.all() if message.claim]) == 6


def test_a_clock_set_back_does_not_keep_the_engine_from_looking() -> None:
    """Messages that another process adds come with no wake."""
    rig = simulated(answering(200))
    rig.pace = DeliverySettings()
    partner, _ = rig.enrol(URL)
    engine = rig.engine()
    engine.step(0)
    rig.clock.at -= timedelta(hours=1)  # type: ignore[attr-defined]
    rig.tell(partner)
    for _ in range(2):
        engine.step(rig.pace.idle)
    assert all_in(rig, MessageState.DELIVERED)()


class Failing(MemoryMessages):
    """A store whose next commits fail."""

    failures = 0

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        super().finish(results)


def test_a_commit_that_fails_is_tried_again_and_nothing_is_sent_meanwhile() -> None:
    rig = simulated(answering(200), store=Failing())
    assert isinstance(rig.store, Failing)
    partner, _ = rig.enrol(URL)
    (message,) = rig.tell(partner)
    engine = rig.engine()
    rig.store.failures = 2
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            engine.step(1)
        rig.tell(partner)
        engine.wake()
    assert len(rig.sender.posts) == 1  # type: ignore[attr-defined]
    engine.step(1)
    assert rig.now_is(message).state is MessageState.DELIVERED


def test_running_on_after_a_failure_and_telling_of_it(make_sender: MakeSender) -> None:
    rig = Rig(make_sender(), store=Failing())
    assert isinstance(rig.store, Failing)
    rig.pace = DeliverySettings(pause_after_error=0.01, idle=0.05, grace=0.1)
    rig.store.failures = 3
    partner, _ = rig.enrol("https://localhost:1/")
    rig.tell(partner)
    stop = threading.Event()
    engine = rig.engine()
    worker = threading.Thread(target=engine.run, args=(stop,))
    worker.start()
    assert eventually(lambda: rig.store.all()[0].attempts == 1)
    stop.set()
    engine.wake()
    worker.join(5)
    assert rig.watcher.stumbles == ["OSError"] * 3


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

    rig = simulated(answer_to, draw=lambda: draws[turn[0] % len(draws)])
    senders = [rig.sender]
    told = [rig.enrol(URL)[0], rig.enrol("https://other.platform.com/")[0]]
    for n in range(count):
        rig.tell(told[n % 2])
    engine = rig.engine()
    began = rig.clock.now()
    for step in range(100_000):
        if rig.store.next_due_at() is None:
            break
        assert rig.clock.now() - began < timedelta(days=12)
        if step in crashes:  # killed: what was in flight is answered to nobody
            rig.sender = ScriptedSender(rig.clock, answer_to)  # type: ignore[arg-type]
            senders.append(rig.sender)
            engine = rig.engine()
        engine.step(3600)
    engine.step(0)
    assert all(m.state in (MessageState.DELIVERED, MessageState.FAILED) for m in rig.store.all())
    assert [sender.twice_at_once for sender in senders] == [[]] * len(senders)  # type: ignore[attr-defined]
    for message in rig.store.all():
        attempts = rig.store.attempts(message.id)
        statuses = [attempt.status for attempt in attempts]
        assert [a.number for a in attempts] == sorted({a.number for a in attempts})
        assert len(attempts) <= 10
        delivered = message.state is MessageState.DELIVERED
        assert delivered == (statuses[-1] in (200, 204))
        assert delivered or statuses[-1] == 410 or len(attempts) == 10
    failed = {m.id for m in rig.store.all() if m.state is MessageState.FAILED}
    assert failed <= {name for name, _ in rig.watcher.failed}
