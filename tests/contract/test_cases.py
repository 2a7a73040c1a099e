"""What is found again of cases, and what is left when one is purged."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.case import CaseState
from app.ports import (
    AddAudit,
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    PutItem,
    SaveCase,
    Store,
)
from partners.model import CaseId, DeliveryResult, Feedback, MessageState, PartnerId, Word
from tests.contract.samples import (
    DAY,
    MINUTE,
    NOW,
    a_case,
    a_message,
    a_notice,
    an_attempt,
    an_entry,
    an_event,
    an_item,
)

INSTANT = timedelta(microseconds=1)


def test_duplicates_are_counted_until_they_are_scrubbed(store: Store) -> None:
    tag = os.urandom(32)
    case, other = a_case(), a_case()
    first, second = an_item(case, duplicate_tag=tag), an_item(other, duplicate_tag=tag)
    assert store.duplicates(tag) == 0
    store.commit(AddCase(case), AddCase(other), PutItem(first), PutItem(second))
    store.commit(PutItem(an_item(case, 2)), PutItem(an_item(case, 3, duplicate_tag=None)))
    assert store.duplicates(tag) == 2
    store.commit(PutItem(replace(first, sealed_hashes=None, duplicate_tag=None)))
    assert store.duplicates(tag) == 1
    store.commit(PutItem(replace(second, sealed_hashes=None)))
    assert store.duplicates(tag) == 0


def test_cases_to_sweep_come_longest_overdue_first(store: Store) -> None:
    due = [a_case(sweep_at=NOW - minutes * MINUTE) for minutes in (0, 3, 1, 2)]
    later = a_case(sweep_at=NOW + INSTANT)
    store.commit(*(AddCase(case) for case in [*due, later]))
    order = [due[1], due[3], due[2], due[0]]
    assert store.cases_to_sweep(NOW, 10) == order
    assert store.cases_to_sweep(NOW, 2) == order[:2]
    put_off = replace(due[1], sweep_at=NOW + DAY, version=2, state=CaseState.WITHDRAWN)
    store.commit(SaveCase(put_off))
    assert store.cases_to_sweep(NOW, 10) == order[1:]


def test_notices_of_a_case_come_by_item_and_partner(store: Store) -> None:
    case = a_case()
    places = [(2, "ptn_a"), (1, "ptn_b"), (1, "ptn_a"), (10, "ptn_a")]
    notices = [
        a_notice(case, item_number=number, partner_id=PartnerId(name)) for number, name in places
    ]
    store.commit(*(AddNotice(notice) for notice in notices), AddNotice(a_notice(a_case())))
    assert store.notices_of(case.id) == [notices[2], notices[1], notices[0], notices[3]]


def test_overdue_notices_come_longest_overdue_first(store: Store) -> None:
    case = a_case()
    overdue = [a_notice(case, deadline_at=NOW - minutes * MINUTE) for minutes in (1, 3, 2)]
    store.commit(*(AddNotice(notice) for notice in overdue))
    order = [overdue[1], overdue[2], overdue[0]]
    assert store.notices_overdue(NOW, 10) == order
    assert store.notices_overdue(NOW, 1) == order[:1]


@pytest.mark.parametrize("word", Word)
def test_a_final_word_ends_the_deadline(store: Store, word: Word) -> None:
    notice = a_notice(a_case(), feedback=Feedback(word, NOW), deadline_at=NOW - INSTANT)
    store.commit(AddNotice(notice))
    waiting = word in (Word.SENT, Word.ACKNOWLEDGED, Word.PENDING_REVIEW)
    assert store.notices_overdue(NOW, 10) == ([notice] if waiting else [])


@pytest.mark.parametrize(
    "fields",
    [
        {"deadline_at": None},
        {"deadline_at": NOW + INSTANT},
        {"deadline_at": NOW - DAY, "late_at": NOW},
        {"deadline_at": NOW - DAY, "withdrawn_at": NOW},
    ],
)
def test_not_overdue(store: Store, fields: dict[str, object]) -> None:
    store.commit(AddNotice(a_notice(a_case(), **fields)))
    assert store.notices_overdue(NOW, 10) == []


def test_a_purged_case_leaves_only_its_audit(store: Store) -> None:
    case, other = a_case(), a_case()
    notice, kept_notice = a_notice(case), a_notice(other)
    message, kept_message = (a_message(notice_id=one.id) for one in (notice, kept_notice))
    entry, event = an_entry(case), an_event(other)
    item, tag = an_item(other), os.urandom(32)
    store.commit(AddCase(case), PutItem(an_item(case, duplicate_tag=tag)), AddAudit(entry))
    store.commit(AddEvent(an_event(case)), AddNotice(notice), AddMessage(message))
    store.commit(AddCase(other), PutItem(item), AddEvent(event))
    store.commit(AddNotice(kept_notice), AddMessage(kept_message))
    claimed = store.claim_due(NOW, 10, MINUTE)
    store.finish([DeliveryResult(one, an_attempt(one)) for one in claimed])

    store.purge_case(case.id)
    store.purge_case(case.id)

    assert store.case(case.id) is None
    assert store.case_by_key(case.key_tag) is None
    assert not store.items(case.id)
    assert not store.notices_of(case.id)
    assert store.duplicates(tag) == 0
    assert store.notice(notice.id) is None
    assert store.message(message.id) is None
    assert store.attempts(message.id) == []
    assert store.audit_of(case.id) == [entry]

    assert store.case(other.id) == other
    assert store.items(other.id) == [item]
    assert store.notices_of(other.id) == [kept_notice]
    assert len(store.attempts(kept_message.id)) == 1
    assert store.open_events(10) == [event]
    assert [one.id for one in store.messages()[0]] == [kept_message.id]


def test_purging_what_never_was_is_harmless(store: Store) -> None:
    store.purge_case(CaseId("case_unknown"))


def test_the_key_of_a_purged_case_is_free(store: Store) -> None:
    case = a_case()
    store.commit(AddCase(case))
    store.purge_case(case.id)
    again = a_case(key_tag=case.key_tag)
    store.commit(AddCase(again))
    assert store.case_by_key(case.key_tag) == again


def test_a_result_for_a_purged_message_is_dropped(store: Store) -> None:
    case = a_case()
    notice = a_notice(case)
    store.commit(AddCase(case), AddNotice(notice), AddMessage(a_message(notice_id=notice.id)))
    (claimed,) = store.claim_due(NOW, 1, MINUTE)
    store.purge_case(case.id)
    delivered = replace(claimed, state=MessageState.DELIVERED, due_at=None)
    store.finish([DeliveryResult(delivered, an_attempt(claimed))])
    assert store.message(claimed.id) is None
    assert store.attempts(claimed.id) == []
