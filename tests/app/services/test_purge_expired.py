"""What is kept for a while goes when its time is over, and not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from app.domain.audit import Action, unbroken
from app.domain.case import CaseState
from app.domain.errors import CaseNotFound
from partners.events import EventType
from partners.model import CaseId, Word
from partners.ports import Purpose
from tests.app.services.world import DAY, World, a_case_key, a_photo, a_request

MOMENT = timedelta(microseconds=1)


def _sealed(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM items WHERE sealed_hashes IS NOT NULL")[0][0])


def test_an_active_cases_hashes_go_after_its_retention(world: World) -> None:
    key = world.report()
    world.clock.forward(730 * DAY - MOMENT)
    world.services.purge_expired()
    assert (world.case(key).state, _sealed(world)) == (CaseState.ACTIVE, 1)
    world.clock.forward(MOMENT)
    world.services.purge_expired()
    assert (world.case(key).state, _sealed(world)) == (CaseState.SCRUBBED, 0)
    assert world.house.store.audit_of(world.case(key).id)[-1].reason == "retention"


def test_a_withdrawn_cases_hashes_go_at_the_limit_although_a_platform_is_silent(
    world: World,
) -> None:
    one, _ = world.platform("One"), world.platform("Silent")
    key = world.report()
    world.expand()
    world.services.withdraw_case(key)
    world.expand()
    world.say(one, key, Word.WITHDRAWN_DONE)
    world.clock.forward(30 * DAY - MOMENT)
    world.services.purge_expired()
    assert (world.case(key).state, _sealed(world)) == (CaseState.WITHDRAWN, 1)
    world.clock.forward(MOMENT)
    world.services.purge_expired()
    assert (world.case(key).state, _sealed(world)) == (CaseState.SCRUBBED, 0)
    assert world.house.store.audit_of(world.case(key).id)[-1].reason == "limit"
    assert world.outcomes(key) == [{"One": "forgotten", "Silent": "forgetting"}]


def test_the_silent_platform_can_still_be_told_after_the_limit(world: World) -> None:
    world.platform()
    key = world.report()
    world.expand()
    world.deliver()
    world.services.withdraw_case(key)
    world.expand()
    world.clock.forward(30 * DAY)
    world.services.purge_expired()
    (message,) = world.deliver()
    assert message.event_type == EventType.REMOVAL_WITHDRAWN


def test_a_scrubbed_case_opens_until_it_is_purged_and_then_is_unknown(world: World) -> None:
    world.platform()
    key = world.report()
    world.expand()
    world.deliver()
    world.services.withdraw_case(key)
    world.expand()
    world.say(world.again(world.notices(key)[0].partner_id), key, Word.WITHDRAWN_DONE)
    case_id = world.case(key).id
    world.clock.forward(30 * DAY - MOMENT)
    world.services.purge_expired()
    assert world.services.open_case(key).state is CaseState.SCRUBBED
    world.clock.forward(MOMENT)
    world.services.purge_expired()
    with pytest.raises(CaseNotFound):
        world.services.open_case(key)
    for table in ("cases", "items", "notices", "messages", "events", "attempts"):
        assert world.count(table) == 0
    assert _actions(world, case_id) == [
        Action.REPORTED,
        Action.WITHDRAWN,
        Action.FEEDBACK,
        Action.SCRUBBED,
        Action.PURGED,
    ]


def _actions(world: World, case_id: CaseId) -> list[Action]:
    chain = world.house.store.audit_of(case_id)
    assert unbroken(chain, partial(world.house.keys.tag, Purpose.AUDIT))
    return [entry.action for entry in chain]


def test_killed_between_saying_that_it_purges_and_purging_it_says_so_once(world: World) -> None:
    key = world.report()
    world.services.withdraw_case(key)
    world.expand()
    case_id = world.case(key).id
    world.clock.forward(30 * DAY)

    class _Dying:
        def purge_case(self, _: object) -> None:
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Any:
            return getattr(world.house.store, name)

    dying = replace(world.services.purge_expired, house=replace(world.house, store=_Dying()))
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            dying()
    assert _actions(world, case_id)[-2:] == [Action.SCRUBBED, Action.PURGED]
    assert world.count("cases") == 1
    world.services.purge_expired()
    assert _actions(world, case_id)[-2:] == [Action.SCRUBBED, Action.PURGED]
    assert world.count("cases") == 0


def test_a_purged_cases_key_can_neither_add_nor_withdraw(world: World) -> None:
    key = world.report()
    world.services.withdraw_case(key)
    world.expand()
    world.clock.forward(30 * DAY)
    world.services.purge_expired()
    with pytest.raises(CaseNotFound):
        world.services.add_to_case(key, [a_photo()], a_request())
    with pytest.raises(CaseNotFound):
        world.services.withdraw_case(key)


def test_the_audit_chain_outlives_its_case_and_then_goes_whole(
    make_world: Callable[..., World],
) -> None:
    world = make_world(AUDIT_KEEP="100", SCRUBBED_KEEP="0")
    key = world.report()
    case_id = world.case(key).id
    world.services.withdraw_case(key)
    world.expand()
    world.services.purge_expired()
    assert world.count("cases") == 0
    world.clock.forward(100 * DAY)
    world.services.purge_expired()
    assert len(world.house.store.audit_of(case_id)) == 4
    world.clock.forward(MOMENT)
    world.services.purge_expired()
    assert world.house.store.audit_of(case_id) == []


def test_an_old_chain_of_a_case_that_is_still_there_stays(
    make_world: Callable[..., World],
) -> None:
    world = make_world(AUDIT_KEEP="1")
    key = world.report()
    world.clock.forward(400 * DAY)
    world.services.purge_expired()
    assert len(world.house.store.audit_of(world.case(key).id)) == 1


def test_spent_tokens_and_answers_go_when_they_can_serve_no_more(world: World) -> None:
    proof = world.token()
    world.services.submit_report(a_case_key(), [a_photo()], proof, a_request())
    world.clock.forward(timedelta(minutes=10, seconds=59))  # its life, and nearly the tolerance
    world.services.purge_expired()
    assert world.count("spent_tokens") == 1
    world.clock.forward(timedelta(seconds=2))
    world.services.purge_expired()
    assert (world.count("spent_tokens"), world.count("answers")) == (0, 1)
    world.clock.forward(DAY)
    world.services.purge_expired()
    assert world.count("answers") == 0


def test_more_cases_than_one_round_takes_are_swept_in_several(world: World) -> None:
    for _ in range(150):
        world.report()
    world.clock.forward(730 * DAY)
    world.services.purge_expired()
    assert _sealed(world) == 50
    world.services.purge_expired()
    assert _sealed(world) == 0


def test_a_round_with_nothing_to_do_says_so(world: World) -> None:
    world.report()
    assert world.services.purge_expired() == 0
