"""Each bad platform gets what it deserves, and the others beside it notice nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from partners.gate import GateSettings
from partners.model import Attempt, Message, MessageState
from partners.ports import Answer, Post
from partners.sender import SenderSettings
from tests.partners.bad import BAD, Bad, certificates
from tests.partners.conftest import LONG, MakeSender
from tests.partners.engines import URL, Rig, all_in, simulated, steps_until
from tests.partners.memory import SetClock
from tests.partners.platforms import Authority, Platform
from tests.partners.scripted import ScriptedSender

SECOND = timedelta(seconds=1)
COUNT = 12
# A trial of an opened breaker would make the outcome a matter of chance.
PATIENT = GateSettings(first_pause=timedelta(minutes=1))


@contextmanager
def beside(
    bad: Bad, rig: Rig, authority: Authority, certificate: Path
) -> Iterator[tuple[list[Message], list[Message]]]:
    """Messages for a bad platform, and then as many for a good one."""
    with (
        bad.serve(certificate, certificates(authority)) as url,
        Platform(certificate=certificate) as well,
    ):
        told = rig.tell(rig.enrol(url)[0], COUNT)
        yield told, rig.tell(rig.enrol(well.url)[0], COUNT)


def result_of(attempt: Attempt) -> str:
    return attempt.error or f"{(attempt.status or 0) // 100}xx"


@pytest.mark.parametrize("name", BAD)
def test_what_becomes_of_a_bad_platform_and_that_a_good_one_is_told_meanwhile(
    make_sender: MakeSender, authority: Authority, certificate: Path, name: str
) -> None:
    bad = BAD[name]
    patience = 8.0 if bad.slow else LONG  # a handshake takes seconds on a machine in full use
    rig = Rig(make_sender(total_timeout=patience), gate_settings=PATIENT)
    with beside(bad, rig, authority, certificate) as (told, healthy):
        engine, began = rig.engine(), time.monotonic()
        steps_until(engine, lambda: _all(rig, healthy, MessageState.DELIVERED))
        assert time.monotonic() - began < min(patience, LONG / 2)  # nobody waited for a time-out
        steps_until(engine, lambda: _tried(rig, told, bad))
    assert {result_of(a) for m in told for a in rig.store.attempts(m.id)} == {bad.result}
    states = {str(rig.now_is(message).state) for message in told}
    assert states == {bad.ends}
    if bad.ends == "pending":
        assert all(rig.now_is(m).due_at is not None for m in told)
    last = [a.breaker for m in told for a in rig.store.attempts(m.id)]
    assert (set(last) == {"closed"}) == bad.trusted


def _all(rig: Rig, messages: list[Message], state: MessageState) -> bool:
    return all(rig.now_is(message).state is state for message in messages)


def _tried(rig: Rig, told: list[Message], bad: Bad) -> bool:
    """Whether enough was tried to know: all of them, or as many as open the breaker."""
    tried = sum(bool(rig.store.attempts(message.id)) for message in told)
    if bad.ends != "pending":
        return all(str(rig.now_is(message).state) == bad.ends for message in told)
    return tried >= (COUNT if bad.trusted else 1) and not _in_flight(rig)


def _in_flight(rig: Rig) -> bool:
    return rig.sender.room() < SenderSettings().capacity


@pytest.mark.parametrize("name", ["never answers", "1xx flood", "refuses connections"])
def test_the_slowest_of_a_good_platforms_messages_is_not_much_slower_beside_a_bad_one(
    make_sender: MakeSender, authority: Authority, certificate: Path, name: str
) -> None:
    """bench/bad_partners.py measures how much; here it is only not the time of a time-out.

    What the bad one costs is there in each of three tries, what else the machine does is not.
    """
    time_out = 4 * SECOND

    def much_slower() -> bool:
        alone, beside_it = (
            _slowest(Rig(make_sender(total_timeout=time_out / SECOND)), bad, authority, certificate)
            for bad in (None, BAD[name])
        )
        return beside_it >= max(3 * alone, time_out / 4)

    assert not all(much_slower() for _ in range(3))


def _slowest(rig: Rig, bad: Bad | None, authority: Authority, certificate: Path) -> timedelta:
    """The longest wait of a good platform's messages, a bad one being told as many, or nobody."""
    serve = bad.serve if bad else BAD["200 with garbage"].serve
    with (
        serve(certificate, certificates(authority)) as url,
        Platform(certificate=certificate) as well,
    ):
        ninth, good = rig.enrol(url)[0], rig.enrol(well.url)[0]
        engine, told = rig.engine(), list[Message]()
        for _ in range(60):
            rig.tell(ninth, 2)
            told += rig.tell(good)
            engine.wake()
            engine.step(0.02)
        steps_until(engine, lambda: _all(rig, told, MessageState.DELIVERED))
    waits = []
    for message in told:
        (attempt,) = rig.store.attempts(message.id)
        ended = attempt.started_at + timedelta(milliseconds=attempt.duration_ms)
        waits.append(ended - message.created_at)
    return max(waits)


