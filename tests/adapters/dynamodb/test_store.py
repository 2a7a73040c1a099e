"""What only this store promises: how it asks, how often, and that it reads to the end."""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import app.adapters.dynamodb
from app.adapters.dynamodb import keys, rows
from app.adapters.dynamodb.keys import Sequence, Shards, Shelf
from app.adapters.dynamodb.schema import STREAM_FILTER, TABLE
from app.adapters.dynamodb.store import DynamoStore
from app.adapters.rows import AUDIT, CASE, EVENT, ITEM, MESSAGE, NOTICE
from app.domain.errors import AgeTokenSpent, Contested
from app.ports import (
    AddAudit,
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    CloseEvent,
    PutItem,
    Remember,
    SaveCase,
    SaveMessage,
    SaveNotice,
    SavePartner,
    SpendToken,
    Unreadable,
)
from partners.model import (
    Delivered,
    DeliveryResult,
    Feedback,
    MessageState,
    NoticeId,
    PartnerId,
    Word,
)
from tests.adapters.dynamodb.conftest import Rig
from tests.adapters.dynamodb.faults import Fault, Recorder, give
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
    an_entry,
    an_event,
    an_item,
)

INSTANT = timedelta(microseconds=1)
LONG_AGO = NOW - 1000 * DAY


def _every_request_path(rig: Rig) -> Iterator[tuple[str, Counter[str]]]:
    """Each way into the store, and the operations that it took."""
    store, recorder = rig.store, Recorder(rig.client)

    def took(name: str) -> tuple[str, Counter[str]]:
        asked = Counter(recorder.names)
        recorder.forget()
        return name, asked

    case, changes = a_report()
    notice, partner = a_notice(case), a_partner()
    message, answer = a_message(notice_id=notice.id), an_answer()
    store.commit(SavePartner(partner))
    yield took("partner saved")
    store.commit(*changes, Remember(answer), SpendToken(os.urandom(32), NOW + DAY))
    yield took("report")
    store.commit(AddNotice(notice), AddMessage(message))
    yield took("first expansion")
    more = a_notice(case, item_number=2)
    store.commit(AddNotice(more), AddMessage(a_message(notice_id=more.id, due_at=NOW + DAY)))
    yield took("expansion")
    store.commit(SpendToken(os.urandom(32), NOW))
    yield took("token")
    store.commit(SaveNotice(replace(more, version=2)))
    yield took("feedback")
    assert store.case_by_key(case.key_tag) == case
    yield took("case_by_key")
    assert store.case(case.id) == case
    yield took("case")
    assert len(store.items(case.id)) == 1
    yield took("items")
    assert len(store.notices_of(case.id)) == 2
    yield took("notices_of")
    assert store.partners() == (partner,)
    yield took("partners, first")
    assert store.partners() == (partner,)
    yield took("partners")
    assert store.partner(partner.id) == partner
    yield took("partner")
    assert store.remembered(answer.tag, NOW) == answer
    yield took("remembered")
    assert store.duplicates(os.urandom(32)) == 0
    yield took("duplicates")
    assert len(store.open_events(9)) == 1
    yield took("open_events")
    assert len(store.due(NOW, 9)) == 1
    yield took("due")
    (claimed,) = store.claim([message.id], NOW, MINUTE)
    yield took("claim")
    done = replace(claimed, state=MessageState.DELIVERED, due_at=None, attempts=1)
    clock = Delivered(notice.id, NOW, NOW + DAY)
    store.finish([DeliveryResult(done, an_attempt(claimed), clock)])
    yield took("finish")
    assert store.claim_due(NOW, 9, MINUTE) == []
    yield took("nothing to claim")
    assert store.next_due_at() == NOW + DAY
    yield took("next_due_at")
    page, _ = store.messages(partner_id=message.partner_id, states=[MessageState.PENDING])
    assert len(page) == 1
    yield took("messages")
    assert len(store.attempts(message.id)) == 1
    yield took("attempts")
    assert len(store.audit_of(case.id)) == 1
    yield took("audit_of")
    assert len(store.cases_to_sweep(NOW + 31 * DAY, 9)) == 1
    yield took("cases_to_sweep")
    assert len(store.notices_overdue(NOW + 2 * DAY, 9)) == 1
    yield took("notices_overdue")
    store.commit(CloseEvent(store.open_events(9)[0].id))
    yield took("close")
    store.ping()
    yield took("ping")
    store.purge_case(case.id)
    yield took("purge")
    assert store.drop_expired(NOW + 2 * DAY, NOW, NOW) > 0
    yield took("janitor")


