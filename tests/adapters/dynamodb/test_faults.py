"""Whatever fails on the way: nothing lost, nothing doubled, a clear error, and then as before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from app.adapters.dynamodb.store import DynamoStore
from app.domain.case import Case
from app.domain.errors import AgeTokenSpent, Contested, StoreUnavailable
from app.ports import (
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    Change,
    CloseEvent,
    News,
    PutItem,
    Remember,
    SaveMessage,
    SaveNotice,
    SavePartner,
    SpendToken,
)
from partners.model import Delivered, DeliveryResult, Message, MessageState
from tests.adapters.dynamodb.conftest import Rig
from tests.adapters.dynamodb.faults import Fault, Recorder, cancel, give, lose_answer, refuse
from tests.contract.samples import (
    DAY,
    MINUTE,
    NOW,
    a_case,
    a_message,
    a_notice,
    a_partner,
    a_report,
    an_answer,
    an_attempt,
    an_event,
    an_item,
)

PASSING = [
    refuse("ProvisionedThroughputExceededException"),
    refuse("ThrottlingException"),
    refuse("RequestLimitExceeded"),
    refuse("InternalServerError", 500),
    refuse("ServiceUnavailable", 503),
    refuse("TransactionInProgressException"),
]
LASTING = [
    ("ExpiredTokenException", refuse("ExpiredTokenException")),
    ("InvalidSignatureException", refuse("InvalidSignatureException")),  # the clock is wrong
    ("UnrecognizedClientException", refuse("UnrecognizedClientException")),
    ("AccessDeniedException", refuse("AccessDeniedException")),
    ("ResourceNotFoundException", refuse("ResourceNotFoundException")),
]


def _stands(rig: Rig, case: Case) -> bool:
    """Whether a report is there; whole, or not at all."""
    parts = [
        rig.truth.case(case.id) == case,
        rig.truth.case_by_key(case.key_tag) == case,
        len(rig.truth.items(case.id)) == 1,
        len(rig.truth.audit_of(case.id)) == 1,
        len(rig.truth.open_events(10)) == 1,
    ]
    assert len(set(parts)) == 1
    return parts[0]


@pytest.mark.parametrize("act", PASSING)
def test_what_passes_is_tried_again(rig: Rig, act: Callable[[Any], Any]) -> None:
    fault = Fault(rig.client, "TransactWriteItems", act, times=3)
    case, changes = a_report()
    rig.store.commit(*changes)
    assert fault.met == 3
    assert _stands(rig, case)
    assert rig.news == [News.EVENTS]


@pytest.mark.parametrize("act", PASSING)
def test_a_read_is_tried_again(rig: Rig, act: Callable[[Any], Any]) -> None:
    case, changes = a_report()
    rig.store.commit(*changes)
    Fault(rig.client, "GetItem", act, times=2)
    Fault(rig.client, "Query", act, times=2)
    assert rig.store.case_by_key(case.key_tag) == case
    assert len(rig.store.items(case.id)) == 1


def test_what_does_not_pass_is_said_and_nothing_is_stored(rig: Rig) -> None:
    fault = Fault(rig.client, "TransactWriteItems", refuse("ThrottlingException"), times=10_000)
    case, changes = a_report()
    with pytest.raises(StoreUnavailable, match="ThrottlingException"):
        rig.store.commit(*changes)
    assert 3 < fault.met < 60  # with pauses that grow
    assert not _stands(rig, case)
    assert rig.news == []
    fault.left = 0
    rig.store.commit(*changes)
    assert _stands(rig, case)


@pytest.mark.parametrize(("word", "act"), LASTING)
def test_what_no_repeat_mends_is_said_at_once(
    rig: Rig, word: str, act: Callable[[Any], Any]
) -> None:
    fault = Fault(rig.client, "*", act, times=1)
    case, changes = a_report()
    with pytest.raises(StoreUnavailable, match=word):
        rig.store.commit(*changes)
    assert fault.met == 1
    assert not _stands(rig, case)
    rig.store.commit(*changes)
    assert _stands(rig, case)


def test_a_machine_without_credentials_says_so(rig: Rig) -> None:
    def none(_: Any) -> None:
        raise NoCredentialsError

    Fault(rig.client, "*", none)
    with pytest.raises(StoreUnavailable, match="NoCredentialsError"):
        rig.store.ping()
    rig.store.ping()


def test_an_error_names_no_address_and_no_row(rig: Rig) -> None:
    def nowhere(_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://secret.example/")

    case, changes = a_report()
    for act in (nowhere, refuse("ValidationException"), cancel("ValidationError", "None")):
        fault = Fault(rig.client, "TransactWriteItems", act, times=10_000)
        with pytest.raises(StoreUnavailable) as refusal:
            rig.store.commit(*changes)
        assert "secret" not in str(refusal.value)
        assert case.id not in str(refusal.value)
        fault.left = 0


def test_a_transaction_whose_answer_is_lost_counts_once(rig: Rig) -> None:
    recorder = Recorder(rig.client)
    fault = Fault(rig.client, "TransactWriteItems", lose_answer(rig.client))
    case, changes = a_report()
    token = SpendToken(os.urandom(32), NOW)
    rig.store.commit(*changes, token)
    assert fault.met == 1
    assert _stands(rig, case)
    tokens = [body["ClientRequestToken"] for body in recorder.bodies]
    assert len(tokens) == 2
    assert tokens[0] == tokens[1]
    with pytest.raises(AgeTokenSpent):
        rig.store.commit(token)


def test_a_transaction_is_known_again_by_its_stamp_too(rig: Rig) -> None:
    """The token is forgotten after ten minutes; DynamoDB Local remembers none."""

    recorder = Recorder(rig.client)
    case, changes = a_report()
    Fault(rig.client, "TransactWriteItems", lose_answer(rig.client))
    _other_tokens(rig.client)
    rig.store.commit(*changes)
    assert len({body["ClientRequestToken"] for body in recorder.bodies}) == 2
    assert _stands(rig, case)
    with pytest.raises(Contested):
        rig.store.commit(*changes[2:])


def _other_tokens(client: Any) -> None:
    """Each call goes out under a token of its own, as if the first were forgotten."""

    def renew(params: dict[str, Any], **_: Any) -> None:
        params["ClientRequestToken"] = os.urandom(8).hex()

    client.meta.events.register("before-parameter-build.dynamodb.TransactWriteItems", renew)


@pytest.mark.parametrize("times", [1, 3])
def test_a_single_write_whose_answer_is_lost_counts_once(rig: Rig, times: int) -> None:
    Fault(rig.client, "PutItem", lose_answer(rig.client), times)
    token = SpendToken(os.urandom(32), NOW)
    rig.store.commit(token)
    with pytest.raises(AgeTokenSpent):
        rig.store.commit(token)
    Fault(rig.client, "PutItem", lose_answer(rig.client), times)
    answer = an_answer()
    rig.store.commit(Remember(answer))
    assert rig.truth.remembered(answer.tag, NOW) == answer
    with pytest.raises(Contested):
        rig.store.commit(Remember(replace(answer, answer=b"other")))


def test_a_save_whose_answer_is_lost_counts_once(rig: Rig) -> None:
    notice = a_notice(a_case())
    rig.store.commit(AddNotice(notice))
    changed = replace(notice, withdrawn_at=NOW, version=2)
    Fault(rig.client, "PutItem", lose_answer(rig.client))
    rig.store.commit(SaveNotice(changed))
    assert rig.truth.notice(notice.id) == changed
    with pytest.raises(Contested):
        rig.store.commit(SaveNotice(changed))


def test_a_refusal_is_a_refusal_also_after_a_lost_answer(rig: Rig) -> None:
    token = SpendToken(os.urandom(32), NOW)
    rig.truth.commit(token)
    Fault(rig.client, "PutItem", refuse("InternalServerError", 500), 2)
    with pytest.raises(AgeTokenSpent):
        rig.store.commit(token)


def test_a_conflict_of_transactions_passes(rig: Rig) -> None:
    case, changes = a_report()
    reasons = ["None", "TransactionConflict", "None", "None", "None"]
    fault = Fault(rig.client, "TransactWriteItems", cancel(*reasons), times=2)
    rig.store.commit(*changes)
    assert fault.met == 2
    assert _stands(rig, case)
    fault = Fault(rig.client, "PutItem", refuse("TransactionConflictException"), times=2)
    rig.store.commit(SpendToken(os.urandom(32), NOW))
    assert fault.met == 2


@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_passes(rig: Rig, reason: str) -> None:
    case, changes = a_report()
    act = cancel("None", reason, "None", "None", "None")
    fault = Fault(rig.client, "TransactWriteItems", act, times=2)
    rig.store.commit(*changes)
    assert fault.met == 2
    assert _stands(rig, case)


def _waiting(rig: Rig, count: int = 1) -> list[Message]:
    messages = []
    for _ in range(count):
        notice = a_notice(a_case())
        messages.append(a_message(notice_id=notice.id))
        rig.truth.commit(AddNotice(notice), AddMessage(messages[-1]))
    return messages


def _result(message: Message) -> DeliveryResult:
    assert message.notice_id is not None
    done = replace(message, state=MessageState.DELIVERED, due_at=None, attempts=1)
    return DeliveryResult(done, an_attempt(message), Delivered(message.notice_id, NOW, NOW + DAY))


@pytest.mark.parametrize("count", [1, 2])
def test_a_claim_whose_answer_is_lost_is_held(rig: Rig, count: int) -> None:
    _waiting(rig, count)
    operation = "UpdateItem" if count == 1 else "TransactWriteItems"
    fault = Fault(rig.client, operation, lose_answer(rig.client))
    claimed = rig.store.claim_due(NOW, 10, MINUTE)
    assert (fault.met, len(claimed)) == (1, count)
    assert [rig.truth.message(message.id) for message in claimed] == claimed
    assert {message.claim for message in claimed} == {1}
    assert rig.truth.claim_due(NOW, 10, MINUTE) == []


def test_a_lost_answer_is_asked_for_again_however_long_it_took(rig: Rig) -> None:
    impatient = DynamoStore(rig.client, rig.table, patience=0)
    Fault(rig.client, "TransactWriteItems", lose_answer(rig.client))
    case, changes = a_report()
    impatient.commit(*changes)
    assert _stands(rig, case)
    fault = Fault(rig.client, "TransactWriteItems", refuse("ThrottlingException"), times=10)
    with pytest.raises(StoreUnavailable):
        impatient.commit(*a_report()[1])
    assert fault.met == 2


def test_what_was_taken_up_before_a_failure_is_given(rig: Rig) -> None:
    messages = [a_message() for _ in range(130)]
    for start in (0, 65):
        rig.truth.commit(*map(AddMessage, messages[start : start + 65]))
    fault = Fault(rig.client, "TransactWriteItems", _at(2, refuse("AccessDeniedException")), 2)
    claimed = rig.store.claim_due(NOW, 130, MINUTE)
    assert (fault.met, len(claimed)) == (2, 100)
    assert len(rig.store.claim_due(NOW, 130, MINUTE)) == 30


def test_a_result_whose_answer_is_lost_is_stored_once(rig: Rig) -> None:
    _waiting(rig, 3)
    results = [_result(message) for message in rig.store.claim_due(NOW, 10, MINUTE)]
    fault = Fault(rig.client, "TransactWriteItems", lose_answer(rig.client))
    rig.store.finish(results)
    assert fault.met == 1
    for result in results:
        assert rig.truth.message(result.message.id) == result.message
        assert rig.truth.attempts(result.message.id) == [result.attempt]
        assert result.delivered is not None
        notice = rig.truth.notice(result.delivered.notice_id)
        assert notice is not None
        assert (notice.version, notice.deadline_at) == (2, NOW + DAY)


def test_results_that_cannot_be_stored_can_be_stored_later(rig: Rig) -> None:
    _waiting(rig, 40)
    results = [_result(message) for message in rig.store.claim_due(NOW, 40, MINUTE)]
    Fault(rig.client, "TransactWriteItems", _at(2, refuse("AccessDeniedException")), times=2)
    with pytest.raises(StoreUnavailable):
        rig.store.finish(results)
    stored = [r for r in results if rig.truth.message(r.message.id) == r.message]
    assert 0 < len(stored) < 40  # the first transaction is through: each result is whole
    rig.store.finish(results)
    for result in results:
        assert rig.truth.message(result.message.id) == result.message
        assert rig.truth.attempts(result.message.id) == [result.attempt]


def _stale(rig: Rig, *messages: Message) -> None:
    """The index names these messages, whatever became of them since."""
    names = [{"pk": {"S": f"message#{m.id}"}, "sk": {"S": "message"}} for m in messages]
    place = {"bucket": {"S": "due#0"}, "bucket_at": {"S": f"{0:020d}"}}
    rows = [{**name, **place} for name in names]
    Fault(rig.client, "Query", give({"Items": rows, "Count": len(rows)}), times=8)


def test_an_index_that_lags_gives_nothing_twice(rig: Rig) -> None:
    (first, second, gone) = _waiting(rig, 3)
    rig.truth.claim([first.id], NOW, MINUTE)
    (claimed,) = rig.truth.claim([gone.id], NOW, MINUTE)
    rig.truth.finish([_result(claimed)])
    _stale(rig, first, gone, second, a_message())
    claimed_now = rig.store.claim_due(NOW, 10, MINUTE)
    assert [message.id for message in claimed_now] == [second.id]


def test_a_row_that_changes_between_reading_and_claiming_is_left(rig: Rig) -> None:
    first, second = _waiting(rig, 2)

    def snatch(_: Any) -> None:
        rig.truth.claim([first.id], NOW, MINUTE)

    Fault(rig.client, "TransactWriteItems", snatch)
    claimed = rig.store.claim([first.id, second.id], NOW, MINUTE)
    assert [message.id for message in claimed] == [second.id]
    assert [m.claim for m in map(rig.truth.message, (first.id, second.id)) if m] == [1, 1]


@pytest.mark.parametrize("fields", [{"claim": 1}, {"state": MessageState.FAILED}])
def test_a_row_that_moved_and_kept_its_time_is_left_too(rig: Rig, fields: dict[str, Any]) -> None:
    first, second = _waiting(rig, 2)
    moved = replace(first, **fields)

    def move(_: Any) -> None:
        if moved.claim:
            rig.truth.commit(SaveMessage(moved))
        else:
            rig.truth.finish([DeliveryResult(moved, None)])

    Fault(rig.client, "TransactWriteItems", move)
    claimed = rig.store.claim([first.id, second.id], NOW, MINUTE)
    assert [message.id for message in claimed] == [second.id]
    assert rig.truth.message(first.id) == moved


def test_an_index_that_lags_opens_no_closed_event(rig: Rig) -> None:
    event, closed = an_event(a_case()), an_event(a_case())
    rig.truth.commit(AddEvent(event), AddEvent(closed))
    rig.truth.commit(CloseEvent(closed.id))
    rows = [
        {
            "pk": {"S": f"event#{one.id}"},
            "sk": {"S": "event"},
            "bucket": {"S": "open#0"},
            "bucket_at": {"S": "0" * 20},
        }
        for one in (closed, event)
    ]
    Fault(rig.client, "Query", give({"Items": rows, "Count": 2}))
    assert rig.store.open_events(2) == [event]
    assert rig.store.events_named([closed.id, event.id]) == [event]


def test_part_of_a_batch_is_read_and_written_again(rig: Rig) -> None:
    case = a_case()
    notices = [a_notice(case, item_number=n) for n in range(5)]
    rig.truth.commit(AddCase(case), *map(AddNotice, notices))
    undone = [{"pk": {"S": f"notice#{n.id}"}, "sk": {"S": "notice"}} for n in notices]
    nothing = {"Responses": {}, "UnprocessedKeys": {rig.table: {"Keys": undone}}}
    fault = Fault(rig.client, "BatchGetItem", give(nothing), times=2)
    assert rig.store.notices_of(case.id) == notices
    assert fault.met == 2

    def put_off(request: Any) -> Any:
        return give({"UnprocessedItems": json.loads(request.body)["RequestItems"]})(request)

    fault = Fault(rig.client, "BatchWriteItem", put_off, times=2)
    rig.store.purge_case(case.id)
    assert fault.met == 2
    assert rig.truth.notices_of(case.id) == []
    assert rig.truth.case(case.id) is None


def test_a_batch_that_is_never_done_is_said(rig: Rig) -> None:
    case = a_case()
    rig.truth.commit(AddCase(case), AddNotice(a_notice(case)))
    undone = [{"pk": {"S": "notice#x"}, "sk": {"S": "notice"}}]
    nothing = {"Responses": {}, "UnprocessedKeys": {rig.table: {"Keys": undone}}}
    Fault(rig.client, "BatchGetItem", give(nothing), times=10_000)
    with pytest.raises(StoreUnavailable):
        rig.store.notices_of(case.id)


def test_a_purge_that_was_broken_off_is_done_again(rig: Rig) -> None:
    case, changes = a_report()
    notice = a_notice(case)
    message = a_message(notice_id=notice.id)
    rig.truth.commit(*changes, AddNotice(notice), AddMessage(message))
    for place in range(1, 20):
        fault = Fault(rig.client, "*", _at(place, refuse("AccessDeniedException")), 10_000)
        try:
            rig.store.purge_case(case.id)
        except StoreUnavailable:
            # While anything is left, the sweeper is told of the case again.
            assert rig.truth.cases_to_sweep(NOW + 31 * DAY, 10) == [case]
            fault.left = 0
            continue
        break
    else:
        pytest.fail("the purge never ended")
    assert place > 5
    assert rig.truth.case(case.id) is None
    assert rig.truth.notice(notice.id) is None
    assert rig.truth.message(message.id) is None
    assert rig.truth.open_events(10) == []


def _at(place: int, act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Lets the first calls through."""
    calls = iter(range(1, 10_000))
    return lambda request: act(request) if next(calls) == place else None


