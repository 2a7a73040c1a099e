"""A withdrawal is possible at any time and reaches every platform that was told."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.domain.case import CaseState
from app.domain.errors import CaseNotFound, Contested
from app.services.build_payload import BuildPayload
from app.services.house import TRIES
from app.services.withdraw_case import WithdrawCase
from partners.errors import UnknownPartner
from partners.events import EventType
from partners.model import MessageState, Word
from tests.app.services.world import DAY, World, a_case_key, a_photo, a_request
from tests.partners.platforms import Platform


def test_every_platform_that_was_told_is_told_to_forget(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    key = world.report(a_photo(), a_photo(one.id))
    world.expand()
    world.deliver()
    view = world.services.withdraw_case(key)
    assert (view.state, view.can_change) == (CaseState.WITHDRAWN, False)
    world.expand()
    told = [(m.partner_id, m.event_type) for m in world.deliver()]
    assert sorted(told) == sorted(
        [(one.id, EventType.REMOVAL_WITHDRAWN)] * 2 + [(other.id, EventType.REMOVAL_WITHDRAWN)]
    )
    assert world.outcomes(key) == [
        {"One": "forgetting", "Other": "forgetting"},
        {"One": "forgetting"},
    ]


def test_hashes_go_with_the_last_platform_that_forgot(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    key = world.report()
    world.expand()
    world.services.withdraw_case(key)
    world.expand()
    world.say(one, key, Word.WITHDRAWN_DONE)
    assert world.case(key).state is CaseState.WITHDRAWN
    assert world.rows("SELECT count(*) FROM items WHERE sealed_hashes IS NOT NULL") == [(1,)]
    world.say(other, key, Word.WITHDRAWN_DONE)
    assert world.case(key).state is CaseState.SCRUBBED
    scrubbed = "SELECT sealed_hashes, sealed_locations, duplicate_tag FROM items"
    assert world.rows(scrubbed) == [(None, None, None)]
    assert world.outcomes(key) == [{"One": "forgotten", "Other": "forgotten"}]


def test_it_forgets_before_its_withdrawal_was_even_posted(world: World) -> None:
    """A platform that pulls the case's state may be faster than our message."""
    partner, key = world.platform(), world.report()
    world.expand()
    world.services.withdraw_case(key)
    world.expand()
    world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.case(key).state is CaseState.SCRUBBED


def test_withdrawn_before_anybody_was_told_nobody_is_and_the_hashes_go_at_once(
    world: World,
) -> None:
    world.platform()
    key = world.report()
    world.services.withdraw_case(key)
    world.expand()
    assert world.messages() == []
    assert world.notices(key) == []
    assert world.case(key).state is CaseState.SCRUBBED
    assert world.outcomes(key) == [{}]


