"""Messages that a platform pulls, and messages that an operator sends again."""

from __future__ import annotations

import pytest

from partners.errors import TransitionRefused, UnknownPartner
from partners.events import EventType
from partners.model import Attempt, DeliveryResult, Message, MessageId, MessageState, Partner
from partners.outbox import moved
from tests.app.services.world import DAY, HOUR, World, a_photo


def _page(world: World, partner: Partner, after: str = "", limit: int = 100) -> list[Message]:
    return world.services.pull_messages.page(partner, after, limit)[0]


def test_what_is_pulled_waits_until_it_is_acknowledged(world: World) -> None:
    partner = world.platform(webhook=None)
    world.report(a_photo(), a_photo())
    world.expand()
    assert world.deliver() == []  # nothing of it is ever due
    first, second = _page(world, partner)
    assert world.services.pull_messages.acknowledge(partner, [first.id]) == 1
    assert [message.id for message in _page(world, partner)] == [second.id]


def test_pulling_a_request_starts_its_deadline_and_reading_the_list_does_not(
    world: World,
) -> None:
    partner = world.platform(webhook=None, policy="in-2h")
    key = world.report()
    world.expand()
    (message,) = _page(world, partner)
    assert world.notice(key, partner).delivered_at is None
    world.clock.forward(5 * HOUR)
    world.services.pull_messages.acknowledge(partner, [message.id])
    notice = world.notice(key, partner)
    assert notice.delivered_at == world.clock.at
    assert notice.deadline_at == world.clock.at + 2 * HOUR
    assert world.outcomes(key) == [{"Platform": "they_have_it"}]
    world.clock.forward(2 * HOUR + HOUR)
    assert world.services.mark_late() == 1
    world.expand()
    assert [m.event_type for m in _page(world, partner)] == [EventType.REMOVAL_REMINDER]


def test_acknowledging_again_changes_nothing(world: World) -> None:
    partner = world.platform(webhook=None)
    key = world.report()
    world.expand()
    (message,) = _page(world, partner)
    pull = world.services.pull_messages
    assert pull.acknowledge(partner, [message.id, message.id]) == 1
    before = world.notice(key, partner)
    world.clock.forward(DAY)
    assert pull.acknowledge(partner, [message.id]) == 0
    assert world.notice(key, partner) == before


def test_a_message_of_another_platform_is_unknown_and_nothing_is_acknowledged(
    world: World,
) -> None:
    one, other = world.platform("One", None), world.platform("Other", None)
    world.report()
    world.expand()
    (own,), (theirs,) = _page(world, one), _page(world, other)
    for strange in (theirs.id, MessageId("msg_" + "0" * 32)):
        with pytest.raises(UnknownPartner):
            world.services.pull_messages.acknowledge(one, [own.id, strange])
    assert len(_page(world, one)) == len(_page(world, other)) == 1


def test_pages_go_through_everything_once(world: World) -> None:
    partner = world.platform(webhook=None)
    world.report(*(a_photo() for _ in range(25)))
    world.expand()
    seen: list[Message] = []
    after: str | None = ""
    while after is not None:
        page, after = world.services.pull_messages.page(partner, after, 7)
        assert len(page) <= 7
        seen += page
    assert len({message.id for message in seen}) == len(seen) == 25


def test_a_platform_that_missed_a_webhook_can_pull_it(world: World) -> None:
    partner = world.platform()
    world.report()
    world.expand()
    _fail(world)
    (message,) = _page(world, partner)
    assert message.state is MessageState.FAILED
    assert world.services.pull_messages.acknowledge(partner, [message.id]) == 1
    assert _page(world, partner) == []


def _fail(world: World) -> None:
    """Every message that is due is given up."""
    taken = world.house.store.claim_due(world.clock.at, 1000, HOUR)
    world.house.store.finish(
        [DeliveryResult(moved(message, MessageState.FAILED), None) for message in taken]
    )


def test_a_replay_is_the_same_message_due_now(world: World) -> None:
    world.platform()
    world.report()
    world.expand()
    (before,) = world.deliver()
    world.clock.forward(DAY)
    assert world.services.replay_messages.one(before.id)
    (again,) = world.messages()
    assert (again.id, again.state, again.due_at) == (
        before.id,
        MessageState.PENDING,
        world.clock.at,
    )
    assert [message.id for message in world.deliver()] == [before.id]


