"""One photo of a case can be taken back; the others, and the case, stay as they are."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.audit import unbroken
from app.domain.case import CaseState
from app.domain.errors import BadReport, CaseNotFound
from partners.errors import UnknownPartner
from partners.events import EventType
from partners.model import Word
from partners.ports import Purpose
from tests.app.services.world import DAY, World, a_case_key, a_pdq, a_photo, a_request

ITEMS = "/v1/case/items"


def sealed(world: World) -> list[int]:
    """The numbers of the items whose hashes are still here."""
    rows = world.rows("SELECT number FROM items WHERE sealed_hashes IS NOT NULL ORDER BY number")
    return [number for (number,) in rows]


def test_platforms_are_told_to_forget_that_one_and_no_other(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    key = world.report(a_photo(), a_photo())
    world.expand()
    world.deliver()
    view = world.services.withdraw_item(key, 2)
    assert (view.state, view.can_change) == (CaseState.ACTIVE, True)
    assert [item.withdrawn for item in view.items] == [False, True]
    world.expand()
    told = world.deliver()
    assert [m.event_type for m in told] == [EventType.REMOVAL_WITHDRAWN] * 2
    assert {m.notice_id for m in told} == {
        world.notice(key, partner, 2).id for partner in (one, other)
    }
    waiting = {"One": "they_have_it", "Other": "they_have_it"}
    assert world.outcomes(key) == [waiting, {"One": "forgetting", "Other": "forgetting"}]


def test_its_hashes_go_with_the_last_platform_that_forgot(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    key = world.report(a_photo(), a_photo())
    world.expand()
    world.services.withdraw_item(key, 1)
    world.expand()
    world.say(one, key, Word.WITHDRAWN_DONE)
    assert sealed(world) == [1, 2]
    world.say(other, key, Word.WITHDRAWN_DONE)
    assert sealed(world) == [2]
    bare = "SELECT sealed_hashes, sealed_locations, duplicate_tag FROM items WHERE number = 1"
    assert world.rows(bare) == [(None, None, None)]
    assert world.case(key).state is CaseState.ACTIVE
    assert world.case(key).sweep_at == world.case(key).created_at + 730 * DAY
    entries = world.house.store.audit_of(world.case(key).id)
    assert unbroken(entries, lambda value: world.house.keys.tag(Purpose.AUDIT, value))
    assert [str(e.action) for e in entries if e.action.startswith("item_")] == [
        "item_withdrawn",
        "item_scrubbed",
    ]


def test_taken_back_before_anybody_was_told_nobody_is(world: World) -> None:
    partner = world.platform()
    key = world.report(a_photo(), a_photo())
    world.services.withdraw_item(key, 1)
    world.expand()
    assert [notice.item_number for notice in world.notices(key)] == [2]
    assert [m.event_type for m in world.messages(partner=partner)] == ["removal.requested"]
    assert sealed(world) == [2]
    assert world.outcomes(key) == [{}, {"Platform": "sent"}]


def test_what_waits_unsent_says_nothing_any_more(world: World) -> None:
    partner = world.platform()
    key = world.report(a_photo(), a_photo())
    world.expand()
    world.services.withdraw_item(key, 1)
    build = world.services.build_payload
    payloads = [
        build.build(message, partner, world.clock.at) for message in world.messages(partner=partner)
    ]
    assert [payload is None for payload in payloads] == [True, False]
    with pytest.raises(UnknownPartner):
        build.fetch(partner, world.notice(key, partner, 1).id)


def test_the_limit_is_for_that_item_and_the_case_goes_on(world: World) -> None:
    """No platform answers: its hashes go all the same, and the others' stay."""
    world.platform()
    key = world.report(a_photo(), a_photo(), a_photo())
    world.expand()
    world.services.withdraw_item(key, 1)
    world.expand()
    world.clock.forward(DAY)
    world.services.withdraw_item(key, 3)
    limit = world.house.retention.withdrawal_limit
    world.clock.forward(limit - DAY)
    world.services.purge_expired()
    assert (sealed(world), world.case(key).state) == ([2, 3], CaseState.ACTIVE)
    world.clock.forward(DAY)
    world.services.purge_expired()
    assert sealed(world) == [2]
    world.clock.at = world.case(key).created_at + 730 * DAY
    world.services.purge_expired()
    assert (sealed(world), world.case(key).state) == ([], CaseState.SCRUBBED)