# In simulated time.


def refusing_for(span: timedelta, clock: SetClock) -> Rig:
    """A platform whose connections are refused for that long, and which works after that."""
    until = clock.now() + span

    def answer_to(post: Post) -> Answer:
        if clock.now() < until and "platform.com" in post.url:
            return Answer(post.key, None, "connection-refused", 0, timedelta(milliseconds=2))
        return Answer(post.key, 204, None, 0, timedelta(milliseconds=20))

    rig = simulated(answer_to, draw=lambda: 0.999)
    rig.clock = clock
    rig.sender = ScriptedSender(clock, answer_to)
    return rig


def test_refused_for_an_hour_then_back_everything_arrives_and_little_was_tried() -> None:
    clock = SetClock()
    rig = refusing_for(timedelta(hours=1), clock)
    partner, _ = rig.enrol(URL)
    other, _ = rig.enrol("https://well.other.org/")
    engine, began = rig.engine(), clock.now()
    told: list[Message] = []
    while clock.now() - began < timedelta(hours=1):
        told += rig.tell(partner, 2)
        rig.tell(other, 2)
        engine.wake()
        for _ in range(12):  # answers come one by one
            engine.step(0.5)
        clock.advance(timedelta(minutes=1))
    while rig.store.next_due_at() is not None:
        assert clock.now() - began < timedelta(hours=8)
        engine.step(3600)
    assert all_in(rig, MessageState.DELIVERED)()
    during = [a for m in told for a in rig.store.attempts(m.id) if a.error]
    # The breaker lets one message try every five minutes, once it has been opened.
    assert len(during) < 60
    assert all(len(rig.store.attempts(m.id)) <= 10 for m in told)
    well = [m for m in rig.store.all() if m.partner_id == other.id]
    waits = [rig.store.attempts(m.id)[0].started_at - m.created_at for m in well]
    assert max(waits) <= 2 * SECOND
    assert rig.watcher.failed == []


@pytest.mark.parametrize(("backlog", "most"), [(20, 30), (140, 1_000), (1_000, 3_000)])
def test_what_waits_for_a_platform_that_hangs_is_not_taken_up_again_and_again(
    backlog: int, most: int
) -> None:
    """Until the first time-out nobody knows that it hangs, and every look at it is a commit."""
    span = 15 * SECOND
    rig = simulated(lambda post: Answer(post.key, None, "timeout", 0, span))
    rig.tell(rig.enrol(URL)[0], backlog)
    engine, began = rig.engine(), rig.clock.now()
    while rig.clock.now() - began < span - SECOND:
        engine.step(5)
    assert rig.store.commits < most


def test_after_an_hours_refusal_a_new_message_waits_at_most_five_minutes() -> None:
    clock = SetClock()
    rig = refusing_for(timedelta(hours=1), clock)
    partner, _ = rig.enrol(URL)
    engine, began = rig.engine(), clock.now()
    while clock.now() - began < timedelta(hours=1):
        rig.tell(partner)
        clock.advance(timedelta(minutes=1))
        engine.wake()
        engine.step(0.5)
    (late,) = rig.tell(partner)
    engine.wake()
    while rig.now_is(late).state is not MessageState.DELIVERED:
        engine.step(3600)
        assert clock.now() - late.created_at < timedelta(minutes=7)


def test_however_many_wait_an_endpoint_that_refuses_is_tried_with_few() -> None:
    clock = SetClock()
    rig = refusing_for(timedelta(hours=1), clock)
    partner, _ = rig.enrol(URL)
    rig.tell(partner, 500)
    engine = rig.engine()
    for _ in range(2_000):
        if clock.now() - SetClock().now() > timedelta(minutes=30):
            break
        engine.step(60)
    assert isinstance(rig.sender, ScriptedSender)
    minutes = [int((at - SetClock().now()) / timedelta(minutes=1)) for at, _ in rig.sender.posts]
    first_minute = [m for m in minutes if m == 0]
    assert len(first_minute) <= GateSettings().at_once + 6
    assert len(minutes) - len(first_minute) <= 30
