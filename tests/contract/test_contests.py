"""Many at once: one wins, each hears the truth, nothing is taken twice."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain

from app.domain.audit import AuditEntry
from app.domain.case import Case
from app.domain.errors import AgeTokenSpent, CaseKeyTaken, Contested, ReportRemoveError
from app.ports import AddAudit, AddCase, AddMessage, SaveCase, SpendToken, Store
from partners.model import DeliveryResult, MessageState
from tests.contract.samples import (
    MINUTE,
    NOW,
    a_case,
    a_message,
    a_report,
    an_attempt,
    an_entry,
)

THREADS = 16


def _at_once(count: int, act: Callable[[int], object]) -> list[object]:
    """The results of `act` with 0, 1, 2 …, all started together; a refusal is a result too."""
    start = threading.Barrier(count)

    def run(number: int) -> object:
        start.wait()
        try:
            return act(number)
        except ReportRemoveError as refusal:
            return type(refusal)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def _save_at_once(stores: list[Store], case: Case) -> tuple[Case, AuditEntry]:
    """What the one winner of sixteen wrote over the last version of `case`."""
    rivals = [replace(case, item_count=n, version=case.version + 1) for n in range(THREADS)]
    entries = [an_entry(case, case.version + 1, reason=str(n)) for n in range(THREADS)]
    results = _at_once(
        THREADS, lambda n: stores[n % 2].commit(SaveCase(rivals[n]), AddAudit(entries[n]))
    )
    assert results.count(None) == 1
    assert results.count(Contested) == THREADS - 1
    winner = results.index(None)
    return rivals[winner], entries[winner]


def test_of_sixteen_savers_of_one_version_one_wins(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    case, entries = a_case(), []
    stores[0].commit(AddCase(case))
    for _ in range(10):
        case, entry = _save_at_once(stores, case)
        entries.append(entry)
        assert stores[0].case(case.id) == stores[1].case(case.id) == case
    assert stores[1].audit_of(case.id) == entries


def test_a_token_spent_by_sixteen_opens_one_case(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    token, cases = SpendToken(os.urandom(32), NOW), [a_case() for _ in range(THREADS)]
    results = _at_once(THREADS, lambda n: stores[n % 2].commit(AddCase(cases[n]), token))
    assert results.count(None) == 1
    assert results.count(AgeTokenSpent) == THREADS - 1
    kept = [stores[0].case(case.id) for case in cases]
    assert [case is not None for case in kept] == [result is None for result in results]


def test_a_key_taken_by_sixteen_opens_one_case(store: Store) -> None:
    key_tag = os.urandom(32)
    cases = [a_case(key_tag=key_tag) for _ in range(THREADS)]
    results = _at_once(THREADS, lambda n: store.commit(AddCase(cases[n])))
    assert results.count(None) == 1
    assert results.count(CaseKeyTaken) == THREADS - 1
    assert store.case_by_key(key_tag) == cases[results.index(None)]


def test_everything_accepted_at_once_is_there(store: Store) -> None:
    reports = [[a_report() for _ in range(10)] for _ in range(THREADS)]

    def report_all(mine: int) -> None:
        for _, changes in reports[mine]:
            store.commit(*changes)

    assert set(_at_once(THREADS, report_all)) == {None}
    for case, _ in chain.from_iterable(reports):
        assert store.case(case.id) == case
        assert len(store.items(case.id)) == len(store.audit_of(case.id)) == 1
    assert len(store.open_events(1000)) == THREADS * 10


def test_no_message_is_taken_twice_within_a_lease(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    waiting = [a_message() for _ in range(300)]
    for first in range(0, 300, 100):
        stores[0].commit(*(AddMessage(message) for message in waiting[first : first + 100]))
    taken: list[str] = []

    def work(number: int) -> None:
        store = stores[number % 2]
        while claimed := store.claim_due(NOW, 7, MINUTE):
            taken.extend(message.id for message in claimed)
            done = [
                replace(one, state=MessageState.DELIVERED, due_at=None, attempts=1)
                for one in claimed
            ]
            store.finish([DeliveryResult(one, an_attempt(one)) for one in done])

    assert set(_at_once(8, work)) == {None}
    assert sorted(taken) == sorted(message.id for message in waiting)
    assert stores[0].messages(states=[MessageState.PENDING]) == ([], None)