def test_the_right_photo_can_be_added_after_the_only_one_was_wrong(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.services.withdraw_item(key, 1)
    world.services.add_to_case(key, [a_photo()], a_request(route=ITEMS))
    world.expand()
    world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.outcomes(key) == [{"Platform": "forgotten"}, {"Platform": "sent"}]


def test_no_more_hashes_for_what_was_taken_back(world: World) -> None:
    key = world.report()
    world.services.withdraw_item(key, 1)
    more = a_photo(entries=(a_pdq("flipy"),), extends=1)
    with pytest.raises(BadReport, match="taken back"):
        world.services.add_to_case(key, [more], a_request(route=ITEMS))


def test_the_whole_case_after_it_tells_of_the_rest_only(world: World) -> None:
    partner = world.platform()
    key = world.report(a_photo(), a_photo())
    world.expand()
    world.deliver()
    world.services.withdraw_item(key, 1)
    world.expand()
    world.deliver()
    world.services.withdraw_case(key)
    world.expand()
    (message,) = world.deliver()
    assert message.notice_id == world.notice(key, partner, 2).id
    world.say(partner, key, Word.WITHDRAWN_DONE, item=1)
    assert world.case(key).state is CaseState.WITHDRAWN
    world.say(partner, key, Word.WITHDRAWN_DONE, item=2)
    assert (world.case(key).state, sealed(world)) == (CaseState.SCRUBBED, [])


def test_all_items_one_by_one_and_then_the_case(world: World) -> None:
    world.platform()
    key = world.report(a_photo(), a_photo())
    for number in (1, 2):
        world.services.withdraw_item(key, number)
    assert world.services.withdraw_case(key).state is CaseState.WITHDRAWN
    world.expand()
    assert world.case(key).state is CaseState.SCRUBBED
    assert world.services.open_case(key).state is CaseState.SCRUBBED


def test_an_item_of_a_case_whose_hashes_went_for_their_age(world: World) -> None:
    partner = world.platform()
    key = world.report(a_photo(), a_photo())
    world.expand()
    world.deliver()
    world.clock.forward(730 * DAY)
    world.services.purge_expired()
    kept_until = world.case(key).sweep_at
    world.services.withdraw_item(key, 1)
    world.expand()
    assert [m.event_type for m in world.deliver()] == [EventType.REMOVAL_WITHDRAWN]
    world.say(partner, key, Word.WITHDRAWN_DONE, item=1)
    assert world.outcomes(key)[0] == {"Platform": "forgotten"}
    assert world.case(key).sweep_at == kept_until


def test_repeating_it_changes_nothing_nor_does_it_after_the_case(world: World) -> None:
    world.platform()
    key = world.report(a_photo(), a_photo())
    world.services.withdraw_item(key, 1)
    before = (world.case(key), world.count("events"))
    world.clock.forward(DAY)
    world.services.withdraw_item(key, 1)
    assert (world.case(key), world.count("events")) == before
    world.services.withdraw_case(key)
    before = (world.case(key), world.count("events"))
    world.services.withdraw_item(key, 2)
    assert (world.case(key), world.count("events")) == before


@pytest.mark.parametrize("number", [0, 2, 50])
def test_an_item_that_is_not_there_is_refused(world: World, number: int) -> None:
    key = world.report()
    with pytest.raises(BadReport, match="no such item"):
        world.services.withdraw_item(key, number)
    assert world.count("events") == 1


def test_nobody_elses_key_withdraws_it(world: World) -> None:
    world.report()
    with pytest.raises(CaseNotFound):
        world.services.withdraw_item(a_case_key(), 1)


def test_an_equal_photo_elsewhere_keeps_its_hashes(world: World) -> None:
    """A duplicate of another case is another item."""
    partner, same = world.platform(), a_pdq()
    first, second = (world.report(a_photo(entries=(same,))) for _ in range(2))
    world.expand()
    world.services.withdraw_item(first, 1)
    world.expand()
    world.say(partner, first, Word.WITHDRAWN_DONE)
    item = world.services.build_payload.fetch(partner, world.notice(second, partner).id)
    assert (item["other_reports"], len(sealed(world))) == (0, 1)


def test_taken_back_many_times_at_once_is_taken_back_once(world: World) -> None:
    key = world.report(a_photo(), a_photo())
    together = threading.Barrier(8)

    def withdraw(_: int) -> bool:
        together.wait()
        return world.services.withdraw_item(key, 2).items[1].withdrawn

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(withdraw, range(8))) == {True}
    assert (world.count("events"), world.count("audit")) == (2, 2)