def test_withdrawn_before_delivery_the_request_says_nothing_any_more(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.services.withdraw_case(key)
    (request,) = world.messages(partner=partner)
    build: BuildPayload = world.services.build_payload
    assert build.build(request, partner, world.clock.at) is None
    notice = world.notice(key, partner)
    with pytest.raises(UnknownPartner):
        build.fetch(partner, notice.id)


def test_withdrawn_after_a_decision_the_platform_is_told_all_the_same(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.say(partner, key, Word.REMOVED)
    world.services.withdraw_case(key)
    assert world.outcomes(key) == [{"Platform": "forgetting"}]
    world.expand()
    (message,) = world.deliver()
    assert message.event_type == EventType.REMOVAL_WITHDRAWN


def test_an_addition_of_the_same_moment_is_withdrawn_with_the_rest(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.services.add_to_case(key, [a_photo()], a_request(route="/v1/case/items"))
    world.services.withdraw_case(key)
    world.expand()
    assert [n.item_number for n in world.notices(key) if n.withdrawn_at] == [1]
    world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.case(key).state is CaseState.SCRUBBED


def test_repeating_it_changes_nothing(world: World) -> None:
    world.platform()
    key = world.report()
    world.services.withdraw_case(key)
    before = (world.case(key), world.count("events"))
    world.clock.forward(DAY)
    world.services.withdraw_case(key)
    assert (world.case(key), world.count("events")) == before


def test_a_scrubbed_case_stays_scrubbed(world: World) -> None:
    key = world.report()
    world.services.withdraw_case(key)
    world.expand()
    assert world.services.withdraw_case(key).state is CaseState.SCRUBBED


def test_a_case_whose_hashes_went_for_their_age_can_still_be_withdrawn(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.clock.forward(730 * DAY)
    world.services.purge_expired()
    assert world.case(key).state is CaseState.SCRUBBED
    view = world.services.withdraw_case(key)
    assert (view.state, view.can_change) == (CaseState.SCRUBBED, False)
    world.expand()
    assert [m.event_type for m in world.deliver()] == [EventType.REMOVAL_WITHDRAWN]
    assert world.outcomes(key) == [{"Platform": "forgetting"}]
    world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.outcomes(key) == [{"Platform": "forgotten"}]


def test_nobody_elses_key_withdraws_it(world: World) -> None:
    key = world.report()
    with pytest.raises(CaseNotFound):
        world.services.withdraw_case(a_case_key())
    assert world.case(key).state is CaseState.ACTIVE


def test_withdrawn_many_times_at_once_is_withdrawn_once(world: World) -> None:
    key = world.report()
    together = threading.Barrier(8)

    def withdraw(_: int) -> CaseState:
        together.wait()
        return world.services.withdraw_case(key).state

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(withdraw, range(8))) == {CaseState.WITHDRAWN}
    assert world.count("events") == 2  # the report's and one withdrawal
    assert world.count("audit") == 2


def test_a_withdrawal_does_not_lose_to_additions(world: World) -> None:
    key = world.report()
    together = threading.Barrier(2)

    def add() -> None:
        together.wait()
        for _ in range(20):
            try:
                world.services.add_to_case(key, [a_photo()], a_request(route="/v1/case/items"))
            except Contested:
                continue
            except Exception:  # noqa: BLE001 - withdrawn: that is what is waited for
                return

    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(add)
        together.wait()
        view = world.services.withdraw_case(key)
        adding.result()
    assert view.state is CaseState.WITHDRAWN
    assert world.case(key).item_count == world.count("items")


class _Busy:
    """A store on which somebody else is always a moment faster, so many times."""

    def __init__(self, world: World, times: int) -> None:
        self._store = world.house.store
        self.left = times

    def commit(self, *changes: object) -> None:
        if self.left:
            self.left -= 1
            raise Contested
        self._store.commit(*changes)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_it_tries_again_when_something_came_between(world: World) -> None:
    key = world.report()
    house = replace(world.house, store=_Busy(world, TRIES - 1))  # type: ignore[arg-type]
    assert WithdrawCase(house)(key).state is CaseState.WITHDRAWN


def test_it_says_so_when_it_could_not(world: World) -> None:
    key = world.report()
    house = replace(world.house, store=_Busy(world, TRIES))  # type: ignore[arg-type]
    with pytest.raises(Contested):
        WithdrawCase(house)(key)


# pycurl copies the descriptor it is given and lets the socket object go unclosed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_waits_unsent_is_not_sent_and_the_withdrawal_is(world: World) -> None:
    """The real sending side: the request has nothing left to tell and is cancelled."""
    with Platform(host="127.0.0.1") as receiver:
        partner = world.platform(webhook=receiver.url)
        key = world.report()
        world.expand()
        world.services.withdraw_case(key)
        world.expand()
        engine = world.runtime.worker.engine
        for _ in range(20):
            engine.step(0.1)
        engine.close()
    states = {m.event_type: m.state for m in world.messages(partner=partner)}
    assert states == {
        EventType.REMOVAL_REQUESTED: MessageState.CANCELLED,
        EventType.REMOVAL_WITHDRAWN: MessageState.DELIVERED,
    }
    (posted,) = receiver.received
    assert json.loads(posted.body)["type"] == EventType.REMOVAL_WITHDRAWN
