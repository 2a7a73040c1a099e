"""An event becomes one message per item and endpoint, however often it is begun."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import Contested, StoreUnavailable
from app.ports import MOST_CHANGES, CloseEvent
from app.services.expand_event import ExpandEvent, ExpandEvents
from app.services.scrub_case import ScrubCase
from partners.events import Event, EventType
from partners.model import MessageState, Word
from tests.app.services.world import HOUR, World, a_photo, a_request

MANY = 60


class _Failing:
    """A store whose commits fail from the given one on, as in a process that dies there."""

    def __init__(self, world: World, good: int, error: Exception) -> None:
        self._store, self._error = world.house.store, error
        self.good = good
        self.sizes: list[int] = []

    def commit(self, *changes: Any) -> None:
        if not self.good:
            raise self._error
        self.good -= 1
        self.sizes.append(len(changes))
        self._store.commit(*changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _expanding(world: World, store: Any) -> ExpandEvents:
    house = replace(world.house, store=store)
    return ExpandEvents(house, ExpandEvent(house, world.services.policies), ScrubCase(house))


def _only_event(world: World) -> Event:
    (event,) = world.house.store.open_events(10)
    assert isinstance(event, Event)
    return event


def _many(world: World) -> bytes:
    """A report of five photos to sixty platforms: 600 rows."""
    for number in range(MANY):
        world.platform(f"Platform {number}")
    return world.report(*(a_photo() for _ in range(5)))


def _contents(world: World) -> tuple[Counter[tuple[str, str]], int, int]:
    told: Counter[tuple[str, str]] = Counter(
        (m.partner_id, m.notice_id or "") for m in world.messages()
    )
    return told, world.count("notices"), world.count("events")


def test_many_platforms_and_items_are_all_told_in_commits_of_at_most_a_hundred(
    world: World,
) -> None:
    key = _many(world)
    store = _Failing(world, 1000, StoreUnavailable())
    assert _expanding(world, store)() == 1
    told, notices, events = _contents(world)
    assert (len(told), set(told.values()), notices, events) == (MANY * 5, {1}, MANY * 5, 0)
    assert max(store.sizes) <= 100
    assert len(store.sizes) == 2 * MANY * 5 // MOST_CHANGES + 1
    assert [len(names) for names in world.outcomes(key)] == [MANY] * 5


@pytest.mark.parametrize("good", range(7))
def test_died_between_two_commits_it_is_done_again_and_nothing_is_there_twice(
    world: World, good: int
) -> None:
    _many(world)
    with pytest.raises(StoreUnavailable):
        _expanding(world, _Failing(world, good, StoreUnavailable()))()
    assert world.count("events") == 1
    before = {message.id for message in world.messages()}
    world.clock.forward(HOUR)
    world.expand()
    told, notices, events = _contents(world)
    assert (len(told), set(told.values()), notices, events) == (MANY * 5, {1}, MANY * 5, 0)
    assert before <= {message.id for message in world.messages()}


def test_expanding_the_same_event_again_makes_the_same_rows(world: World) -> None:
    world.platform("One")
    world.platform("Other", None)
    world.report(a_photo(), a_photo())
    event = _only_event(world)
    world.expand()
    before = (world.messages(), world.count("notices"))
    world.clock.forward(HOUR)
    world.house.store.commit(*world.services.expand_events.expand(event))
    assert (world.messages(), world.count("notices")) == before


def test_a_message_that_was_delivered_meanwhile_stays_delivered(world: World) -> None:
    world.platform()
    key = world.report()
    event = _only_event(world)
    world.expand()
    world.deliver()
    before = world.notices(key)
    world.house.store.commit(*world.services.expand_events.expand(event))
    assert [message.state for message in world.messages()] == [MessageState.DELIVERED]
    assert world.notices(key) == before


def test_only_the_chosen_platforms_are_told(world: World) -> None:
    one, _ = world.platform("One"), world.platform("Other")
    key = world.report(a_photo(one.id))
    world.expand()
    assert [notice.partner_id for notice in world.notices(key)] == [one.id]
    assert [message.partner_id for message in world.messages()] == [one.id]
    assert world.outcomes(key) == [{"One": "sent"}]


def test_each_platform_knows_an_item_by_a_name_of_its_own(world: World) -> None:
    world.platform("One")
    world.platform("Other")
    same = a_photo()
    for key in (world.report(same), world.report(same)):
        world.expand()
        assert len({notice.id for notice in world.notices(key)}) == 2
    assert len({message.notice_id for message in world.messages()}) == 4
    assert not any(m.notice_id and "case" in m.notice_id for m in world.messages())


def test_a_platform_that_joined_after_the_report_was_expanded_is_not_told(world: World) -> None:
    world.platform("One")
    key = world.report()
    world.expand()
    world.platform("Late")
    world.expand()
    assert len(world.notices(key)) == 1


def test_a_platform_that_joined_later_is_not_shown_as_told(world: World) -> None:
    """Whoever took part when it was reported is, already before the relay has told them."""
    world.platform("Early")
    key = world.report()
    assert _shown(world, key) == ["Early"]
    world.expand()
    world.platform("Late")
    assert _shown(world, key) == ["Early"]


def test_what_nobody_was_told_of_is_not_shown_as_told_to_whoever_joins(world: World) -> None:
    key = world.report()
    world.expand()
    world.clock.forward(HOUR)
    world.platform("Late")
    assert _shown(world, key) == []


def _shown(world: World, key: bytes) -> list[str]:
    (item,) = world.services.open_case(key).items
    return [row.name for row in item.platforms]


def test_a_suspended_platform_is_not_told(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    world.services.manage_partners.suspend(other.id)
    key = world.report()
    world.expand()
    assert [notice.partner_id for notice in world.notices(key)] == [one.id]


def test_an_answer_in_between_is_not_lost_to_a_withdrawal(world: World) -> None:
    """The notices were loaded, then a platform answered: load again and do it again."""
    partner, key = world.platform(), world.report()
    world.expand()
    world.services.withdraw_case(key)

    class _Between(_Failing):
        """Lets the platform answer just before the first commit."""

        def commit(self, *changes: Any) -> None:
            if not self.sizes:
                self.sizes.append(0)
                world.say(partner, key, Word.REMOVED)
            self._store.commit(*changes)

    store = _Between(world, 1, Contested())
    assert _expanding(world, store)() == 1
    notice = world.notice(key, partner)
    assert (notice.feedback.word, notice.version) == (Word.REMOVED, 3)
    assert notice.withdrawn_at is not None
    assert world.count("events") == 0


def test_an_event_that_stays_contested_is_tried_again_in_the_next_round(world: World) -> None:
    world.platform()
    key = world.report()
    store = _Failing(world, 0, Contested())
    _expanding(world, store)()
    assert world.count("events") == 1
    world.expand()
    assert len(world.notices(key)) == 1


def test_events_are_expanded_in_the_order_they_happened(world: World) -> None:
    world.platform()
    key = world.report()
    world.services.withdraw_case(world.report())
    world.services.add_to_case(key, [a_photo()], a_request())
    world.expand()
    kinds = [message.event_type for message in world.messages()]
    assert kinds == [EventType.REMOVAL_REQUESTED, EventType.REMOVAL_REQUESTED]


def test_a_purged_cases_event_leaves_the_outbox(world: World) -> None:
    world.platform()
    key = world.report()
    event = _only_event(world)
    world.house.store.purge_case(world.case(key).id)
    assert world.services.expand_events.expand(event) == [CloseEvent(event.id)]
    assert world.messages() == []


# ---- events that cannot be expanded ----


def _damage(world: World, change: str, place: int = 0) -> str:
    """Write into the row of one event, past all of our own code; its id."""
    name = str(world.rows("SELECT id FROM events ORDER BY seq")[place][0])
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute(f"UPDATE events SET {change} WHERE id = ?", (name,))  # noqa: S608
    return name


@pytest.mark.parametrize(
    "change",
    [
        "type = 'removal.of_a_later_version'",
        "items = '1 two'",
        "items = x'00ff'",
        "at = 'yesterday'",
        "at = 9223372036854775807",
        "type = x'ff'",
    ],
)
def test_a_row_that_nobody_can_read_holds_up_no_other(world: World, change: str) -> None:
    world.platform()
    keys = [world.report() for _ in range(3)]
    name = _damage(world, change)
    assert world.expand() == 2
    assert set(world.services.expand_events.stuck) == {name}
    assert [len(world.notices(key)) for key in keys] == [0, 1, 1]
    assert world.rows("SELECT id FROM events") == [(name,)]


def test_more_bad_rows_than_one_round_takes_hold_up_no_other(world: World) -> None:
    world.platform()
    world.report()
    for place in range(5):
        world.report()
        _damage(world, "items = 'none'", place)
    key = world.report()
    rounds = [world.services.expand_events(2) for _ in range(4)]
    assert sum(rounds) == 2
    assert len(world.services.expand_events.stuck) == 5
    assert len(world.notices(key)) == 1


def test_an_event_that_cannot_be_expanded_is_tried_again_and_told_when_it_can(
    world: World,
) -> None:
    gone = world.platform("Gone")
    key = world.report(a_photo(gone.id))
    other = world.platform("Other", policy="none")
    later = world.report(a_photo(other.id))
    policies = {"none": world.services.policies["none"]}
    house = world.house
    expanding = ExpandEvents(house, ExpandEvent(house, policies), ScrubCase(house))
    assert expanding() == 1
    assert list(expanding.stuck.values()) == ["KeyError"]
    assert (len(world.messages(partner=gone)), len(world.notices(later))) == (0, 1)
    world.expand()
    assert len(world.notices(key)) == 1
    assert world.services.expand_events.stuck == {}


def test_a_store_that_is_down_is_no_fault_of_an_event(world: World) -> None:
    world.platform()
    world.report()

    class _Down:
        def items_named(self, _: object) -> Any:
            raise StoreUnavailable

        def __getattr__(self, name: str) -> Any:
            return getattr(world.house.store, name)

    expanding = _expanding(world, _Down())
    with pytest.raises(StoreUnavailable):
        expanding()
    assert expanding.stuck == {}


class _Slow:
    """A relay's store: something else happens before its first commit."""

    def __init__(self, world: World, meanwhile: Any) -> None:
        self._store, self._meanwhile = world.house.store, [meanwhile]

    def commit(self, *changes: Any) -> None:
        while self._meanwhile:
            self._meanwhile.pop()()
        self._store.commit(*changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("whole", [True, False], ids=["case", "item"])
def test_what_is_withdrawn_while_another_relay_expands_it_is_withdrawn_everywhere(
    world: World, whole: bool
) -> None:
    for name in ("Picnic", "Postcard"):
        world.platform(name)
    key = world.report(a_photo(), a_photo())
    (request,) = world.house.store.open_events(10)

    def withdraw() -> None:
        if whole:
            world.services.withdraw_case(key)
        else:
            world.services.withdraw_item(key, 2)
        (_, withdrawal) = world.house.store.open_events(10)
        _expanding(world, world.house.store).these([withdrawal])

    _expanding(world, _Slow(world, withdraw)).these([request])
    world.services.expand_events()
    case = world.case(key)
    late = [n for n in world.house.store.notices_of(case.id) if whole or n.item_number == 2]
    assert len(late) == (4 if whole else 2)
    assert all(notice.withdrawn_at for notice in late)
    messages, _ = world.house.store.messages()
    told = {m.notice_id for m in messages if m.event_type == EventType.REMOVAL_WITHDRAWN}
    assert told == {notice.id for notice in late}
