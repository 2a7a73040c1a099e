"""What may go wrong between the functions: nothing lost, nothing twice under another webhook-id."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from app.adapters import aws
from app.bootstrap import StartRefused
from app.functions import relay, sender, sweeper
from partners.model import MessageState
from tests.adapters.aws.chests import a_client
from tests.adapters.aws.faults import Answers
from tests.app.functions.conftest import Cloud
from tests.app.functions.test_journey import report, told
from tests.journeys.calls import a_case_key
from tests.partners.platforms import Platform


@contextmanager
def away(client: Any, operation: str, status: int, code: str, **more: Any) -> Iterator[Answers]:
    """That operation fails within the block."""
    fault = Answers(client, operation, status, code, **more)
    try:
        yield fault
    finally:
        fault.on = False


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper takes up at once what it otherwise leaves to stream and queue for a while."""
    monkeypatch.setattr("app.functions.sweeper.LEFT_LYING", timedelta(0))
    monkeypatch.setattr("app.functions.sweeper.OVERDUE", timedelta(0))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None)
    monkeypatch.setattr("app.adapters.dynamodb.table.time", hasty)


def store_client(of: Any) -> Any:
    return of._table._client


UNREACHABLE = [
    ("ServiceUnavailable", 503),
    ("ExpiredTokenException", 400),  # credentials ran out, and the new ones are not there yet
    ("InvalidSignatureException", 400),  # a clock that is minutes off
]


@pytest.mark.parametrize(("code", "status"), UNREACHABLE)
def test_a_relay_whose_store_is_away_wants_the_batch_again(
    stack: Cloud, code: str, status: int
) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        records = stack.records()
        first = records[0]["dynamodb"]["SequenceNumber"]
        dynamodb = store_client(relay._relay().store)
        with away(dynamodb, "TransactWriteItems", status, code):
            assert stack.relay(records) == [first]
        assert stack.take(stack.first) == []
        assert stack.relay(records) == []
        assert stack.send(stack.first) == []
    assert list(told(platform).values()) == [1]


def test_an_expansion_whose_answer_was_lost_is_done_once(stack: Cloud) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key(), photos=2)
        dynamodb = store_client(relay._relay().store)
        with away(dynamodb, "TransactWriteItems", 500, "InternalServerError", after=True) as lost:
            lost.at_most = 1
            assert stack.relay() == []
        assert stack.send(stack.first) == []
    assert list(told(platform).values()) == [1, 1]


