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
from tests.partners.memory import SetClock
from tests.partners.platforms import Authority, Platform
from tests.partners.scripted import ScriptedSender
from tests.partners.test_delivery import URL, House, all_in, simulated, steps_until

SECOND = timedelta(seconds=1)
COUNT = 12
# A trial of an opened breaker would make the outcome a matter of chance.
PATIENT = GateSettings(first_pause=timedelta(minutes=1))


@contextmanager
def beside(
    bad: Bad, house: House, authority: Authority, certificate: Path
) -> Iterator[tuple[list[Message], list[Message]]]:
    """Messages for a bad platform, and then as many for a good one."""
    with (
        bad.serve(certificate, certificates(authority)) as url,
        Platform(certificate=certificate) as well,
    ):
        told = house.tell(house.enrol(url)[0], COUNT)
        yield told, house.tell(house.enrol(well.url)[0], COUNT)


def result_of(attempt: Attempt) -> str:
    return attempt.error or f"{(attempt.status or 0) // 100}xx"


@pytest.mark.parametrize("name", BAD)
def test_what_becomes_of_a_bad_platform_and_that_a_good_one_is_told_meanwhile(
    make_sender: MakeSender, authority: Authority, certificate: Path, name: str
) -> None:
    bad = BAD[name]
    patience = 8.0 if bad.slow else LONG  # a handshake takes seconds on a machine in full use
    house = House(make_sender(total_timeout=patience), gate_settings=PATIENT)
    with beside(bad, house, authority, certificate) as (told, healthy):
        engine, began = house.engine(), time.monotonic()
        steps_until(engine, lambda: _all(house, healthy, MessageState.DELIVERED))
        assert time.monotonic() - began < min(patience, LONG / 2)  # nobody waited for a time-out
        steps_until(engine, lambda: _tried(house, told, bad))
    assert {result_of(a) for m in told for a in house.store.attempts(m.id)} == {bad.result}
    states = {str(house.now_is(message).state) for message in told}
    assert states == {bad.ends}
    if bad.ends == "pending":
        assert all(house.now_is(m).due_at is not None for m in told)
    last = [a.breaker for m in told for a in house.store.attempts(m.id)]
    assert (set(last) == {"closed"}) == bad.trusted


def _all(house: House, messages: list[Message], state: MessageState) -> bool:
    return all(house.now_is(message).state is state for message in messages)


def _tried(house: House, told: list[Message], bad: Bad) -> bool:
    """Whether enough was tried to know: all of them, or as many as open the breaker."""
    tried = sum(bool(house.store.attempts(message.id)) for message in told)
    if bad.ends != "pending":
        return all(str(house.now_is(message).state) == bad.ends for message in told)
    return tried >= (COUNT if bad.trusted else 1) and not _in_flight(house)


def _in_flight(house: House) -> bool:
    return house.sender.room() < SenderSettings().capacity


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
            _slowest(
                House(make_sender(total_timeout=time_out / SECOND)), bad, authority, certificate
            )
            for bad in (None, BAD[name])
        )
        return beside_it >= max(3 * alone, time_out / 4)

    assert not all(much_slower() for _ in range(3))


def _slowest(house: House, bad: Bad | None, authority: Authority, certificate: Path) -> timedelta:
    """The longest wait of a good platform's messages, a bad one being told as many, or nobody."""
    serve = bad.serve if bad else BAD["200 with garbage"].serve
    with (
        serve(certificate, certificates(authority)) as url,
        Platform(certificate=certificate) as well,
    ):
        ninth, good = house.enrol(url)[0], house.enrol(well.url)[0]
        engine, told = house.engine(), list[Message]()
        for _ in range(60):
            house.tell(ninth, 2)
            told += house.tell(good)
            engine.wake()
            engine.step(0.02)
        steps_until(engine, lambda: _all(house, told, MessageState.DELIVERED))
    waits = []
    for message in told:
        (attempt,) = house.store.attempts(message.id)
        ended = attempt.started_at + timedelta(milliseconds=attempt.duration_ms)
        waits.append(ended - message.created_at)
    return max(waits)