def test_no_path_scans_and_each_asks_as_little_as_keys_md_says(rig: Rig) -> None:
    asked = dict(_every_request_path(rig))
    assert not any("Scan" in operations for operations in asked.values())
    get, query, batch, transact = "GetItem", "Query", "BatchGetItem", "TransactWriteItems"
    assert asked["partner saved"] == {transact: 1}
    assert asked["report"] == {transact: 1}
    assert asked["first expansion"] == {get: 1, "UpdateItem": 1, transact: 1}
    assert asked["expansion"] == {transact: 1}
    assert asked["token"] == asked["feedback"] == {"PutItem": 1}
    assert asked["case_by_key"] == {get: 2}
    assert asked["case"] == asked["partner"] == asked["remembered"] == asked["ping"] == {get: 1}
    assert asked["items"] == asked["attempts"] == asked["audit_of"] == {query: 1}
    assert asked["notices_of"] == {query: 1, batch: 1}
    assert asked["partners, first"] == {get: 1, batch: 1}
    assert asked["partners"] == {get: 1}
    assert asked["duplicates"] == {query: 1}
    assert asked["open_events"] == asked["due"] == {query: 8, batch: 1}
    assert asked["claim"] == {batch: 1, "UpdateItem": 1}
    assert asked["finish"] == {transact: 1}
    assert asked["nothing to claim"] == asked["next_due_at"] == {query: 8}
    assert asked["messages"] == {query: 1, batch: 1}
    assert asked["cases_to_sweep"] == asked["notices_overdue"] == {query: 8, batch: 1}


def test_only_the_archive_knows_how_to_scan() -> None:
    folder = Path(str(app.adapters.dynamodb.__file__)).parent
    scans = {
        file.name
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value == "scan"
    }
    assert scans == {"archive.py"}


def test_a_case_of_more_than_a_page_is_read_whole(rig: Rig) -> None:
    """A page of DynamoDB ends at 1 MB."""
    case, recorder = a_case(), Recorder(rig.client)
    items = [an_item(case, number, sealed_hashes=os.urandom(60_000)) for number in range(1, 51)]
    rig.store.commit(AddCase(case), *map(PutItem, items))
    recorder.forget()
    assert rig.store.items(case.id) == items
    assert len(recorder.names) == 3
    rig.store.purge_case(case.id)
    assert rig.truth.items(case.id) == []


def test_a_duplicate_is_counted_past_a_page(rig: Rig) -> None:
    def page(count: int, **more: Any) -> Any:
        return give({"Items": [], "Count": count, **more})

    last = {"pk": {"S": "case#a"}, "sk": {"S": "item#1"}, "kin": {"S": "x"}}
    second = Fault(rig.client, "Query", page(3), times=0)
    first = Fault(rig.client, "Query", page(4, LastEvaluatedKey=last))
    first_act = first._act

    def then(request: Any) -> Any:
        second.left = 1
        return first_act(request)

    first._act = then
    assert rig.store.duplicates(b"tag") == 7


def test_many_notices_of_a_case_are_read_in_batches(rig: Rig) -> None:
    case = a_case()
    notices = [a_notice(case, item_number=number) for number in range(1, 251)]
    for start in range(0, 250, 50):
        rig.store.commit(*map(AddNotice, notices[start : start + 50]))
    recorder = Recorder(rig.client)
    assert rig.store.notices_of(case.id) == notices
    assert Counter(recorder.names) == {"Query": 1, "BatchGetItem": 3}


def test_a_repeated_expansion_lists_each_notice_once(rig: Rig) -> None:
    case = a_case()
    notices = [a_notice(case, item_number=number) for number in range(1, 4)]
    rig.store.commit(*map(AddNotice, notices[:2]))
    rig.store.commit(*map(AddNotice, notices))
    assert rig.store.notices_of(case.id) == notices