def test_a_replay_does_not_set_the_deadline_back(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    (message,) = world.deliver()
    before = world.notice(key, partner)
    world.clock.forward(DAY)
    world.services.replay_messages.one(message.id)
    world.deliver()
    assert world.notice(key, partner) == before


def test_all_that_failed_is_replayed_page_after_page(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    for _ in range(6):
        world.report(*(a_photo() for _ in range(20)))
    world.expand()
    _fail(world)
    replay = world.services.replay_messages
    assert replay.all_failed(one.id) == 120
    assert len(world.deliver()) == 120
    assert replay.all_failed() == 120
    assert {message.partner_id for message in world.deliver()} == {other.id}
    assert replay.all_failed() == 0


def test_only_what_is_finished_can_be_replayed(world: World) -> None:
    world.platform()
    world.report()
    world.expand()
    (waiting,) = world.messages()
    with pytest.raises(TransitionRefused):
        world.services.replay_messages.one(waiting.id)
    with pytest.raises(UnknownPartner):
        world.services.replay_messages.one(MessageId("msg_" + "0" * 32))


def test_a_replay_of_a_withdrawn_item_tells_nothing(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    (message,) = world.deliver()
    world.services.withdraw_case(key)
    world.services.replay_messages.one(message.id)
    assert world.services.build_payload.build(message, partner, world.clock.at) is None


def test_the_operators_list_names_no_item(world: World) -> None:
    world.platform()
    world.report()
    world.expand()
    (row,) = world.services.replay_messages.rows(None, [], 10)
    assert set(row) == {"id", "type", "partner", "state", "attempts", "due_at"}


def test_a_time_range_is_replayed_and_delivered_ones_only_when_asked_for(world: World) -> None:
    partner, other = world.platform("One"), world.platform("Other")
    made = []
    for _ in range(4):
        made.append(world.clock.at)
        world.report()
        world.expand()
        world.clock.forward(HOUR)
    taken = world.house.store.claim_due(world.clock.at, 1000, HOUR)
    states = [MessageState.DELIVERED] * 4 + [MessageState.FAILED] * 4
    ended = [DeliveryResult(moved(m, s), None) for m, s in zip(taken, states, strict=True)]
    world.house.store.finish(ended)
    replay = world.services.replay_messages
    both = (MessageState.FAILED, MessageState.DELIVERED)
    assert replay.range(since=made[3] + HOUR) == 0
    assert replay.range(since=made[0], until=made[2]) == 0  # all of these were delivered
    assert replay.range(partner.id, since=made[0], until=made[2], states=both) == 2
    assert {m.created_at for m in world.deliver()} == {made[0], made[1]}
    assert replay.range(other.id, since=made[3]) == 1
    assert [m.partner_id for m in world.deliver()] == [other.id]
    assert replay.range(until=made[3]) == 2


def test_a_range_longer_than_a_page_is_replayed_whole(world: World) -> None:
    world.platform()
    for _ in range(26):
        world.report(*(a_photo() for _ in range(20)))
    world.expand()
    _fail(world)
    assert world.services.replay_messages.range(since=world.clock.at) == 520


def _posted(world: World, message: Message, status: int) -> Attempt:
    """That message was posted once, and so answered."""
    (taken,) = world.house.store.claim_due(world.clock.at, 1, HOUR)
    attempt = Attempt(message.id, taken.claim, world.clock.at, 12, status, None, 34, "closed")
    world.house.store.finish([DeliveryResult(moved(taken, MessageState.FAILED), attempt)])
    return attempt


def test_attempts_are_shown_to_their_platform_and_to_operators_and_nobody_else(
    world: World,
) -> None:
    partner, other = world.platform("One"), world.platform("Other", None)
    world.report()
    world.expand()
    (message,) = world.messages(partner=partner)
    attempt = _posted(world, message, 500)
    assert world.services.pull_messages.attempts(partner, message.id) == [attempt]
    with pytest.raises(UnknownPartner):
        world.services.pull_messages.attempts(other, message.id)
    shown = world.services.replay_messages.show(message.id)
    assert shown["posts"] == [
        {
            "number": 1,
            "started_at": world.clock.at.isoformat(),
            "duration_ms": 12,
            "status": 500,
            "error": None,
            "response_bytes": 34,
            "breaker": "closed",
        }
    ]
    with pytest.raises(UnknownPartner):
        world.services.replay_messages.show(MessageId("msg_" + "0" * 32))


def test_attempts_are_forgotten_when_their_time_is_over(world: World) -> None:
    partner = world.platform()
    world.report()
    world.expand()
    (message,) = world.messages()
    _posted(world, message, 204)
    world.clock.forward(29 * DAY)
    world.services.purge_expired()
    assert len(world.services.pull_messages.attempts(partner, message.id)) == 1
    world.clock.forward(2 * DAY)
    world.services.purge_expired()
    assert world.services.pull_messages.attempts(partner, message.id) == []


def test_a_platform_lists_what_it_asks_for(world: World) -> None:
    partner = world.platform()
    world.report(a_photo(), a_photo())
    world.expand()
    _posted(world, world.messages()[0], 500)
    pull = world.services.pull_messages
    for state, count in {MessageState.FAILED: 1, MessageState.PENDING: 1}.items():
        assert [m.state for m in pull.page(partner, "", 10, [state])[0]] == [state] * count
    assert len(_page(world, partner)) == 2
