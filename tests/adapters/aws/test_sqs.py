"""Queues of ids: whole batches, what was refused again, and nothing but ids in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.adapters.sqs import SqsQueue
from app.domain.errors import QueueUnavailable
from partners.model import EndpointId, Message, MessageId, PartnerId
from tests.adapters.aws.conftest import Queues
from tests.adapters.aws.faults import Answers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(name: str, wait: timedelta | None = timedelta(0), endpoint: str = "end_1") -> Message:
    return Message(
        id=MessageId(f"msg_{name}"),
        event_type="removal.requested",
        event_at=NOW,
        partner_id=PartnerId("ptn_secret"),
        endpoint_id=EndpointId(endpoint),
        notice_id=None,
        created_at=NOW,
        due_at=None if wait is None else NOW + wait,
    )


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def queue(queues: Queues, waits: list[float]) -> SqsQueue:
    return SqsQueue(queues.client, queues.first, queues.retry, waits.append)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25])
def test_each_message_comes_once_in_batches_of_ten(
    queue: SqsQueue, queues: Queues, count: int
) -> None:
    asked = Answers(queues.client, "SendMessageBatch", 500, "never")
    asked.on = False
    queue.announce([message(str(n)) for n in range(count)])
    assert sorted(queues.bodies(queues.first)) == sorted(f"msg_{n}" for n in range(count))
    assert asked.asked == -(-count // 10)


def test_only_the_id_and_the_endpoint_as_its_group_are_told(
    queue: SqsQueue, queues: Queues
) -> None:
    queue.announce([message("a", endpoint="end_7")])
    (taken,) = queues.taken(queues.first)
    assert taken["Body"] == "msg_a"
    assert taken["Attributes"]["MessageGroupId"] == "end_7"
    assert "MessageAttributes" not in taken
    assert "ptn" not in str(taken)


def test_a_reminder_waits_until_it_is_due_and_never_longer_than_the_queue_can(
    queue: SqsQueue,
) -> None:
    sent: list[Any] = []

    class Listening:
        def send_message_batch(self, **asked: Any) -> Any:
            sent.extend(asked["Entries"])
            return {}

    listening = SqsQueue(Listening(), "first", "retry")
    waits = [None, timedelta(hours=-1), timedelta(0), timedelta(seconds=4.2), timedelta(minutes=15)]
    late = [timedelta(minutes=15, microseconds=1), timedelta(days=1)]
    listening.remind([message(str(n), wait) for n, wait in enumerate([*waits, *late])], NOW)
    told = {entry["MessageBody"]: entry.get("DelaySeconds", 0) for entry in sent}
    assert told == {"msg_1": 0, "msg_2": 0, "msg_3": 5, "msg_4": 900}


def test_reminders_lie_apart_from_first_attempts(queue: SqsQueue, queues: Queues) -> None:
    queue.announce([message("a")])
    queue.remind([message("b"), message("c")], NOW)
    assert queue.reminders() == 2
    assert queues.bodies(queues.first) == ["msg_a"]
    assert sorted(queues.bodies(queues.retry)) == ["msg_b", "msg_c"]


class Picky:
    """A queue that refuses some entries of a batch for a while, as SQS does."""

    def __init__(self, client: Any, refusals: Sequence[set[str]]) -> None:
        self._client, self._refusals = client, list(refusals)
        self.sizes: list[int] = []

    def send_message_batch(self, **asked: Any) -> Any:
        entries = asked["Entries"]
        self.sizes.append(len(entries))
        refused = self._refusals.pop(0) if self._refusals else set()
        failed = [e for e in entries if e["MessageBody"] in refused]
        kept = [e for e in entries if e not in failed]
        if kept:
            self._client.send_message_batch(QueueUrl=asked["QueueUrl"], Entries=kept)
        return {"Failed": [{"Id": e["Id"], "Code": "InternalError"} for e in failed]}


def test_what_a_batch_refused_is_sent_again_and_nothing_else(
    queues: Queues, waits: list[float]
) -> None:
    picky = Picky(queues.client, [{"msg_2", "msg_5"}, {"msg_5"}])
    queue = SqsQueue(picky, queues.first, queues.retry, waits.append)
    queue.announce([message(str(n)) for n in range(10)])
    assert picky.sizes == [10, 2, 1]
    assert sorted(queues.bodies(queues.first)) == sorted(f"msg_{n}" for n in range(10))
    assert waits == [0.1, 0.2]


def test_what_is_refused_for_ever_is_said(queues: Queues, waits: list[float]) -> None:
    picky = Picky(queues.client, [{"msg_1"}] * 99)
    queue = SqsQueue(picky, queues.first, queues.retry, waits.append)
    with pytest.raises(QueueUnavailable):
        queue.announce([message(str(n)) for n in range(3)])
    assert picky.sizes == [3, 1, 1, 1]
    assert sorted(queues.bodies(queues.first)) == ["msg_0", "msg_2"]


@pytest.mark.parametrize("operation", ["SendMessageBatch", "GetQueueAttributes"])
def test_a_queue_that_does_not_answer(queue: SqsQueue, queues: Queues, operation: str) -> None:
    away = Answers(queues.client, operation, 503, "ServiceUnavailable")
    with pytest.raises(QueueUnavailable) as refused:
        queue.announce([message("a")]) if operation.startswith("Send") else queue.reminders()
    assert "arn" not in str(refused.value)
    away.on = False
    queue.announce([message("a")])
    assert queues.bodies(queues.first) == ["msg_a"]
