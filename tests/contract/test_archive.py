"""Everything can be read out and put back, as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from app.ports import (
    AddMessage,
    AddNotice,
    Record,
    Remember,
    Remembered,
    SavePartner,
    SpendToken,
    Store,
)
from app.services.move_records import KINDS
from partners.model import DeliveryResult
from tests.contract.samples import (
    DAY,
    MINUTE,
    NOW,
    a_message,
    a_notice,
    a_partner,
    a_report,
    an_answer,
    an_attempt,
)


def fill(store: Store) -> list[Record]:
    """Some of every kind; the records whose every field is known."""
    case, changes = a_report()
    answer = an_answer()
    token = SpendToken(os.urandom(32), NOW + DAY)
    notice, partner = a_notice(case), a_partner()
    messages = [a_message(notice_id=notice.id) for _ in range(7)]
    store.commit(*changes, Remember(answer), token)
    store.commit(SavePartner(partner), AddNotice(notice), *map(AddMessage, messages))
    (taken, *_) = store.claim_due(NOW, 1, MINUTE)
    tried = replace(taken, attempts=1, due_at=NOW + MINUTE)
    attempt = an_attempt(taken)
    store.finish([DeliveryResult(tried, attempt)])
    others = [message for message in messages if message.id != tried.id]
    return [case, answer, token, notice, partner, tried, attempt, *others]


def everything(store: Store, limit: int = 100) -> dict[str, list[Any]]:
    """All records of all kinds, page by page."""
    found: dict[str, list[Any]] = {}
    for name, kind in KINDS.items():
        after: str | None = ""
        while after is not None:
            page, after = store.records(kind, after, limit)
            assert len(page) <= limit
            found.setdefault(name, []).extend(page)
    return found


def _unordered(found: dict[str, list[Any]]) -> dict[str, set[Any]]:
    return {name: {repr(record) for record in records} for name, records in found.items()}


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_every_record_of_every_kind_is_read_once(store: Store, limit: int) -> None:
    known = fill(store)
    found = everything(store, limit)
    assert all(found.values())
    assert sum(map(len, found.values())) == len(known) + 3  # its item, audit entry and event
    told = {repr(record) for record in chain.from_iterable(found.values())}
    # The case's own version of the sample goes in as it is; nothing of a record may be lost.
    assert {repr(record) for record in known} <= told


def test_messages_come_in_the_order_of_their_making(store: Store) -> None:
    fill(store)
    read = [message.id for message in everything(store, 3)["message"]]
    listed, _ = store.messages(limit=100)
    assert read == [message.id for message in listed]


def test_what_was_read_out_can_be_put_back_elsewhere(
    open_store: Callable[[], Store], open_other_store: Callable[[], Store]
) -> None:
    old, new = open_store(), open_other_store()
    fill(old)
    found = everything(old)
    for _ in range(2):  # a move that is repeated changes nothing
        for records in found.values():
            new.restore(records)
    assert _unordered(everything(new)) == _unordered(found)
    assert [m.id for m in everything(new)["message"]] == [m.id for m in found["message"]]


def test_a_store_works_on_after_it_was_filled(
    open_store: Callable[[], Store], open_other_store: Callable[[], Store]
) -> None:
    old, new = open_store(), open_other_store()
    fill(old)
    found = everything(old)
    new.restore(list(chain.from_iterable(found.values())))
    (case,) = found["case"]
    assert new.case_by_key(case.key_tag) == case
    assert new.items(case.id) == found["item"]
    assert new.audit_of(case.id) == found["audit"]
    assert new.open_events(9) == found["event"]
    assert new.notices_of(case.id) == found["notice"]
    assert new.duplicates(found["item"][0].duplicate_tag) == 1
    assert new.cases_to_sweep(NOW + 31 * DAY, 9) == [case]
    assert new.attempts(found["attempt"][0].message_id) == found["attempt"]
    assert new.partners() == tuple(found["partner"])
    assert len(new.claim_due(NOW + MINUTE, 100, MINUTE)) == 7
    kept: Remembered = found["answer"][0]
    assert new.remembered(kept.tag, NOW) == kept


def test_what_is_there_stays(store: Store) -> None:
    partner = a_partner()
    store.commit(SavePartner(partner))
    store.restore([replace(partner, name="Another")])
    assert store.partner(partner.id) == partner