def test_a_listener_that_fails_is_not_the_writers_trouble(rig: Rig) -> None:
    def fall(_: News) -> None:
        raise RuntimeError

    rig.store._announce = fall
    case, changes = a_report()
    rig.store.commit(*changes)
    assert _stands(rig, case)


def _too_many() -> tuple[Case, list[Change]]:
    """A hundred changes that are more than a hundred rows."""
    case = a_case()
    notices = [a_notice(a_case()) for _ in range(40)]
    items = [PutItem(an_item(case, n)) for n in range(1, 58)]
    return case, [AddCase(case), *items, *map(AddNotice, notices), SavePartner(a_partner())]


def test_more_rows_than_a_transaction_holds_are_still_one_unit(rig: Rig) -> None:
    case, changes = _too_many()
    assert len(changes) <= 100
    rig.store.commit(*changes)
    assert rig.truth.case_by_key(case.key_tag) == case
    assert len(rig.truth.items(case.id)) == 57
    for change in changes:
        if isinstance(change, AddNotice):
            assert rig.truth.notices_of(change.notice.case_id) == [change.notice]


def test_what_went_ahead_of_a_refused_unit_is_taken_back(rig: Rig) -> None:
    token = SpendToken(os.urandom(32), NOW)
    rig.truth.commit(token)
    case, changes = _too_many()
    with pytest.raises(AgeTokenSpent):
        rig.store.commit(*changes, token)
    assert rig.truth.case_by_key(case.key_tag) is None
    assert rig.truth.partners() == ()
    again = a_case(key_tag=case.key_tag)
    rig.truth.commit(AddCase(again))
    assert rig.truth.case_by_key(case.key_tag) == again


def test_what_went_ahead_of_a_unit_of_unknown_end_stays(rig: Rig) -> None:
    case, changes = _too_many()
    Fault(rig.client, "TransactWriteItems", lose_answer(rig.client))
    denied = Fault(rig.client, "TransactWriteItems", refuse("AccessDeniedException"))
    with pytest.raises(StoreUnavailable):
        rig.store.commit(*changes)
    assert denied.met == 1
    assert rig.truth.case_by_key(case.key_tag) == case  # it was stored, and can be opened
