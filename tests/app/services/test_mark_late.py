"""A deadline that passed is seen, told to that platform alone, and shown."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.errors import Contested, StoreUnavailable
from app.ports import SaveMessage
from app.services.mark_late import MarkLate
from partners.events import EventType
from partners.model import Message, MessageState, Word
from tests.app.services.world import HOUR, World, a_photo

ALLOWED = 48 * HOUR


def test_the_clock_starts_with_delivery_and_not_with_the_report(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.clock.forward(3 * ALLOWED)
    assert world.services.mark_late() == 0
    assert world.outcomes(key) == [{"Platform": "sent"}]
    world.deliver()
    assert world.notice(key, partner).deadline_at == world.clock.at + ALLOWED


def test_late_is_later_than_the_deadline_and_not_the_moment_of_it(world: World) -> None:
    world.platform()
    key = world.report()
    world.expand()
    world.deliver()
    world.clock.forward(ALLOWED)
    assert world.services.mark_late() == 0
    world.clock.forward(timedelta(microseconds=1))
    assert world.services.mark_late() == 1
    assert world.outcomes(key) == [{"Platform": "late"}]


def test_only_the_late_platform_is_reminded(world: World) -> None:
    late, prompt = world.platform("Late"), world.platform("Prompt")
    world.platform("Elsewhere", policy="none")
    key = world.report(a_photo(), a_photo())
    world.expand()
    world.deliver()
    for item in (1, 2):
        world.say(prompt, key, Word.NOT_FOUND, item)
    world.say(late, key, Word.REMOVED, 2)
    world.clock.forward(2 * ALLOWED)
    assert world.services.mark_late() == 1
    world.expand()
    reminded = [
        (m.partner_id, m.notice_id) for m in world.messages() if m.event_type not in _REQUESTS
    ]
    assert reminded == [(late.id, world.notice(key, late).id)]
    (sent,) = world.deliver()
    assert sent.event_type == EventType.REMOVAL_REMINDER


_REQUESTS = (EventType.REMOVAL_REQUESTED,)


def test_it_is_marked_once(world: World) -> None:
    world.platform()
    world.report()
    world.expand()
    world.deliver()
    world.clock.forward(2 * ALLOWED)
    assert [world.services.mark_late(), world.services.mark_late()] == [1, 0]
    assert world.count("events") == 1


def test_a_decision_after_all_is_shown_instead(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.clock.forward(2 * ALLOWED)
    world.services.mark_late()
    world.say(partner, key, Word.PENDING_REVIEW)
    assert world.outcomes(key) == [{"Platform": "late"}]
    world.say(partner, key, Word.REMOVED)
    assert world.outcomes(key) == [{"Platform": "taken_down"}]


@pytest.mark.parametrize("word", [Word.REMOVED, Word.NOT_FOUND, Word.NOT_VIOLATING])
def test_a_decision_in_time_is_never_late(world: World, word: Word) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.say(partner, key, word)
    world.clock.forward(100 * ALLOWED)
    assert world.services.mark_late() == 0


def test_a_withdrawn_item_is_never_late(world: World) -> None:
    world.platform()
    key = world.report()
    world.expand()
    world.deliver()
    world.services.withdraw_case(key)
    world.expand()
    world.clock.forward(2 * ALLOWED)
    assert world.services.mark_late() == 0


def test_a_withdrawal_that_was_given_up_is_late_too(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.services.withdraw_case(key)
    world.expand()
    assert world.outcomes(key) == [{"Platform": "forgetting"}]
    withdrawal = world.messages(partner=partner)[-1]
    assert [world.give_up(withdrawal), world.give_up(withdrawal)] == [1, 0]
    assert world.outcomes(key) == [{"Platform": "late"}]


def test_what_was_given_up_before_a_withdrawal_is_not_late_after_it(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    (request,) = world.messages(partner=partner)
    world.services.withdraw_case(key)
    world.expand()
    assert world.give_up(request) == 0
    assert world.outcomes(key) == [{"Platform": "forgetting"}]


def test_what_was_given_up_and_not_marked_when_the_process_died_is_found_again(
    world: World,
) -> None:
    one, other = world.platform("One", policy="none"), world.platform("Other")
    keys = [world.report(), world.report()]
    world.expand()
    for message in world.messages(partner=one):
        world.house.store.commit(SaveMessage(_failed(message)))
    assert world.outcomes(keys[0]) == [{"One": "sent", "Other": "sent"}]
    again = world.open().services.mark_late
    assert [again(), again()] == [2, 0]
    for key in keys:
        assert world.outcomes(key) == [{"One": "late", "Other": "sent"}]
    assert world.notice(keys[0], other).version == 1


def _failed(message: Message) -> Message:
    return replace(message, state=MessageState.FAILED, due_at=None, claim=message.claim + 1)


def test_a_message_given_up_while_the_store_is_down_is_marked_once_it_is_back(
    world: World,
) -> None:
    partner, key = world.platform(policy="none"), world.report()
    world.expand()

    class _Down:
        down = True

        def commit(self, *changes: Any) -> None:
            if self.down:
                raise StoreUnavailable
            world.house.store.commit(*changes)

        def __getattr__(self, name: str) -> Any:
            return getattr(world.house.store, name)

    store = _Down()
    late = MarkLate(replace(world.house, store=store), lambda _: None)
    late.given_up(world.messages(partner=partner)[0])
    with pytest.raises(StoreUnavailable):
        late()
    store.down = False
    assert [late(), late()] == [1, 0]
    assert world.outcomes(key) == [{"Platform": "late"}]


def test_resting_ends_when_something_is_given_up(world: World) -> None:
    world.platform()
    world.report()
    world.expand()
    late, (message,) = world.services.mark_late, world.messages()
    rested = threading.Thread(target=late.rest, args=(60,))
    rested.start()
    late.given_up(message)
    rested.join(10)
    assert not rested.is_alive()
    began = time.monotonic()
    late.rest(0.05)  # what was rung before does not ring again
    assert time.monotonic() - began >= 0.05


def test_a_reminder_that_comes_after_the_decision_is_not_sent(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.clock.forward(2 * ALLOWED)
    assert world.services.mark_late() == 1
    world.expand()
    reminder = world.messages()[-1]
    build = world.services.build_payload.build
    assert reminder.event_type == EventType.REMOVAL_REMINDER
    assert build(reminder, partner, world.clock.now()) is not None
    world.say(partner, key, Word.REMOVED)
    assert build(reminder, partner, world.clock.now()) is None


def test_without_hours_in_its_policy_there_is_no_late(world: World) -> None:
    partner = world.platform(policy="none")
    key = world.report()
    world.expand()
    world.deliver()
    assert world.notice(key, partner).deadline_at is None
    world.clock.forward(1000 * ALLOWED)
    assert world.services.mark_late() == 0


def test_many_are_marked_in_several_rounds(world: World) -> None:
    for number in range(30):
        world.platform(f"Platform {number}")
    world.report(*(a_photo() for _ in range(5)))
    world.expand()
    world.deliver()
    world.clock.forward(2 * ALLOWED)
    assert [world.services.mark_late() for _ in range(3)] == [100, 50, 0]


def test_a_message_that_was_given_up_makes_its_item_late_without_a_deadline(
    world: World,
) -> None:
    partner, key = world.platform(policy="none"), world.report()
    world.expand()
    (message,) = world.messages(partner=partner)
    assert [world.give_up(message), world.give_up(message)] == [1, 0]
    assert world.outcomes(key) == [{"Platform": "late"}]
    assert world.count("events") == 0  # nobody is reminded by the way that does not work


def test_given_up_while_the_platform_speaks_it_is_marked_all_the_same(world: World) -> None:
    """Nobody asks again for a message that was given up, so this cannot wait for a next round."""
    partner, key = world.platform(policy="none"), world.report()
    world.expand()

    class _Between:
        """The platform acknowledges just before the first commit."""

        spoken = False

        def commit(self, *changes: Any) -> None:
            if not self.spoken:
                self.spoken = True
                world.say(partner, key, Word.ACKNOWLEDGED)
            world.house.store.commit(*changes)

        def __getattr__(self, name: str) -> Any:
            return getattr(world.house.store, name)

    told: list[str] = []
    house = replace(world.house, store=_Between())
    late = MarkLate(house, told.append)
    late.given_up(world.messages(partner=partner)[0])
    assert late() == 1
    assert told == []  # no deadline was missed; that it was given up is told by delivery
    assert world.notice(key, partner).feedback.word is Word.ACKNOWLEDGED
    assert world.outcomes(key) == [{"Platform": "late"}]


def test_an_answer_of_the_very_moment_wins_over_the_deadline(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.clock.forward(2 * ALLOWED)
    overdue = world.house.store.notices_overdue(world.clock.at, 10)
    world.say(partner, key, Word.REMOVED)

    class _Behind:
        """Still lists what was overdue a moment ago."""

        def notices_overdue(self, *_: object) -> Any:
            return overdue

        def commit(self, *changes: Any) -> None:
            try:
                world.house.store.commit(*changes)
            except Contested:
                self.refused = True
                raise

        def __getattr__(self, name: str) -> Any:
            return getattr(world.house.store, name)

    store = _Behind()
    assert MarkLate(replace(world.house, store=store), lambda _: None)() == 0
    assert store.refused
    assert world.count("events") == 0
    assert world.outcomes(key) == [{"Platform": "taken_down"}]
