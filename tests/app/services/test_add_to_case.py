"""More for a case: new items, or more hashes for one that it holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.domain.audit import Action, unbroken
from app.domain.case import MediaKind
from app.domain.errors import BadReport, CaseClosed, CaseNotFound, Contested, KeyReused, TooMuch
from app.domain.report import ItemDraft
from app.services.items import open_hashes
from partners.events import EventType
from partners.model import PartnerId
from partners.ports import Purpose
from tests.app.services.world import (
    World,
    a_case_key,
    a_digest,
    a_pdq,
    a_photo,
    a_request,
    said,
)

ROUTE = "/v1/case/items"


def _add(world: World, key: bytes, *drafts: ItemDraft) -> bytes:
    return world.services.add_to_case(key, drafts, a_request(route=ROUTE))


def test_an_item_is_added_and_told_to_the_platforms_too(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    assert said(_add(world, key, a_photo())) == {"received": True, "items": 1}
    world.expand()
    assert world.case(key).item_count == 2
    assert [notice.item_number for notice in world.notices(key)] == [1, 2]
    told = [message.event_type for message in world.messages(partner=partner)]
    assert told == [EventType.REMOVAL_REQUESTED] * 2


def test_more_hashes_for_an_item_are_an_update_of_the_same_item(world: World) -> None:
    partner, first, more = world.platform(), a_photo(), a_digest()
    key = world.report(first)
    world.expand()
    _add(world, key, a_photo(entries=(*first.entries, more), extends=1))
    world.expand()
    (item,) = world.house.store.items(world.case(key).id)
    assert open_hashes(world.house, item) == (*first.entries, more)
    asked, updated = world.messages(partner=partner)
    assert (asked.event_type, updated.event_type) == (
        EventType.REMOVAL_REQUESTED,
        EventType.REMOVAL_UPDATED,
    )
    assert asked.notice_id == updated.notice_id
    assert updated.deadline == asked.deadline


def test_the_chain_of_audit_entries_goes_on(world: World) -> None:
    key = world.report()
    _add(world, key, a_photo())
    entries = world.house.store.audit_of(world.case(key).id)
    assert [entry.action for entry in entries] == [Action.REPORTED, Action.ITEMS_ADDED]
    assert unbroken(entries, lambda value: world.house.keys.tag(Purpose.AUDIT, value))


def test_an_unknown_key_finds_nothing_to_add_to(world: World) -> None:
    with pytest.raises(CaseNotFound):
        _add(world, a_case_key(), a_photo())


def test_nothing_is_added_once_withdrawn(world: World) -> None:
    key = world.report()
    world.services.withdraw_case(key)
    with pytest.raises(CaseClosed):
        _add(world, key, a_photo())


def test_a_repeat_adds_nothing_and_another_body_is_refused(world: World) -> None:
    key, request, draft = world.report(), a_request(route=ROUTE), a_photo()
    first = world.services.add_to_case(key, [draft], request)
    assert world.services.add_to_case(key, [draft], request) == first
    assert world.case(key).item_count == 2
    with pytest.raises(KeyReused):
        world.services.add_to_case(key, [draft], replace(request, body_digest=b"another"))


def test_a_repeat_is_answered_as_before_although_the_case_was_withdrawn_since(
    world: World,
) -> None:
    key, request, draft = world.report(), a_request(route=ROUTE), a_photo()
    first = world.services.add_to_case(key, [draft], request)
    world.services.withdraw_case(key)
    assert world.services.add_to_case(key, [draft], request) == first


def test_a_case_holds_as_many_items_as_the_setting_says(make_world: Callable[..., World]) -> None:
    world = make_world(MAX_ITEMS_PER_CASE="3")
    key = world.report(a_photo(), a_photo())
    with pytest.raises(TooMuch):
        _add(world, key, a_photo(), a_photo())
    _add(world, key, a_photo())
    _add(world, key, a_photo(entries=(a_digest(),), extends=1))  # takes no place of its own
    assert world.case(key).item_count == 3


def test_the_largest_case_and_the_largest_addition_are_one_commit_each(world: World) -> None:
    key = world.report(*(a_photo() for _ in range(25)))
    grown = [a_photo(entries=(a_digest(),), extends=n) for n in range(1, 26)]
    _add(world, key, *grown, *(a_photo() for _ in range(25)))
    assert world.case(key).item_count == 50


def test_an_item_holds_as_many_hashes_as_the_setting_says(
    make_world: Callable[..., World],
) -> None:
    world = make_world(MAX_HASHES_PER_ITEM="2")
    key = world.report(a_photo(entries=(a_pdq(), a_pdq("flipx"))))
    with pytest.raises(TooMuch):
        _add(world, key, a_photo(entries=(a_digest(),), extends=1))


@pytest.mark.parametrize(
    "draft",
    [
        a_photo(extends=2),
        a_photo(extends=1, kind=MediaKind.VIDEO),
        a_photo(PartnerId("ptn_1"), extends=1),
        a_photo(extends=1, locations={PartnerId("ptn_1"): "there"}),
    ],
    ids=["no-such-item", "other-kind", "other-platforms", "a-place"],
)
def test_an_item_that_is_extended_keeps_what_it_is(world: World, draft: ItemDraft) -> None:
    key = world.report()
    with pytest.raises(BadReport):
        _add(world, key, draft)
    assert world.case(key).version == 1


def test_one_item_cannot_be_extended_twice_at_once(world: World) -> None:
    key = world.report()
    with pytest.raises(BadReport):
        _add(world, key, a_photo(extends=1), a_photo(extends=1))


def test_two_additions_at_once_are_both_kept_or_one_is_told_to_try_again(world: World) -> None:
    key = world.report()
    together = threading.Barrier(8)

    def add(_: int) -> bool:
        together.wait()
        try:
            _add(world, key, a_photo())
        except Contested:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        added = sum(pool.map(add, range(8)))
    assert added >= 1
    assert world.case(key).item_count == 1 + added
    assert world.count("items") == 1 + added
