"""What is kept for a while is kept so long, and no longer."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from app.domain.errors import AgeTokenSpent, Contested
from app.ports import AddAudit, AddCase, AddMessage, Remember, SpendToken, Store
from partners.model import DeliveryResult
from tests.contract.samples import (
    DAY,
    MINUTE,
    NOW,
    a_case,
    a_message,
    an_answer,
    an_attempt,
    an_entry,
)

INSTANT = timedelta(microseconds=1)
LONG_AGO = NOW - 1000 * DAY


def _drop(store: Store) -> int:
    return store.drop_expired(NOW, LONG_AGO, LONG_AGO)


def test_an_answer_is_given_until_it_expires(store: Store) -> None:
    answer = an_answer(expires_at=NOW)
    store.commit(Remember(answer))
    assert store.remembered(answer.tag, NOW - INSTANT) == answer
    assert store.remembered(answer.tag, NOW) is None


def test_expired_answers_are_dropped_and_their_keys_are_free(store: Store) -> None:
    expired, kept = an_answer(expires_at=NOW), an_answer(expires_at=NOW + INSTANT)
    store.commit(Remember(expired), Remember(kept))
    assert _drop(store) == 1
    assert _drop(store) == 0
    store.commit(Remember(expired))
    with pytest.raises(Contested):
        store.commit(Remember(kept))


def test_a_spent_token_is_remembered_until_it_expires(store: Store) -> None:
    expired = SpendToken(os.urandom(32), NOW - INSTANT)
    kept = SpendToken(os.urandom(32), NOW + INSTANT)
    store.commit(expired, kept)
    assert _drop(store) == 1
    store.commit(expired)
    with pytest.raises(AgeTokenSpent):
        store.commit(kept)


def test_old_attempts_are_dropped(store: Store) -> None:
    store.commit(AddMessage(a_message()))
    (claimed,) = store.claim_due(NOW, 1, MINUTE)
    old, new = (
        an_attempt(claimed, number=number, started_at=at)
        for number, at in ((1, NOW - DAY - INSTANT), (2, NOW - DAY))
    )
    store.finish([DeliveryResult(claimed, old), DeliveryResult(claimed, new)])
    assert store.drop_expired(NOW, NOW - DAY, LONG_AGO) == 1
    assert store.attempts(claimed.id) == [new]


def test_a_chain_goes_whole_and_after_its_case(store: Store) -> None:
    living, gone, recent = a_case(), a_case(), a_case()
    old = [an_entry(case, number) for case in (living, gone) for number in (1, 2, 3)]
    mixed = [an_entry(recent, 1), an_entry(recent, 2, at=NOW + DAY)]
    store.commit(*(AddAudit(entry) for entry in old + mixed), AddCase(living))
    assert store.drop_expired(NOW, LONG_AGO, NOW + DAY) == 3
    assert store.audit_of(living.id) == old[:3]
    assert store.audit_of(gone.id) == []
    assert store.audit_of(recent.id) == mixed
    store.purge_case(living.id)
    assert store.drop_expired(NOW, LONG_AGO, NOW + DAY + INSTANT) == 5


def test_much_is_dropped_too(store: Store) -> None:
    for _ in range(25):
        store.commit(*(SpendToken(os.urandom(32), NOW - DAY) for _ in range(100)))
    assert _drop(store) == 2500
    assert _drop(store) == 0
