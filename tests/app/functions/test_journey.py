"""A report through the functions: API, table, stream, relay, queue, sender, platform, and back."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import standardwebhooks

from app.functions import purge, sender
from app.services import mark_late
from app.services.mark_late import MarkLate
from partners.model import Message, MessageState
from tests.app.functions.conftest import Cloud, Context
from tests.app.functions.reporting import report, told
from tests.journeys.calls import a_case_key
from tests.partners.platforms import Platform, answer, in_turn

OK = answer()


def test_a_report_is_posted_answered_and_taken_back(stack: Cloud) -> None:
    with Platform() as platform:
        handed = stack.add_platform(platform.url)
        case_key = a_case_key()
        report(stack, case_key)
        assert stack.relay() == []
        assert stack.send(stack.first) == []
        (received,) = platform.received
        standardwebhooks.Webhook(handed["webhook_key"]).verify(received.body, received.headers)
        status, case = stack.asked("POST", "/v1/case/open", {"case_key": case_key})
        assert status == 200
        assert len(case["items"]) == 1
        assert stack.asked("POST", "/v1/case/withdraw", {"case_key": case_key})[0] == 200
        assert stack.relay() == []
        assert stack.send(stack.first) == []
    assert len(told(platform)) == 2
    assert stack.take(stack.first) == stack.take(stack.retry) == stack.take(stack.dead) == []


def test_nothing_but_ids_lies_in_a_queue(stack: Cloud) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key(), photos=3)
        stack.relay()
        bodies = [record["body"] for record in stack.take(stack.first)]
    assert len(bodies) == 3
    assert all(sender._ID.fullmatch(body) for body in bodies)


def test_a_stream_that_comes_again_makes_nothing_twice(stack: Cloud) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        records = stack.records()
        assert stack.relay(records) == stack.relay(records) == stack.relay(records[::-1]) == []
        stack.new_sandboxes()
        assert stack.relay(records) == []
        while stack.take(stack.first):
            assert stack.send(stack.first) == []
    assert list(told(platform).values()) == [1]


def test_a_queue_that_comes_twice_and_in_any_order_posts_once(stack: Cloud) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key(), photos=6)
        stack.relay()
        batch = stack.take(stack.first)
        again = [{**record, "messageId": f"again-{n}"} for n, record in enumerate(batch)]
        assert stack.bring([*again[::-1], *batch]) == []
        stack.new_sandboxes()
        assert stack.bring(batch) == []
    assert set(told(platform).values()) == {1}
    assert len(told(platform)) == 6


def test_what_failed_comes_again_by_the_queue_when_it_is_due(stack: Cloud) -> None:
    """The first retry is after some five seconds: sooner than the sweeper would come by."""
    with Platform(in_turn(answer(500), OK)) as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        assert stack.send(stack.first) == []
        found = stack.sqs.get_queue_attributes(QueueUrl=stack.retry, AttributeNames=["All"])
        assert found["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"
        message = only_message(stack)
        assert (message.state, message.attempts) == (MessageState.PENDING, 1)
        until_taken(stack)
    assert list(told(platform).values()) == [2]
    assert only_message(stack).state is MessageState.DELIVERED


def only_message(stack: Cloud) -> Message:
    ((message,), _) = stack.operator().store.messages()
    return message


def until_taken(stack: Cloud) -> None:
    until = time.monotonic() + 60
    while only_message(stack).state is MessageState.PENDING:
        assert time.monotonic() < until
        stack.send(stack.retry)
        time.sleep(0.3)


def test_poison_goes_to_the_dead_letters_and_holds_nobody_up(stack: Cloud) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        for poison in ("", "not an id", "msg_" + "x" * 500, '{"a": 1}', "msg_é"):
            if poison:
                stack.sqs.send_message(QueueUrl=stack.first, MessageBody=poison)
        for _ in range(6):
            stack.send(stack.first)
    assert list(told(platform).values()) == [1]
    assert stack.take(stack.first) == []
    assert len(stack.take(stack.dead)) == 4


def test_an_id_that_nobody_knows_any_more_is_dealt_with(stack: Cloud) -> None:
    stack.sqs.send_message(QueueUrl=stack.first, MessageBody="msg_" + "a" * 32)
    assert stack.send(stack.first) == []
    assert stack.take(stack.first) == []


def test_what_stream_and_queues_lost_the_sweeper_finds(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.functions.sweeper.LEFT_LYING", timedelta(0))
    monkeypatch.setattr("app.functions.sweeper.OVERDUE", timedelta(0))
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key(), photos=2)
        stack.sweep()  # no relay ever ran
        lost = stack.take(stack.first)
        stack.sqs.purge_queue(QueueUrl=stack.first)
        stack.sweep()
        reminded = stack.take(stack.retry)
        assert {record["body"] for record in reminded} == {record["body"] for record in lost}
        assert stack.send(stack.retry, reminded) == []
    assert list(told(platform).values()) == [1, 1]


def test_a_limit_counts_for_all_sandboxes_and_each_network(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORT_REMOVE_LIMIT_CASE", "3 per year")  # no window ends while this runs
    statuses = []
    for _ in range(5):
        stack.new_sandboxes()
        statuses.append(stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})[0])
    assert statuses == [404, 404, 404, 429, 429]
    elsewhere = stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()}, "198.51.100.7")
    assert elsewhere[0] == 404


def test_pages_files_and_refusals_go_through_as_they_are(stack: Cloud) -> None:
    status, page = stack.asked("GET", "/")
    assert status in (200, 302, 303)
    assert stack.asked("GET", "/no-such-page")[0] == 404
    assert stack.asked("PUT", "/v1/reports")[0] == 405
    status, problem = stack.asked("POST", "/v1/reports", {"image": "x" * 1_100_000})
    assert (status, problem["code"]) == (413, "body-too-large")
    assert page is not None


def test_a_purge_erases_what_is_over_and_marks_what_a_killed_sender_gave_up(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Platform(answer(410)) as platform:
        stack.add_platform(platform.url)
        case_key = a_case_key()
        report(stack, case_key)
        stack.relay()
        with monkeypatch.context() as killed:
            killed.setattr(MarkLate, "settle", lambda _: 0)
            assert stack.send(stack.first) == []
        assert only_message(stack).state is MessageState.FAILED
        assert not is_late(stack)
        purge.handler({}, Context())
        assert is_late(stack)


def is_late(stack: Cloud) -> bool:
    notice_id = only_message(stack).notice_id
    notice = stack.operator().store.notice(notice_id) if notice_id else None
    return notice is not None and notice.late_at is not None


def test_a_look_back_goes_page_by_page_over_partners_and_ends_with_the_time(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of time, it ends without an error and begins anew; to its end, it is done for good."""
    monkeypatch.setattr(mark_late, "_PAGE", 1)
    with Platform(answer(410)) as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key(), photos=3)
        stack.relay()
        with monkeypatch.context() as killed:
            killed.setattr(MarkLate, "settle", lambda _: 0)
            assert stack.send(stack.first) == []
    assert marked(stack) == [False] * 3
    hurried = Context(milliseconds=1_000)
    purge.handler({}, hurried)
    assert sorted(marked(stack)) == [False, False, True]
    assert not purge._services().mark_late._looked_back.is_set()
    purge.handler({}, Context())
    assert marked(stack) == [True] * 3
    assert purge._services().mark_late._looked_back.is_set()
    monkeypatch.setattr(MarkLate, "_failed", lambda *_: pytest.fail("once is enough"))
    purge.handler({}, Context())


def marked(stack: Cloud) -> list[bool]:
    store = stack.operator().store
    messages, _ = store.messages()
    notices = store.notices_named(m.notice_id for m in messages if m.notice_id)
    return [notice.late_at is not None for notice in notices.values()]
