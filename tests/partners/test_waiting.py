"""What waits for its endpoint, and when the store is asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from partners.model import EndpointId, Message, MessageId, PartnerId
from partners.waiting import NextLook, Waiting

NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
ONE, OTHER = EndpointId("end_one"), EndpointId("end_other")


def a_message(number: int, endpoint: EndpointId = ONE, lease_left: timedelta = LEASE) -> Message:
    return Message(
        id=MessageId(f"msg_{number}"),
        event_type="removal.requested",
        event_at=NOW,
        partner_id=PartnerId("ptn_one"),
        endpoint_id=endpoint,
        notice_id=None,
        created_at=NOW,
        due_at=NOW + lease_left,
        deadline=None,
    )


def waiting(per_endpoint: int = 3) -> Waiting:
    return Waiting(per_endpoint, SECOND, LEASE)


def test_what_waits_is_ready_when_its_endpoint_may_have_room_first_come_first() -> None:
    here = waiting()
    first, second, elsewhere = a_message(1), a_message(2), a_message(3, OTHER)
    assert here.hold(first, NOW + SECOND / 2, NOW)
    assert here.hold(second, NOW + SECOND / 2, NOW)
    assert here.hold(elsewhere, NOW + SECOND, NOW)
    assert list(here.ready(NOW)) == []
    ((endpoint_id, messages),) = here.ready(NOW + SECOND / 2)
    assert (endpoint_id, list(messages)) == (ONE, [first, second])
    assert ONE not in here
    assert here.times() == [NOW + SECOND]


def test_no_more_wait_than_an_endpoint_is_given() -> None:
    here = waiting(per_endpoint=2)
    at = NOW + SECOND
    assert here.again_at(ONE) is None
    assert here.hold(a_message(1), at, NOW)
    assert here.again_at(ONE) == at
    assert here.hold(a_message(2), at, NOW)
    assert here.again_at(ONE) is None
    assert not here.hold(a_message(3), at, NOW)
    assert here.hold(a_message(4, OTHER), at, NOW)
    assert len(here) == 3


def test_nothing_waits_for_longer_than_it_may_or_its_lease_allows() -> None:
    here = waiting()
    assert not here.hold(a_message(1), NOW + SECOND * 1.01, NOW)
    assert not here.hold(a_message(2, lease_left=LEASE * 0.49), NOW + SECOND, NOW)
    assert len(here) == 0
    assert here.hold(a_message(3, lease_left=LEASE / 2), NOW + SECOND, NOW)


def test_an_endpoint_that_answers_may_have_room_at_once() -> None:
    here = waiting()
    here.hold(a_message(1), NOW + SECOND, NOW)
    here.heard_from(OTHER, NOW)
    assert list(here.ready(NOW)) == []
    here.heard_from(ONE, NOW)
    assert [endpoint_id for endpoint_id, _ in here.ready(NOW)] == [ONE]
    assert OTHER not in here


def test_who_was_not_tried_waits_on_behind_who_was_refused() -> None:
    here = waiting(per_endpoint=2)
    refused, behind, last = (a_message(number) for number in (1, 2, 3))
    here.hold(refused, NOW + SECOND, NOW)
    here.wait_on(ONE, [behind, last], NOW)
    assert here.times() == [NOW + SECOND]
    assert here.drain() == [refused, behind, last]


def test_who_was_not_tried_for_want_of_room_is_ready_at_once() -> None:
    here = waiting()
    here.wait_on(ONE, [a_message(1)], NOW)
    assert [endpoint_id for endpoint_id, _ in here.ready(NOW)] == [ONE]


def test_what_is_not_reached_because_one_broke_off_is_still_there() -> None:
    here = waiting()
    for endpoint_id in (ONE, OTHER):
        here.hold(a_message(1, endpoint_id), NOW, NOW)
    next(here.ready(NOW))
    assert [message.endpoint_id for message in here.drain()] == [OTHER]


def test_nothing_is_left_after_a_drain() -> None:
    here = waiting()
    messages = [a_message(1), a_message(2), a_message(3, OTHER)]
    for message in messages:
        here.hold(message, NOW + SECOND, NOW)
    assert here.drain() == messages
    assert (len(here), here.times(), here.drain()) == (0, [], [])


MOMENTS = st.integers(0, 600).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(
    found=st.none() | MOMENTS,
    expected=st.lists(st.none() | MOMENTS, max_size=4),
    idle=st.integers(1, 300),
)
def test_the_next_look_is_when_something_is_due_or_all_was_idle(
    found: datetime | None, expected: list[datetime | None], idle: int
) -> None:
    look = NextLook(NOW, idle)
    assert look.seconds(NOW) == 0
    look.begin(NOW)
    look.found(found)
    look.expect(expected)
    due = [at for at in (found, *expected) if at is not None]
    first_at = min([*due, NOW + timedelta(seconds=idle)])
    assert look.seconds(NOW) == (first_at - NOW).total_seconds()
    assert look.seconds(first_at) == 0


def test_a_wake_during_a_look_is_heard() -> None:
    look = NextLook(NOW, 5)
    look.wake()
    look.begin(NOW)
    assert (look.woken, look.seconds(NOW)) == (False, 5)
    look.wake()
    look.found(None)
    assert (look.woken, look.seconds(NOW)) == (True, 0)


def test_looking_again_wakes_nobody() -> None:
    look = NextLook(NOW, 5)
    look.begin(NOW)
    assert look.seconds(NOW) == 5
    look.at_once()
    assert look.seconds(NOW) == 0
    assert not look.woken