def test_a_queue_that_takes_nothing_holds_nothing_up_and_the_sweeper_makes_up_for_it(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        queue: Any = relay._relay().queue
        with away(queue.client, "SendMessageBatch", 503, "ServiceUnavailable"):
            assert stack.relay() == []
        assert stack.take(stack.first) == []
        stack.sweep()
        assert stack.send(stack.retry) == []
    assert list(told(platform).values()) == [1]


def test_an_outcome_that_cannot_be_stored_comes_again_under_the_same_name(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posted, and the store is away until the time is up: the lease runs out, then once more."""
    soon(monkeypatch)
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        sending = sender._sending()
        object.__setattr__(sending, "sleep", lambda _: None)
        dynamodb = store_client(sending.engine._store)
        batch = stack.take(stack.first)
        monkeypatch.setattr(sender, "RESERVE", timedelta(seconds=57))
        finishing = _only_finishing(sending, dynamodb)
        with finishing:
            assert stack.bring(batch) == [record["messageId"] for record in batch]
        assert len(platform.received) == 1
        assert stack.bring(batch) == []  # what it still has in hand is stored now
        ((message,), _) = stack.operator().store.messages()
        assert message.state is MessageState.DELIVERED
    assert list(told(platform).values()) == [1]


@contextmanager
def _only_finishing(sending: Any, dynamodb: Any) -> Iterator[None]:
    """Writes fail as soon as a message was taken up."""
    with away(dynamodb, "TransactWriteItems", 503, "ServiceUnavailable") as fault:
        fault.on = False
        claim: Callable[..., Any] = sending.engine._store.claim

        def then_away(*asked: Any) -> Any:
            taken = claim(*asked)
            fault.on = True
            return taken

        sending.engine._store.claim = then_away
        try:
            yield
        finally:
            sending.engine._store.claim = claim


def test_a_sender_that_is_killed_gives_back_by_doing_nothing(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the claim: nobody is told until the lease is over, then under the same name."""
    soon(monkeypatch)
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        (record,) = stack.take(stack.first)
        store = stack.operator().store
        lease = timedelta(seconds=2)
        store.claim([record["body"]], stack.operator().services.house.clock.now(), lease)
        assert stack.send(stack.first) == []  # it is in somebody's hands
        assert platform.received == []
        time.sleep(lease.total_seconds())
        stack.sweep()
        assert stack.send(stack.retry) == []
    assert list(told(platform).values()) == [1]


def test_clocks_that_differ_cost_a_minute_and_no_message(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender whose clock is behind finds nothing due; the sweeper names it again."""
    soon(monkeypatch)
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        engine = sender._sending().engine
        true = engine._clock

        class Behind:
            def now(self) -> datetime:
                return true.now() - timedelta(seconds=90)

        engine._clock = Behind()
        assert stack.send(stack.first) == []
        assert platform.received == []
        engine._clock = true
        stack.sweep()
        assert stack.send(stack.retry) == []
    assert list(told(platform).values()) == [1]


def test_a_part_of_the_sweep_that_fails_keeps_no_other_from_its_turn(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        queue: Any = sweeper._sweeper().queue
        with (
            away(queue.client, "GetQueueAttributes", 503, "ServiceUnavailable"),
            pytest.raises(sweeper.SweepFailed, match="reminders"),
        ):
            stack.sweep()
        assert len(stack.take(stack.first)) == 1
        stack.sweep()
        assert len(stack.take(stack.retry)) == 1
    assert platform.received == []


def test_a_function_that_cannot_have_its_keys_starts_when_it_can(stack: Cloud) -> None:
    key = stack.env["REPORT_REMOVE_KMS_KEY"]
    kms = a_client("kms")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with pytest.raises(StartRefused, match="pending deletion"):
        stack.asked("GET", "/health/live")
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    assert stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})[0] == 404


def test_limits_that_nobody_counts_refuse_and_say_so(stack: Cloud) -> None:
    assert stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})[0] == 404
    stack.dynamodb.delete_table(TableName=stack.env["REPORT_REMOVE_LIMITS_TABLE"])
    status, problem = stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})
    assert (status, problem["code"]) == (503, "store-unavailable")


def test_credentials_that_change_while_it_runs_are_used(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Lambda and Fargate give them: for an hour, then others. Botocore asks for the next."""
    asked: Counter[str] = Counter()

    def refresh() -> dict[str, str]:
        asked["refresh"] += 1
        return {
            "access_key": "test",
            "secret_key": "test",
            "token": "t",
            "expiry_time": "2000-01-01T00:00:00Z"
            if asked["refresh"] == 1
            else "2999-01-01T00:00:00Z",
        }

    session = aws._session()
    credentials = RefreshableCredentials.create_from_metadata(refresh(), refresh, "test")
    monkeypatch.setattr(session._session, "_credentials", credentials)
    assert stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})[0] == 404
    assert asked["refresh"] >= 2


def test_nothing_secret_is_in_what_a_function_says(
    stack: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    case_key = a_case_key()
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, case_key)
        queue: Any = relay._relay().queue
        with away(queue.client, "SendMessageBatch", 503, "ServiceUnavailable"):
            stack.relay()
        stack.new_sandboxes()
    said = capfd.readouterr()
    lines = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["worker.failed"]
    assert case_key not in said.err + said.out
    assert "arn" not in said.err
