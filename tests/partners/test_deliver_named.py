"""Delivering what a queue names: the records are those that the delivering thread writes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.sqlite.store import SqliteStore
from app.ports import AddMessage, SaveMessage
from partners.delivery import DeliverySettings
from partners.gate import Gate, GateSettings
from partners.model import Message, MessageId, MessageState
from partners.ports import Answer, Post
from tests.partners.conftest import MakeSender
from tests.partners.engines import URL, Rig, simulated
from tests.partners.platforms import Platform, answer, hang, in_turn
from tests.partners.scripted import ScriptedSender

MINUTE = timedelta(minutes=1)


@pytest.fixture
def rig(make_sender: MakeSender) -> Rig:
    return Rig(make_sender())


def test_only_what_is_named_is_delivered(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        named, other = rig.tell(rig.enrol(platform.url)[0], 2)
        stored = rig.engine().deliver([named.id, named.id], rig.clock.now() + MINUTE)
    assert [(m.id, m.state) for m in stored] == [(named.id, MessageState.DELIVERED)]
    assert len(platform.received) == 1
    assert rig.now_is(other) == other
    (attempt,) = rig.store.attempts(named.id)
    assert (attempt.status, attempt.number) == (200, 1)


def test_what_is_not_due_or_not_there_is_left_alone(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        (later,) = rig.tell(partner, due_at=rig.clock.now() + MINUTE)
        (aside,) = rig.tell(partner, due_at=None)
        ids = [later.id, aside.id, MessageId("msg_nowhere")]
        assert rig.engine().deliver(ids, rig.clock.now() + MINUTE) == []
    assert platform.received == []
    assert [rig.now_is(later), rig.now_is(aside)] == [later, aside]


def test_a_failed_try_says_when_it_is_due_again(rig: Rig, certificate: Path) -> None:
    with Platform(in_turn(answer(500), answer(200)), certificate) as platform:
        (message,) = rig.tell(rig.enrol(platform.url)[0])
        engine, end = rig.engine(), rig.clock.now() + MINUTE
        (stored,) = engine.deliver([message.id], end)
        assert stored == rig.now_is(message)
        assert stored.due_at is not None
        assert stored.due_at > rig.clock.now()
        assert engine.deliver([message.id], end) == []  # not due yet
    assert len(platform.received) == 1


def test_more_than_an_endpoint_takes_at_once_waits_its_turn(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        messages = rig.tell(rig.enrol(platform.url)[0], 60)
        stored = rig.engine().deliver([m.id for m in messages], rig.clock.now() + MINUTE)
    assert {m.state for m in stored} == {MessageState.DELIVERED}
    told = Counter(request.headers["webhook-id"] for request in platform.received)
    assert told == Counter(message.id for message in messages)


def test_when_time_is_up_the_rest_is_given_back_and_due(
    make_sender: MakeSender, certificate: Path
) -> None:
    """What hangs is waited for, as its time-out wants; what waits behind it is not."""
    rig = Rig(make_sender(total_timeout=4.0))
    with Platform(hang, certificate) as stuck:
        messages = rig.tell(rig.enrol(stuck.url)[0], 40)
        stored = rig.engine().deliver(
            [m.id for m in messages], rig.clock.now() + timedelta(seconds=2)
        )
        now = rig.clock.now()
    assert len(stored) == 40
    assert len(stuck.received) <= 16
    tried = [m for m in stored if m.attempts == 1]
    back = [m for m in stored if m.attempts == 0]
    assert (len(tried), len(back)) == (16, 24)
    assert all(m.due_at is not None and m.due_at <= now + timedelta(seconds=3) for m in back)
    assert {m.state for m in stored} == {MessageState.PENDING}


def test_nothing_is_begun_when_the_time_is_over(rig: Rig, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        (message,) = rig.tell(rig.enrol(platform.url)[0])
        assert rig.engine().deliver([message.id], rig.clock.now()) == []
    assert (platform.received, rig.now_is(message)) == ([], message)


def test_what_could_not_be_stored_is_stored_by_the_next_call(rig: Rig, certificate: Path) -> None:
    class Failing(type(rig.store)):  # type: ignore[misc]
        failures = 1

        def finish(self, results: object) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("disk")
            super().finish(results)

    rig.store = Failing()
    with Platform(certificate=certificate) as platform:
        (message,) = rig.tell(rig.enrol(platform.url)[0])
        engine, end = rig.engine(), rig.clock.now() + MINUTE
        with pytest.raises(OSError, match="disk"):
            engine.deliver([message.id], end)
        (stored,) = engine.deliver([message.id], end)
    assert stored.state is MessageState.DELIVERED
    assert len(platform.received) == 1


ANSWERS = st.lists(
    st.tuples(st.sampled_from([None, 200, 400, 410, 429, 500, 503]), st.integers(1, 9_000)),
    min_size=1,
    max_size=12,
)


def _run(answers: list[tuple[int | None, int]], count: int) -> tuple[Rig, list[Message]]:
    """A rig whose answers depend on the message and its try alone."""
    tries: Counter[str] = Counter()

    def answer_to(post: Post) -> Answer:
        name = post.headers["webhook-id"]
        tries[name] += 1
        place = int(name.rpartition("_")[2]) + tries[name]
        status, ms = answers[place % len(answers)]
        error = None if status else "timeout"
        return Answer(post.key, status, error, 0, timedelta(milliseconds=ms))

    rig = simulated(answer_to, draw=lambda: 0.5)
    told = [rig.enrol(URL)[0], rig.enrol("https://other.platform.com/")[0]]
    return rig, [rig.tell(told[n % 2])[0] for n in range(count)]


def _records(rig: Rig) -> list[object]:
    return [
        (m.id, m.state, m.attempts, [(a.status, a.error) for a in rig.store.attempts(m.id)])
        for m in rig.store.all()
    ]


@settings(max_examples=40, deadline=None)
@given(
    answers=ANSWERS,
    count=st.integers(1, 30),
    seed=st.integers(0, 1 << 30),
    kills=st.sets(st.integers(0, 30), max_size=3),
)
def test_the_records_are_those_of_the_thread(
    answers: list[tuple[int | None, int]], count: int, seed: int, kills: set[int]
) -> None:
    """Whatever the queue does: out of order, twice, with strangers, or its sender killed."""
    by_thread, _ = _run(answers, count)
    engine = by_thread.engine()
    while by_thread.store.next_due_at() is not None:
        engine.step(3600)
    engine.step(0)

    chance = random.Random(seed)
    by_queue, _ = _run(answers, count)
    engine, senders = by_queue.engine(), [by_queue.sender]
    for turn in range(100_000):
        if (next_due_at := by_queue.store.next_due_at()) is None:
            break
        by_queue.clock.at = max(by_queue.clock.now(), next_due_at)  # type: ignore[attr-defined]
        if turn in kills:  # between two calls: a frozen sandbox that does not come back
            by_queue.sender = ScriptedSender(by_queue.clock, by_queue.sender.answer_to)  # type: ignore[arg-type,attr-defined]
            senders.append(by_queue.sender)
            engine = by_queue.engine()
        due = [message.id for message in by_queue.store.due(by_queue.clock.now(), 10)]
        named = [*due, *chance.choices(due, k=3), MessageId("msg_0")]
        chance.shuffle(named)
        engine.deliver(named, by_queue.clock.now() + timedelta(seconds=chance.choice([1, 60])))
    assert _records(by_queue) == _records(by_thread)
    assert [sender.twice_at_once for sender in senders] == [[]] * len(senders)  # type: ignore[attr-defined]


def test_senders_that_know_nothing_of_each_other_share_what_an_endpoint_grants(
    rig: Rig,
) -> None:
    partner, _ = rig.enrol("https://localhost:1/")
    endpoint = partner.endpoints[0]
    now = rig.clock.now()
    gates = [Gate(GateSettings(senders=4)) for _ in range(4)]
    admitted = sum(gate.admit(endpoint, now) is None for gate in gates for _ in range(16))
    assert admitted == 16


def test_the_pace_is_the_settings(rig: Rig) -> None:
    rig.pace = DeliverySettings(batch=3)
    (message, *_) = rig.tell(rig.enrol("https://localhost:1/")[0], 8)
    ids = [m.id for m in rig.store.all()]
    stored = rig.engine().deliver(ids, rig.clock.now() + MINUTE)
    assert {m.id for m in stored} == set(ids)
    assert rig.now_is(message).attempts == 1


def test_the_store_of_one_machine_keeps_the_same_records(
    rig: Rig, certificate: Path, tmp_path: Path
) -> None:
    """Over TLS and SQLite: the right answers, one retry, and nothing of what was not named."""
    store = SqliteStore(tmp_path / "store.db")
    with Platform(in_turn(answer(503), answer(200)), certificate) as platform:
        partner, _ = rig.enrol(platform.url)
        named, other = rig.tell(partner, 2, notice_id=None)
        store.commit(AddMessage(named), AddMessage(other))
        engine, end = rig.engine(store), rig.clock.now() + MINUTE
        (tried,) = engine.deliver([named.id], end)
        assert tried == store.message(named.id)
        assert tried.due_at is not None
        store.commit(SaveMessage(replace(tried, due_at=rig.clock.now(), claim=tried.claim + 1)))
        (delivered,) = engine.deliver([named.id, named.id], end)
    assert delivered == store.message(named.id)
    assert (delivered.state, delivered.attempts) == (MessageState.DELIVERED, 2)
    assert [attempt.status for attempt in store.attempts(named.id)] == [503, 200]
    assert store.message(other.id) == other
    assert {r.headers["webhook-id"] for r in platform.received} == {named.id}
    store.close()
