"""What every MessageStore must do. An adapter's test runs each of CHECKS on a fresh rig."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from partners.model import (
    Attempt,
    Delivered,
    DeliveryResult,
    EndpointId,
    Message,
    MessageId,
    MessageState,
    Notice,
    NoticeId,
    PartnerId,
)
from partners.ports import MessageStore

NOW: Final = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LEASE: Final = timedelta(seconds=60)
SECOND: Final = timedelta(seconds=1)


class Rig(Protocol):
    """A store to be tested, and the ways in that the port does not have."""

    @property
    def store(self) -> MessageStore: ...

    def add(self, *messages: Message) -> None:
        """Store new messages, and a notice for each `notice_id` that has none."""

    def save(self, message: Message) -> None:
        """Store a message moved outside delivery: its claim is one more than the stored one."""

    def notice(self, notice_id: NoticeId) -> Notice | None:
        """A notice."""


def a_message(
    number: int = 1,
    *,
    due_in: timedelta | None = timedelta(0),
    partner: str = "ptn_one",
    state: MessageState = MessageState.PENDING,
) -> Message:
    return Message(
        id=MessageId(f"msg_{number:06d}"),
        event_type="removal.requested",
        event_at=NOW - timedelta(minutes=1),
        partner_id=PartnerId(partner),
        endpoint_id=EndpointId(f"end_{partner}"),
        notice_id=NoticeId(f"itm_{number:06d}"),
        created_at=NOW + number * timedelta(microseconds=7),
        state=state,
        due_at=None if due_in is None else NOW + due_in,
        deadline=timedelta(hours=48),
    )


def a_result(message: Message, *, status: int | None = 200) -> DeliveryResult:
    good = status == 200
    after = replace(
        message,
        attempts=message.attempts + 1,
        state=MessageState.DELIVERED if good else MessageState.PENDING,
        due_at=None if good else NOW + timedelta(minutes=5),
    )
    attempt = Attempt(
        message_id=message.id,
        number=message.claim,
        started_at=NOW + SECOND,
        duration_ms=12,
        status=status,
        error=None if status else "timeout",
        response_bytes=34,
        breaker="closed",
    )
    receipt = Delivered(NoticeId(str(message.notice_id)), NOW + SECOND, NOW + LEASE)
    return DeliveryResult(after, attempt, receipt if good else None)


def _claimed(rig: Rig, at: datetime = NOW) -> Message:
    (message,) = rig.store.claim_due(at, 10, LEASE)
    return message


def gives_back_a_message_as_it_was_added(rig: Rig) -> None:
    whole = replace(a_message(1), attempts=3, claim=4)
    bare = replace(a_message(2, due_in=None), notice_id=None, deadline=None)
    rig.add(whole, bare)
    assert rig.store.message(whole.id) == whole
    assert rig.store.message(bare.id) == bare
    assert rig.store.message(MessageId("msg_nobody")) is None


def ignores_a_message_added_twice(rig: Rig) -> None:
    rig.add(a_message(1))
    claimed = _claimed(rig)
    rig.add(a_message(1))
    assert rig.store.message(claimed.id) == claimed


def claims_what_is_due_oldest_first(rig: Rig) -> None:
    rig.add(
        a_message(1, due_in=-SECOND),
        a_message(2, due_in=-3 * SECOND),
        a_message(3, due_in=SECOND),
        a_message(4, due_in=None),
        a_message(5, due_in=timedelta(0)),
    )
    claimed = rig.store.claim_due(NOW, 10, LEASE)
    assert [message.id for message in claimed] == ["msg_000002", "msg_000001", "msg_000005"]


def claims_no_more_than_the_limit(rig: Rig) -> None:
    rig.add(*[a_message(n) for n in range(5)])
    first = rig.store.claim_due(NOW, 3, LEASE)
    second = rig.store.claim_due(NOW, 3, LEASE)
    assert (len(first), len(second)) == (3, 2)
    assert not {m.id for m in first} & {m.id for m in second}
    assert rig.store.claim_due(NOW, 0, LEASE) == []


def stores_a_claim_before_giving_it(rig: Rig) -> None:
    rig.add(a_message(1))
    claimed = _claimed(rig)
    assert claimed == replace(a_message(1), claim=1, due_at=NOW + LEASE)
    assert rig.store.message(claimed.id) == claimed
    assert rig.store.next_due_at() == NOW + LEASE


def gives_a_claim_again_when_the_lease_is_over(rig: Rig) -> None:
    rig.add(a_message(1))
    _claimed(rig)
    assert rig.store.claim_due(NOW + LEASE - timedelta(microseconds=1), 10, LEASE) == []
    assert _claimed(rig, NOW + LEASE).claim == 2


def claims_nothing_that_is_not_pending(rig: Rig) -> None:
    states = [state for state in MessageState if state is not MessageState.PENDING]
    rig.add(*[a_message(n, state=state) for n, state in enumerate(states)])
    assert rig.store.claim_due(NOW + LEASE, 10, LEASE) == []
    assert rig.store.next_due_at() is None


def looks_at_what_is_due_and_takes_nothing(rig: Rig) -> None:
    rig.add(
        a_message(1, due_in=-SECOND),
        a_message(2, due_in=-2 * SECOND),
        a_message(3, due_in=SECOND),
        a_message(4, due_in=None),
        a_message(5, state=MessageState.FAILED),
        a_message(6),
    )
    seen = rig.store.due(NOW, 10)
    assert [message.id for message in seen] == ["msg_000002", "msg_000001", "msg_000006"]
    assert seen[0] == rig.store.message(seen[0].id) == a_message(2, due_in=-2 * SECOND)
    assert rig.store.due(NOW, 2) == seen[:2]
    assert rig.store.due(NOW, 0) == rig.store.due(NOW - LEASE, 10) == []
    assert len(rig.store.claim_due(NOW, 10, LEASE)) == 3
    assert rig.store.due(NOW, 10) == []
    assert len(rig.store.due(NOW + LEASE, 10)) == 4


def claims_of_those_named_what_is_due(rig: Rig) -> None:
    rig.add(
        a_message(1, due_in=-SECOND),
        a_message(2, due_in=-2 * SECOND),
        a_message(3, due_in=SECOND),
        a_message(4, due_in=None),
        a_message(5, state=MessageState.DELIVERED),
        a_message(6, due_in=-LEASE),
        a_message(7),
    )
    named = [MessageId(f"msg_{number:06d}") for number in (7, 5, 1, 2, 3, 4, 2)]
    claimed = rig.store.claim([*named, MessageId("msg_nobody")], NOW, LEASE)
    assert [message.id for message in claimed] == ["msg_000002", "msg_000001", "msg_000007"]
    assert claimed[1] == replace(a_message(1), claim=1, due_at=NOW + LEASE)
    assert [rig.store.message(message.id) for message in claimed] == claimed
    assert [message.id for message in rig.store.due(NOW, 10)] == ["msg_000006"]
    assert rig.store.claim([], NOW, LEASE) == []


def claims_a_named_message_once_a_lease(rig: Rig) -> None:
    rig.add(a_message(1))
    name = [a_message(1).id]
    (held,) = rig.store.claim(name, NOW, LEASE)
    assert rig.store.claim(name, NOW + LEASE - timedelta(microseconds=1), LEASE) == []
    (again,) = rig.store.claim(name, NOW + LEASE, LEASE)
    assert again == replace(held, claim=2, due_at=NOW + 2 * LEASE)
    rig.store.finish([a_result(held)])
    assert rig.store.message(held.id) == again


def claims_many_that_are_named(rig: Rig) -> None:
    waiting = [a_message(n) for n in range(130)]
    rig.add(*waiting)
    claimed = rig.store.claim([message.id for message in waiting], NOW, LEASE)
    assert [message.id for message in claimed] == [message.id for message in waiting]


def knows_when_the_next_is_due(rig: Rig) -> None:
    assert rig.store.next_due_at() is None
    rig.add(a_message(1, due_in=None))
    assert rig.store.next_due_at() is None
    rig.add(a_message(2, due_in=3 * SECOND), a_message(3, due_in=2 * SECOND))
    assert rig.store.next_due_at() == NOW + 2 * SECOND


def stores_a_delivery(rig: Rig) -> None:
    rig.add(a_message(1))
    result = a_result(_claimed(rig))
    rig.store.finish([result])
    assert rig.store.message(result.message.id) == result.message
    assert rig.store.attempts(result.message.id) == [result.attempt]
    notice = rig.notice(NoticeId("itm_000001"))
    assert notice is not None
    assert (notice.delivered_at, notice.deadline_at) == (NOW + SECOND, NOW + LEASE)
    assert rig.store.next_due_at() is None


def starts_a_notices_clock_once(rig: Rig) -> None:
    twin = replace(a_message(2), notice_id=NoticeId("itm_000001"))
    rig.add(a_message(1), twin)
    first, second = rig.store.claim_due(NOW, 10, LEASE)
    rig.store.finish([a_result(first)])
    later = Delivered(NoticeId("itm_000001"), NOW + LEASE, NOW + 2 * LEASE)
    rig.store.finish([replace(a_result(second), delivered=later)])
    notice = rig.notice(NoticeId("itm_000001"))
    assert notice is not None
    assert (notice.delivered_at, notice.deadline_at) == (NOW + SECOND, NOW + LEASE)


def keeps_every_attempt_in_order(rig: Rig) -> None:
    rig.add(a_message(1))
    first = a_result(_claimed(rig), status=None)
    rig.store.finish([first])
    second = a_result(_claimed(rig, NOW + timedelta(minutes=5)), status=200)
    rig.store.finish([second])
    assert rig.store.attempts(first.message.id) == [first.attempt, second.attempt]
    assert rig.store.attempts(MessageId("msg_nobody")) == []


def stores_a_result_without_an_attempt(rig: Rig) -> None:
    rig.add(a_message(1))
    back = replace(_claimed(rig), due_at=NOW + 2 * SECOND)
    rig.store.finish([DeliveryResult(back, None)])
    assert rig.store.message(back.id) == back
    assert rig.store.attempts(back.id) == []
    assert rig.store.next_due_at() == NOW + 2 * SECOND


def drops_a_result_of_an_older_claim_whole(rig: Rig) -> None:
    rig.add(a_message(1), a_message(2))
    old, other = rig.store.claim_due(NOW, 10, LEASE)
    newer = rig.store.claim_due(NOW + LEASE, 1, LEASE)[0]
    assert newer.id == old.id
    rig.store.finish([a_result(old), a_result(other)])
    assert rig.store.message(old.id) == newer
    assert rig.store.attempts(old.id) == []
    notice = rig.notice(NoticeId(str(old.notice_id)))
    assert notice is None or notice.delivered_at is None
    kept = rig.store.message(other.id)
    assert kept is not None
    assert kept.state is MessageState.DELIVERED


def drops_a_result_after_a_move_outside_delivery(rig: Rig) -> None:
    rig.add(a_message(1))
    claimed = _claimed(rig)
    cancelled = replace(claimed, state=MessageState.CANCELLED, due_at=None, claim=claimed.claim + 1)
    rig.save(cancelled)
    rig.store.finish([a_result(claimed)])
    assert rig.store.message(claimed.id) == cancelled
    assert rig.store.attempts(claimed.id) == []


def stores_many_results_at_once(rig: Rig) -> None:
    rig.add(*[a_message(n) for n in range(300)])
    claimed = rig.store.claim_due(NOW, 300, LEASE)
    rig.store.finish([a_result(message) for message in claimed])
    delivered, _ = rig.store.messages(states=[MessageState.DELIVERED], limit=300)
    assert len(delivered) == len(claimed) == 300
    rig.store.finish([])


def lists_messages_page_by_page(rig: Rig) -> None:
    rig.add(*[a_message(n) for n in range(7)])
    seen: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page, after = rig.store.messages(after=after, limit=3)
        seen += [message.id for message in page]
        pages += 1
        assert pages < 5
    assert seen == [f"msg_{n:06d}" for n in range(7)]


def lists_what_was_made_since_a_time(rig: Rig) -> None:
    made = [replace(a_message(n), created_at=NOW + timedelta(minutes=n)) for n in range(6)]
    rig.add(*made)
    since = NOW + timedelta(minutes=2)
    for partner_id in (None, PartnerId("ptn_one")):
        seen: list[Message] = []
        after: str | None = ""
        while after is not None:
            page, after = rig.store.messages(
                partner_id=partner_id, made_since=since, after=after, limit=3
            )
            seen += page
        assert [message.id for message in seen] == [message.id for message in made[2:]]


def lists_only_what_is_asked_for(rig: Rig) -> None:
    rig.add(
        a_message(1),
        a_message(2, partner="ptn_two"),
        a_message(3, state=MessageState.FAILED, due_in=None),
        a_message(4, state=MessageState.FAILED, due_in=None, partner="ptn_two"),
    )
    theirs, end = rig.store.messages(partner_id=PartnerId("ptn_two"))
    assert ([m.id for m in theirs], end) == (["msg_000002", "msg_000004"], None)
    failed, _ = rig.store.messages(states=[MessageState.FAILED])
    assert [m.id for m in failed] == ["msg_000003", "msg_000004"]
    both, _ = rig.store.messages(
        partner_id=PartnerId("ptn_two"), states=[MessageState.FAILED, MessageState.CANCELLED]
    )
    assert [m.id for m in both] == ["msg_000004"]
    assert rig.store.messages(partner_id=PartnerId("ptn_nobody")) == ([], None)


def gives_each_message_to_one_of_many_workers(rig: Rig) -> None:
    rig.add(*[a_message(n) for n in range(120)])
    taken: list[str] = []
    problems: list[Exception] = []

    def work() -> None:
        try:
            while claimed := rig.store.claim_due(NOW, 7, LEASE):
                taken.extend(message.id for message in claimed)
        except Exception as problem:  # noqa: BLE001 - shown by the assertion below
            problems.append(problem)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert problems == []
    assert sorted(taken) == [f"msg_{n:06d}" for n in range(120)]


def gives_each_named_message_to_one_of_many_workers(rig: Rig) -> None:
    rig.add(*[a_message(n) for n in range(40)])
    names = [a_message(n).id for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: rig.store.claim(names, NOW, LEASE), range(4)))
    assert sorted(message.id for claim in claims for message in claim) == names


CHECKS: Final[tuple[Callable[[Rig], None], ...]] = (
    gives_back_a_message_as_it_was_added,
    ignores_a_message_added_twice,
    claims_what_is_due_oldest_first,
    claims_no_more_than_the_limit,
    stores_a_claim_before_giving_it,
    gives_a_claim_again_when_the_lease_is_over,
    claims_nothing_that_is_not_pending,
    looks_at_what_is_due_and_takes_nothing,
    claims_of_those_named_what_is_due,
    claims_a_named_message_once_a_lease,
    claims_many_that_are_named,
    knows_when_the_next_is_due,
    stores_a_delivery,
    starts_a_notices_clock_once,
    keeps_every_attempt_in_order,
    stores_a_result_without_an_attempt,
    drops_a_result_of_an_older_claim_whole,
    drops_a_result_after_a_move_outside_delivery,
    stores_many_results_at_once,
    lists_messages_page_by_page,
    lists_what_was_made_since_a_time,
    lists_only_what_is_asked_for,
    gives_each_message_to_one_of_many_workers,
    gives_each_named_message_to_one_of_many_workers,
)