def test_partners_are_read_again_once_they_changed_elsewhere(rig: Rig) -> None:
    partners = [a_partner(created_at=NOW + n * MINUTE) for n in range(120)]
    for partner in partners:
        rig.truth.commit(SavePartner(partner))
    assert rig.store.partners() == tuple(partners)
    changed = replace(partners[7], name="Other", version=2)
    rig.truth.commit(SavePartner(changed))
    recorder = Recorder(rig.client)
    assert rig.store.partners()[7] == changed
    assert [len(b.get("RequestItems", {}).get(rig.table, {}).get("Keys", ()))
            for b in recorder.bodies] == [0, 1]  # fmt: skip
    assert rig.store.partner(changed.id) == changed


def test_messages_of_every_partner_come_in_one_order(rig: Rig) -> None:
    names = [PartnerId(f"ptn_{n}") for n in range(5)]
    messages = [a_message(partner_id=names[n * 7 % 5]) for n in range(30)]
    for message in messages:
        rig.truth.commit(AddMessage(message))
    seen, after = [], ""
    while True:
        page, cursor = rig.store.messages(after=after, limit=4)
        seen += page
        if cursor is None:
            break
        after = cursor
    assert seen == messages


def test_a_message_that_moved_since_the_index_knew_is_left_out_of_a_page(rig: Rig) -> None:
    message = a_message()
    rig.truth.commit(AddMessage(message))
    cancelled = replace(message, state=MessageState.CANCELLED, due_at=None, claim=1)
    rig.truth.commit(SaveMessage(cancelled))
    row = {"pk": {"S": f"message#{message.id}"}, "sk": {"S": "message"}, "seq": {"S": "1"}}
    Fault(rig.client, "Query", give({"Items": [row], "Count": 1}))
    assert rig.store.messages(partner_id=message.partner_id, states=[MessageState.PENDING]) == (
        [],
        None,
    )


def test_a_notice_decided_before_its_delivery_leaves_the_deadlines(rig: Rig) -> None:
    """The partner answered faster than we could write down that it had the request."""
    notice = a_notice(a_case())
    message = a_message(notice_id=notice.id)
    rig.store.commit(AddNotice(notice), AddMessage(message))
    (claimed,) = rig.store.claim_due(NOW, 1, MINUTE)
    said = replace(notice, feedback=Feedback(Word.REMOVED, NOW), version=2)
    rig.store.commit(SaveNotice(said))
    clock = Delivered(notice.id, NOW, NOW + MINUTE)
    rig.store.finish([DeliveryResult(claimed, None, clock)])
    recorder = Recorder(rig.client)
    assert rig.store.notices_overdue(NOW + DAY, 10) == []
    assert recorder.names.count("UpdateItem") == 1
    recorder.forget()
    assert rig.store.notices_overdue(NOW + DAY, 10) == []
    assert "BatchGetItem" not in recorder.names  # it stands there no more
    assert rig.store.notice(notice.id) == replace(
        said, delivered_at=NOW, deadline_at=NOW + MINUTE, version=3
    )


def test_an_expired_answer_frees_its_key_when_it_is_met(rig: Rig) -> None:
    """AWS may be days late to drop it."""
    old = an_answer(expires_at=NOW)
    rig.store.commit(Remember(old))
    with pytest.raises(Contested):
        rig.store.commit(Remember(replace(old, expires_at=NOW + DAY)))
    assert rig.store.remembered(old.tag, NOW) is None
    new = replace(old, answer=b"new", expires_at=NOW + DAY)
    rig.store.commit(Remember(new))
    assert rig.store.remembered(old.tag, NOW) == new


def test_the_janitor_leaves_a_row_that_was_made_anew(rig: Rig) -> None:
    old = an_answer(expires_at=NOW)
    rig.truth.commit(Remember(old))
    new = replace(old, expires_at=NOW + DAY)

    def make_anew(_: Any) -> None:
        rig.truth.remembered(old.tag, NOW)
        rig.truth.commit(Remember(new))

    Fault(rig.client, "DeleteItem", make_anew)
    assert rig.store.drop_expired(NOW, LONG_AGO, LONG_AGO) == 0
    assert rig.truth.remembered(old.tag, NOW) == new


