"""What may go wrong between the functions: nothing lost, nothing twice under another webhook-id."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from app.adapters import aws
from app.adapters.dynamodb.schema import create_table
from app.bootstrap import StartRefused, foundation
from app.client.service import report_body
from app.functions import api, purge, relay, sender, sweeper
from app.functions.failing import FunctionFailed
from partners.model import MessageState
from tests.adapters.aws.chests import a_client
from tests.adapters.aws.faults import Answers
from tests.adapters.aws.faults import answer as aws_answer
from tests.app.functions.conftest import Cloud, Context
from tests.app.functions.reporting import report, told
from tests.journeys.calls import a_case_key, a_photo
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
        monkeypatch.setattr(sender, "RESERVE", timedelta(seconds=54))
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
        lease = timedelta(hours=1)
        store.claim([record["body"]], stack.operator().services.house.clock.now(), lease)
        assert stack.send(stack.first) == []  # it is in somebody's hands
        assert platform.received == []
        later(lease)
        stack.sweep()
        assert stack.send(stack.retry) == []
    assert list(told(platform).values()) == [1]


def later(than_now: timedelta) -> None:
    """By that much, for the sender and the sweeper that there are now."""
    clock = SimpleNamespace(now=lambda: datetime.now(UTC) + than_now)
    sending: Any = sender._sending()
    sending.engine._clock = clock
    object.__setattr__(sending, "clock", clock)
    object.__setattr__(sweeper._sweeper().services.house, "clock", clock)


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


def test_a_function_that_cannot_have_its_keys_starts_when_it_can(
    stack: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    key = stack.env["REPORT_REMOVE_KMS_KEY"]
    kms = a_client("kms")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    status, problem = stack.asked("GET", "/health/live")
    assert (status, problem["code"]) == (503, "store-unavailable")
    assert "pending deletion" in capfd.readouterr().err
    with pytest.raises(StartRefused, match="pending deletion"):
        stack.relay([])
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
    monkeypatch.setattr(session, "_credentials", credentials)
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


STORE_FAULTS = [
    ("ThrottlingException", 400),
    ("ProvisionedThroughputExceededException", 400),
    ("InternalServerError", 500),
    ("ServiceUnavailable", 503),
    ("TransactionConflictException", 400),
    ("ExpiredTokenException", 400),
    ("InvalidSignatureException", 400),
]


@pytest.mark.parametrize(("code", "status"), STORE_FAULTS)
def test_a_report_that_could_not_be_kept_is_refused_and_the_same_again_is_kept_once(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    body = json.loads(report_body(a_case_key(), "declared-v1", "13_15", [a_photo()]))
    with Platform() as platform:
        stack.add_platform(platform.url)
        store = store_of_api(monkeypatch)
        with away(store_client(store), "TransactWriteItems", status, code):
            answered, problem = stack.asked("POST", "/v1/reports", body, key="the-same-key-again")
            assert (answered, problem["code"]) == (503, "store-unavailable")
        for _ in range(2):
            said = stack.asked("POST", "/v1/reports", body, key="the-same-key-again")
            assert said[0] == 201
        stack.relay()
        stack.send(stack.first)
    assert list(told(platform).values()) == [1]


def test_a_report_whose_answer_from_the_table_was_lost_is_kept_once(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        store = store_of_api(monkeypatch)
        lost = away(
            store_client(store), "TransactWriteItems", 500, "InternalServerError", after=True
        )
        with lost as fault:
            fault.at_most = 1
            report(stack, a_case_key())
        stack.relay()
        stack.send(stack.first)
    assert list(told(platform).values()) == [1]


def store_of_api(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store of the function that answers, made now; it gives up soon."""
    made: list[Any] = []

    def noted(*given: Any, **more: Any) -> Any:
        made.append(foundation(*given, **more))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(api, "foundation", noted)
        api._application()
    made[0].store._table._patience = 0.2
    return made[0].store


def test_without_its_table_the_service_says_so_and_begins_when_it_is_there(
    stack: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    stack.dynamodb.delete_table(TableName=stack.table)
    status, problem = stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})
    assert (status, problem["code"]) == (503, "store-unavailable")
    assert "ResourceNotFoundException" in capfd.readouterr().err
    with pytest.raises(StartRefused, match="ResourceNotFoundException"):
        stack.sweep()
    create_table(stack.dynamodb, stack.table, ttl=False)
    assert stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})[0] == 404
    stack.sweep()


def test_a_platform_suspended_between_claim_and_post_is_not_told_until_it_is_back(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with Platform() as platform:
        made = stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        store: Any = sender._sending().engine._store
        claim: Callable[..., Any] = store.claim
        manage = stack.operator().services.manage_partners

        def then_suspended(*asked: Any) -> Any:
            taken = claim(*asked)
            manage.suspend(made["partner_id"])
            return taken

        with monkeypatch.context() as patch:
            patch.setattr(store, "claim", then_suspended)
            assert stack.send(stack.first) == []
        assert platform.received == []
        manage.resume(made["partner_id"])
        time.sleep(0.1)
        stack.sweep()
        stack.send(stack.retry)
    assert list(told(platform).values()) == [1]


def test_dead_letters_that_are_moved_back_are_posted_once(stack: Cloud) -> None:
    """The store was away so long that a message ended there; the same message twice, even."""
    with Platform() as platform:
        stack.add_platform(platform.url)
        report(stack, a_case_key())
        stack.relay()
        (record,) = stack.take(stack.first)
        stack.sqs.delete_message(QueueUrl=stack.first, ReceiptHandle=record["receiptHandle"])
        for _ in range(2):
            stack.sqs.send_message(QueueUrl=stack.dead, MessageBody=record["body"])
        for letter in stack.take(stack.dead):  # as StartMessageMoveTask, which the emulator lacks
            stack.sqs.send_message(QueueUrl=stack.first, MessageBody=letter["body"])
            stack.sqs.delete_message(QueueUrl=stack.dead, ReceiptHandle=letter["receiptHandle"])
        assert len(stack.take(stack.first)) == 2
        stack.send(stack.first)
        assert stack.take(stack.first) == stack.take(stack.dead) == []
    assert list(told(platform).values()) == [1]


def test_a_clock_that_aws_does_not_believe_erases_nothing(
    stack: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years ahead, everything is over; but the clock that says so signs each request too."""
    case_key = a_case_key()
    report(stack, case_key)
    house = purge._services().house
    ahead = SimpleNamespace(now=lambda: datetime.now(UTC) + timedelta(days=5_000))
    object.__setattr__(house, "clock", ahead)
    client: Any = store_client(house.store)
    client.meta.events.register("before-send.dynamodb", _too_old)
    with pytest.raises(FunctionFailed):
        purge.handler({}, Context())
    assert stack.asked("POST", "/v1/case/open", {"case_key": case_key})[0] == 200
    client.meta.events.unregister("before-send.dynamodb", _too_old)
    purge.handler({}, Context())  # the same, believed, shows that there was something to erase
    stack.new_sandboxes()
    case = stack.asked("POST", "/v1/case/open", {"case_key": case_key})[1]
    assert case.get("code") == "case-not-found" or not case["items"][0].get("hashes")


def _too_old(request: Any, **_: Any) -> Any:
    return aws_answer(request.url, 400, "InvalidSignatureException")
