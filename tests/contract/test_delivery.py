"""The store as scheduler: leases, fences, the notice's clock, and pages of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import chain

import pytest

from app.domain.errors import Contested
from app.ports import AddMessage, AddNotice, SaveMessage, SaveNotice, Store
from partners.model import (
    Delivered,
    DeliveryResult,
    Message,
    MessageState,
    PartnerId,
)
from tests.contract.samples import DAY, MINUTE, NOW, a_case, a_message, a_notice, an_attempt


def _add(store: Store, *messages: Message) -> None:
    store.commit(*(AddMessage(message) for message in messages))


def _delivered(message: Message) -> Message:
    return replace(
        message, state=MessageState.DELIVERED, due_at=None, attempts=message.attempts + 1
    )


def test_due_messages_are_taken_up_in_the_order_they_were_due(store: Store) -> None:
    waiting = [a_message(due_at=NOW - minutes * MINUTE) for minutes in (0, 2, 1)]
    _add(store, *waiting, a_message(due_at=NOW + MINUTE), a_message(due_at=None))
    _add(store, a_message(state=MessageState.FAILED), a_message(state=MessageState.CANCELLED))
    claimed = store.claim_due(NOW, 10, MINUTE)
    assert claimed == [replace(waiting[place], claim=1, due_at=NOW + MINUTE) for place in (1, 2, 0)]
    assert [store.message(message.id) for message in claimed] == claimed


def test_no_more_are_taken_up_than_asked_for(store: Store) -> None:
    _add(store, *(a_message(due_at=NOW - minute * MINUTE) for minute in range(5)))
    assert store.claim_due(NOW, 0, MINUTE) == []
    first, second, third = (store.claim_due(NOW, 2, DAY) for _ in range(3))
    assert [len(first), len(second), len(third)] == [2, 2, 1]
    assert len({message.id for message in first + second + third}) == 5


def test_a_lease_holds_until_its_end_and_then_gives_back(store: Store) -> None:
    _add(store, a_message())
    (held,) = store.claim_due(NOW, 1, MINUTE)
    assert store.claim_due(NOW + MINUTE * 0.999, 1, MINUTE) == []
    (again,) = store.claim_due(NOW + MINUTE, 1, MINUTE)
    assert again == replace(held, claim=2, due_at=NOW + 2 * MINUTE)


def test_when_the_next_is_due(store: Store) -> None:
    assert store.next_due_at() is None
    _add(store, a_message(due_at=None), a_message(due_at=NOW, state=MessageState.FAILED))
    assert store.next_due_at() is None
    _add(store, a_message(due_at=NOW + DAY), a_message(due_at=NOW + MINUTE))
    assert store.next_due_at() == NOW + MINUTE
    store.claim_due(NOW + MINUTE, 1, 2 * DAY)
    assert store.next_due_at() == NOW + DAY


def test_a_result_is_stored_with_its_attempt_and_the_notices_clock(store: Store) -> None:
    notice = a_notice(a_case())
    store.commit(AddNotice(notice), AddMessage(a_message(notice_id=notice.id)))
    (claimed,) = store.claim_due(NOW, 1, MINUTE)
    done, attempt = _delivered(claimed), an_attempt(claimed)
    store.finish([DeliveryResult(done, attempt, Delivered(notice.id, NOW, NOW + DAY))])
    assert store.message(done.id) == done
    assert store.attempts(done.id) == [attempt]
    stored = store.notice(notice.id)
    assert stored is not None
    assert (stored.delivered_at, stored.deadline_at) == (NOW, NOW + DAY)
    assert store.next_due_at() is None


def test_every_try_is_kept_in_order(store: Store) -> None:
    _add(store, a_message())
    tries = []
    for minute in range(12):
        now = NOW + minute * MINUTE
        (claimed,) = store.claim_due(now, 1, MINUTE)
        tries.append(an_attempt(claimed, started_at=now, status=None, error="timeout"))
        later = replace(claimed, attempts=claimed.attempts + 1, due_at=now + MINUTE)
        store.finish([DeliveryResult(later, tries[-1])])
    assert store.attempts(tries[0].message_id) == tries


def test_a_message_given_back_has_no_attempt(store: Store) -> None:
    _add(store, a_message())
    (claimed,) = store.claim_due(NOW, 1, DAY)
    given_back = replace(claimed, due_at=NOW + MINUTE)
    store.finish([DeliveryResult(given_back, None)])
    assert store.message(claimed.id) == given_back
    assert store.attempts(claimed.id) == []


def test_nothing_to_finish_is_nothing(store: Store) -> None:
    store.finish([])


def test_a_result_of_an_older_claim_is_dropped_whole(store: Store) -> None:
    notice = a_notice(a_case())
    store.commit(AddNotice(notice), AddMessage(a_message(notice_id=notice.id)))
    (late,) = store.claim_due(NOW, 1, MINUTE)
    (held,) = store.claim_due(NOW + MINUTE, 1, MINUTE)
    clock = Delivered(notice.id, NOW, NOW + DAY)
    store.finish([DeliveryResult(_delivered(late), an_attempt(late), clock)])
    assert store.message(late.id) == held
    assert store.attempts(late.id) == []
    assert store.notice(notice.id) == notice


def test_one_dropped_result_leaves_the_others_of_its_batch(store: Store) -> None:
    _add(store, *(a_message() for _ in range(100)))
    _add(store, *(a_message() for _ in range(30)))
    claimed = store.claim_due(NOW, 130, MINUTE)
    moved = claimed[7]
    cancelled = replace(moved, state=MessageState.CANCELLED, due_at=None, claim=moved.claim + 1)
    store.commit(SaveMessage(cancelled))
    store.finish([DeliveryResult(_delivered(one), an_attempt(one)) for one in claimed])
    assert store.message(moved.id) == cancelled
    assert store.attempts(moved.id) == []
    rest = [one for one in claimed if one.id != moved.id]
    assert [store.message(one.id) for one in rest] == [_delivered(one) for one in rest]
    assert all(len(store.attempts(one.id)) == 1 for one in rest)


def test_a_batch_finished_twice_is_as_finished_once(store: Store) -> None:
    _add(store, a_message())
    (claimed,) = store.claim_due(NOW, 1, MINUTE)
    result = DeliveryResult(_delivered(claimed), an_attempt(claimed))
    store.finish([result])
    store.finish([result])
    assert store.message(claimed.id) == result.message
    assert store.attempts(claimed.id) == [result.attempt]


def _deliver(store: Store, message: Message, at: datetime, deadline_at: datetime) -> None:
    (claimed,) = store.claim_due(at, 1, MINUTE)
    assert claimed.id == message.id
    assert claimed.notice_id is not None
    clock = Delivered(claimed.notice_id, at, deadline_at)
    store.finish([DeliveryResult(_delivered(claimed), an_attempt(claimed), clock)])


def test_the_first_delivery_starts_the_clock(store: Store) -> None:
    notice = a_notice(a_case())
    first = a_message(notice_id=notice.id)
    second = a_message(notice_id=notice.id, due_at=NOW + MINUTE)
    store.commit(AddNotice(notice), AddMessage(first), AddMessage(second))
    _deliver(store, first, NOW, NOW + DAY)
    _deliver(store, second, NOW + MINUTE, NOW + 2 * DAY)
    stored = store.notice(notice.id)
    assert stored is not None
    assert (stored.delivered_at, stored.deadline_at) == (NOW, NOW + DAY)


def test_a_notice_loaded_before_its_delivery_cannot_undo_it(store: Store) -> None:
    notice = a_notice(a_case())
    message = a_message(notice_id=notice.id)
    store.commit(AddNotice(notice), AddMessage(message))
    _deliver(store, message, NOW, NOW + DAY)
    with pytest.raises(Contested):
        store.commit(SaveNotice(replace(notice, withdrawn_at=NOW, version=notice.version + 1)))


def _walk(fetch: Callable[[str], tuple[list[Message], str | None]]) -> list[list[Message]]:
    pages, cursor = [], ""
    while True:
        page, following = fetch(cursor)
        pages.append(page)
        if following is None:
            return pages
        cursor = following


def test_pages_follow_the_order_of_making(store: Store) -> None:
    messages = [a_message(created_at=NOW - minute * MINUTE) for minute in range(7)]
    for message in messages:
        _add(store, message)
    pages = _walk(lambda cursor: store.messages(after=cursor, limit=3))
    assert pages == [messages[:3], messages[3:6], messages[6:]]
    assert store.messages(limit=7) == (messages, None)
    assert store.messages() == (messages, None)


def test_pages_of_one_partner_and_some_states(store: Store) -> None:
    states, names = list(MessageState), [PartnerId("ptn_a"), PartnerId("ptn_b")]
    messages = [a_message(state=states[n % 4], partner_id=names[n % 3 % 2]) for n in range(48)]
    _add(store, *messages)
    for partner_id in (None, *names):
        for wanted in ((), (MessageState.PENDING,), tuple(states[1:]), (states[2], states[2])):
            expected = [
                message
                for message in messages
                if partner_id in (None, message.partner_id) and message.state in (wanted or states)
            ]

            def fetch(
                cursor: str,
                partner_id: PartnerId | None = partner_id,
                wanted: tuple[MessageState, ...] = wanted,
            ) -> tuple[list[Message], str | None]:
                return store.messages(partner_id=partner_id, states=wanted, after=cursor, limit=5)

            assert list(chain.from_iterable(_walk(fetch))) == expected


def test_a_message_is_not_missed_by_a_cursor_after_a_purge(store: Store) -> None:
    case = a_case()
    notice = a_notice(case)
    first, second = a_message(), a_message()
    purged = [a_message(notice_id=notice.id) for _ in range(2)]
    store.commit(AddNotice(notice), *map(AddMessage, [first, *purged]))
    _, cursor = store.messages(limit=2)
    assert cursor is not None
    store.purge_case(case.id)
    _add(store, second)
    assert store.messages(after=cursor) == ([second], None)


@pytest.mark.parametrize("cursor", ["x", "-1", "1 OR 1=1", "9" * 40, "٣", "1.5", " "])
def test_a_cursor_that_is_none_of_ours_is_a_mistake(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        store.messages(after=cursor)