def test_a_purge_leaves_a_key_that_another_case_took(rig: Rig) -> None:
    case = a_case()
    rig.truth.commit(AddCase(case))
    rig.client.delete_item(TableName=rig.table, Key=rows.key_row(keys.case_key(case.key_tag)))
    other = a_case(key_tag=case.key_tag)
    rig.truth.commit(AddCase(other))
    rig.store.purge_case(case.id)
    assert rig.truth.case(case.id) is None
    assert rig.truth.case_by_key(case.key_tag) == other


def test_what_expires_says_so_to_dynamodb(rig: Rig) -> None:
    token, answer = SpendToken(os.urandom(32), NOW), an_answer()
    message = a_message()
    rig.store.commit(token, Remember(answer), AddMessage(message), AddCase(a_case()))
    (claimed,) = rig.store.claim_due(NOW, 1, MINUTE)
    attempt = an_attempt(claimed)
    rig.store.finish([DeliveryResult(claimed, attempt)])
    found = rig.client.scan(TableName=rig.table)["Items"]
    ends = {row["sk"]["S"].split("#")[0]: row for row in found if "expires" in row}
    assert ends.keys() == {"token", "answer", "attempt"}
    seconds = int(NOW.timestamp())
    for name, kept in (("token", 0), ("answer", 86_400), ("attempt", 30 * 86_400)):
        assert 0 < int(ends[name]["expires"]["N"]) - seconds - kept <= 2


def test_a_unit_that_changes_a_row_twice_is_refused(rig: Rig) -> None:
    case, token = a_case(), SpendToken(os.urandom(32), NOW)
    rig.store.commit(AddCase(case))
    with pytest.raises(AgeTokenSpent):
        rig.store.commit(token, token)
    saved = [SaveCase(replace(case, version=n)) for n in (2, 3)]
    with pytest.raises(Contested):
        rig.store.commit(*saved)
    assert rig.store.case(case.id) == case
    items = [an_item(case), an_item(case)]
    rig.store.commit(*map(PutItem, items))
    assert rig.store.items(case.id) == items[1:]


def test_two_results_of_one_message_and_of_one_notice_are_both_stored(rig: Rig) -> None:
    notice = a_notice(a_case())
    messages = [a_message(notice_id=notice.id) for _ in range(2)]
    rig.store.commit(AddNotice(notice), *map(AddMessage, messages))
    claimed = rig.store.claim_due(NOW, 10, MINUTE)
    clocks = [Delivered(notice.id, NOW + n * MINUTE, NOW + DAY) for n in range(2)]
    results = [
        DeliveryResult(one, an_attempt(one), clock)
        for one, clock in zip(claimed, clocks, strict=True)
    ]
    rig.store.finish([*results, *results])
    for message in claimed:
        assert len(rig.store.attempts(message.id)) == 1
    stored = rig.store.notice(notice.id)
    assert stored is not None
    assert (stored.delivered_at, stored.version) == (NOW, 2)


def test_a_result_without_its_notice_is_stored_all_the_same(rig: Rig) -> None:
    rig.store.commit(AddMessage(a_message()))
    (claimed,) = rig.store.claim_due(NOW, 1, MINUTE)
    done = replace(claimed, state=MessageState.DELIVERED, due_at=None)
    clock = Delivered(NoticeId("itm_gone"), NOW, NOW + DAY)
    rig.store.finish([DeliveryResult(done, an_attempt(claimed), clock)])
    assert rig.store.message(done.id) == done
    assert rig.store.notice(NoticeId("itm_gone")) is None