# In simulated time.


def refusing_for(span: timedelta, clock: SetClock) -> House:
    """A platform whose connections are refused for that long, and which works after that."""
    until = clock.now() + span

    def answer_to(post: Post) -> Answer:
        if clock.now() < until and "platform.com" in post.url:
            return Answer(post.key, None, "connection-refused", 0, timedelta(milliseconds=2))
        return Answer(post.key, 204, None, 0, timedelta(milliseconds=20))

    house = simulated(answer_to, draw=lambda: 0.999)
    house.clock = clock
    house.sender = ScriptedSender(clock, answer_to)
    return house


def test_refused_for_an_hour_then_back_everything_arrives_and_little_was_tried() -> None:
    clock = SetClock()
    house = refusing_for(timedelta(hours=1), clock)
    partner, _ = house.enrol(URL)
    other, _ = house.enrol("https://well.other.org/")
    engine, began = house.engine(), clock.now()
    told: list[Message] = []
    while clock.now() - began < timedelta(hours=1):
        told += house.tell(partner, 2)
        house.tell(other, 2)
        engine.wake()
        for _ in range(12):  # answers come one by one
            engine.step(0.5)
        clock.advance(timedelta(minutes=1))
    while house.store.next_due_at() is not None:
        assert clock.now() - began < timedelta(hours=8)
        engine.step(3600)
    assert all_in(house, MessageState.DELIVERED)()
    during = [a for m in told for a in house.store.attempts(m.id) if a.error]
    # The breaker lets one message try every five minutes, once it has been opened.
    assert len(during) < 60
    assert all(len(house.store.attempts(m.id)) <= 10 for m in told)
    well = [m for m in house.store.all() if m.partner_id == other.id]
    waits = [house.store.attempts(m.id)[0].started_at - m.created_at for m in well]
    assert max(waits) <= 2 * SECOND
    assert house.watcher.failed == []


@pytest.mark.parametrize(("backlog", "most"), [(20, 30), (140, 1_000), (1_000, 3_000)])
def test_what_waits_for_a_platform_that_hangs_is_not_taken_up_again_and_again(
    backlog: int, most: int
) -> None:
    """Until the first time-out nobody knows that it hangs, and every look at it is a commit."""
    span = 15 * SECOND
    house = simulated(lambda post: Answer(post.key, None, "timeout", 0, span))
    house.tell(house.enrol(URL)[0], backlog)
    engine, began = house.engine(), house.clock.now()
    while house.clock.now() - began < span - SECOND:
        engine.step(5)
    assert house.store.commits < most


def test_after_an_hours_refusal_a_new_message_waits_at_most_five_minutes() -> None:
    clock = SetClock()
    house = refusing_for(timedelta(hours=1), clock)
    partner, _ = house.enrol(URL)
    engine, began = house.engine(), clock.now()
    while clock.now() - began < timedelta(hours=1):
        house.tell(partner)
        clock.advance(timedelta(minutes=1))
        engine.wake()
        engine.step(0.5)
    (late,) = house.tell(partner)
    engine.wake()
    while house.now_is(late).state is not MessageState.DELIVERED:
        engine.step(3600)
        assert clock.now() - late.created_at < timedelta(minutes=7)


def test_however_many_wait_an_endpoint_that_refuses_is_tried_with_few() -> None:
    clock = SetClock()
    house = refusing_for(timedelta(hours=1), clock)
    partner, _ = house.enrol(URL)
    house.tell(partner, 500)
    engine = house.engine()
    for _ in range(2_000):
        if clock.now() - SetClock().now() > timedelta(minutes=30):
            break
        engine.step(60)
    assert isinstance(house.sender, ScriptedSender)
    minutes = [int((at - SetClock().now()) / timedelta(minutes=1)) for at, _ in house.sender.posts]
    first_minute = [m for m in minutes if m == 0]
    assert len(first_minute) <= GateSettings().at_once + 6
    assert len(minutes) - len(first_minute) <= 30