def test_the_stream_tells_of_new_events_by_their_keys(rig: Rig) -> None:
    assert TABLE["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    prefix = STREAM_FILTER["dynamodb"]["Keys"]["pk"]["S"][0]["prefix"]
    case, changes = a_report()
    event = an_event(case)
    rig.store.commit(*changes[:-1], AddEvent(event), Remember(an_answer()))
    found = rig.client.scan(TableName=rig.table)["Items"]
    told = [row["pk"]["S"] for row in found if row["pk"]["S"].startswith(prefix)]
    assert told == [f"event#{event.id}"]
    assert rig.store.events_named([event.id]) == [event]


def test_a_bad_event_stands_among_the_good_ones(rig: Rig) -> None:
    events = [an_event(a_case()) for _ in range(3)]
    for event in events:
        rig.store.commit(AddEvent(event))
    rig.client.update_item(
        TableName=rig.table,
        Key=rows.key_row(keys.event(events[1].id)),
        UpdateExpression="SET #t = :t",
        ExpressionAttributeNames={"#t": "type"},
        ExpressionAttributeValues={":t": {"S": "removal.unheard"}},
    )
    bad = Unreadable(events[1].id, "ValueError")
    assert rig.store.open_events(9) == [events[0], bad, events[2]]
    assert rig.store.events_named([event.id for event in events]) == [events[0], bad, events[2]]


def test_keys_tell_ids_and_tags_only() -> None:
    """In a key, or beside the columns, is nothing but an id, a tag, a state or a time."""
    shards = Shards(8)
    case = a_case()
    item, entry, event = an_item(case), an_entry(case), an_event(case)
    message, notice = a_message(), a_notice(case, deadline_at=NOW)
    row = rows.item_item(item)
    assert row.keys() - set(ITEM) == {"pk", "sk", "kin"}
    assert item.sealed_hashes is not None
    whole = repr({name: row[name] for name in ("pk", "sk", "kin")})
    assert keys.by_tag(item.sealed_hashes)[:20] not in whole
    for columns, made in (
        (CASE, rows.case_item(case, shards)),
        (AUDIT, rows.audit_item(entry, shards)),
        (EVENT, rows.event_item(event, shards, "1")),
        (NOTICE, rows.notice_item(notice, shards)),
        (MESSAGE, rows.message_item(message, shards, "1")),
    ):
        extra = made.keys() - set(columns)
        assert extra <= {"pk", "sk", "bucket", "bucket_at", "kin", "roll", "seq"}


def test_the_due_are_spread_over_all_shards() -> None:
    shards = Shards(8)
    used = Counter(shards.of(Shelf.DUE, a_message().id) for _ in range(4_000))
    assert set(used) == set(shards.all(Shelf.DUE))
    assert max(used.values()) < 650  # 500 each; six standard deviations are 125


def test_more_shards_find_what_fewer_stored(rig: Rig) -> None:
    few = DynamoStore(rig.client, rig.table, shards=2)
    messages = [a_message() for _ in range(20)]
    few.commit(*map(AddMessage, messages))
    many = DynamoStore(rig.client, rig.table, shards=5)
    assert len(many.claim_due(NOW, 100, MINUTE)) == 20


def test_names_of_one_process_sort_as_they_were_given() -> None:
    sequence = Sequence()
    names = [sequence.next() for _ in range(10_000)]
    assert names == sorted(names)
    assert len({name[:14] for name in names}) == 10_000
    assert Sequence.checked(names[0]) == names[0]


def test_the_adapter_does_not_load_boto3_by_itself() -> None:
    """A function that never asks the store starts without it; whoever makes a client pays."""
    folder = Path(str(app.adapters.dynamodb.__file__)).parent
    for file in folder.glob("*.py"):
        assert "import boto3" not in file.read_text()
        assert "import sqlite3" not in file.read_text()


def test_audit_entries_of_a_purged_case_stay_until_their_time(rig: Rig) -> None:
    case = a_case()
    rig.store.commit(AddCase(case), AddAudit(an_entry(case)), AddAudit(an_entry(case, 2)))
    assert rig.store.drop_expired(NOW, LONG_AGO, NOW + DAY) == 0
    rig.store.purge_case(case.id)
    assert rig.store.drop_expired(NOW, LONG_AGO, NOW) == 0
    assert rig.store.drop_expired(NOW, LONG_AGO, NOW + INSTANT) == 2
    assert rig.client.scan(TableName=rig.table)["Count"] == 0
