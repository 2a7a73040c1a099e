"""The second half of the outbox: one event becomes one message per item and endpoint.

Pure: the same event gives the same messages, under the same ids, however often it is expanded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from partners.errors import TransitionRefused
from partners.events import Event, EventType
from partners.model import (
    Endpoint,
    EndpointStatus,
    Message,
    MessageId,
    MessageState,
    Notice,
    Partner,
    PartnerStatus,
)

MESSAGE_FOLLOWS: Final[Mapping[MessageState, frozenset[MessageState]]] = MappingProxyType(
    {
        MessageState.PENDING: frozenset(
            {MessageState.DELIVERED, MessageState.FAILED, MessageState.CANCELLED}
        ),
        # Replayed; pulled and acknowledged after all; nothing left to tell.
        MessageState.FAILED: frozenset(
            {MessageState.PENDING, MessageState.DELIVERED, MessageState.CANCELLED}
        ),
        MessageState.DELIVERED: frozenset({MessageState.PENDING}),
        MessageState.CANCELLED: frozenset(),
    }
)
"""Which state may follow which. A message that waits for its next try stays pending."""


def moved(
    message: Message, state: MessageState, due_at: datetime | None = None, *, tries: int = 0
) -> Message:
    """The message in that state after so many more tries, due at `due_at` (if it is pending).

    Raises TransitionRefused. The claim stays: whoever is not delivering it uses `replayed`,
    `acknowledged` or `cancelled`, which also take it away from a worker that holds it.
    """
    if state not in MESSAGE_FOLLOWS[message.state]:
        raise TransitionRefused(f"{state} may not follow {message.state}")
    return replace(
        message,
        state=state,
        due_at=due_at if state is MessageState.PENDING else None,
        attempts=message.attempts + tries,
    )


def replayed(message: Message, now: datetime) -> Message:
    """The message due now, with its whole schedule before it again. Raises TransitionRefused."""
    return _taken_away(replace(moved(message, MessageState.PENDING, now), attempts=0))


def acknowledged(message: Message) -> Message:
    """The message after its partner pulled and acknowledged it. Raises TransitionRefused."""
    return _taken_away(moved(message, MessageState.DELIVERED))


def cancelled(message: Message) -> Message:
    """The message after there was nothing left to tell. Raises TransitionRefused."""
    return _taken_away(moved(message, MessageState.CANCELLED))


def resumed(message: Message, now: datetime) -> Message:
    """A pending message that waits without a time, due now. Raises TransitionRefused."""
    if message.state is not MessageState.PENDING or message.due_at is not None:
        raise TransitionRefused("only a message that waits without a time can be resumed")
    return _taken_away(replace(message, due_at=now))


def to_replay(
    messages: Iterable[Message],
    *,
    states: Iterable[MessageState] = (MessageState.FAILED,),
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Message]:
    """Those of the messages that are in one of the states and were made in [since, until)."""
    wanted = frozenset(states)
    return [
        message
        for message in messages
        if message.state in wanted
        and MessageState.PENDING in MESSAGE_FOLLOWS[message.state]
        and (since is None or message.created_at >= since)
        and (until is None or message.created_at < until)
    ]


_WAITING: Final = frozenset({EndpointStatus.UNVERIFIED, EndpointStatus.PAUSED})


def fan_out(
    event: Event,
    notices: Iterable[Notice],
    partners: Iterable[Partner],
    now: datetime,
    deadline_of: Callable[[Partner], timedelta | None],
    id_of: Callable[[str], str],
) -> list[Message]:
    """One message per endpoint for each of the event's items that its partner has a notice of.

    `notices` are the case's. `id_of` gives a message's name, without its prefix, from what the
    message is about. A suspended partner is asked nothing new; what becomes of the items it holds
    waits for it. An endpoint with no URL, or paused, or not verified yet, gets messages that wait
    too (due_at None): a withdrawal is not forgotten because an endpoint has yet to be enrolled. A
    disabled one gets due messages, so that delivery fails them and an operator hears of each.
    """
    by_id = {partner.id: partner for partner in partners if _is_told(partner, event)}
    wanted = frozenset(event.items)
    return [
        _message(event, notice, partner, endpoint, now, deadline_of, id_of)
        for notice in notices
        if notice.case_id == event.case_id and notice.item_number in wanted
        if (partner := by_id.get(notice.partner_id)) is not None
        for endpoint in partner.endpoints
        if _takes(endpoint, event.type)
    ]


def _is_told(partner: Partner, event: Event) -> bool:
    return _is_active(partner) or event.type is not EventType.REMOVAL_REQUESTED


def _is_active(partner: Partner) -> bool:
    return partner.status is PartnerStatus.ACTIVE


def _takes(endpoint: Endpoint, event_type: EventType) -> bool:
    return not endpoint.event_types or event_type in endpoint.event_types


def _message(
    event: Event,
    notice: Notice,
    partner: Partner,
    endpoint: Endpoint,
    now: datetime,
    deadline_of: Callable[[Partner], timedelta | None],
    id_of: Callable[[str], str],
) -> Message:
    is_open = _is_active(partner) and endpoint.status not in _WAITING
    return Message(
        id=MessageId("msg_" + id_of(f"{event.id}|{notice.id}|{endpoint.id}")),
        event_type=event.type,
        event_at=event.at,
        partner_id=partner.id,
        endpoint_id=endpoint.id,
        notice_id=notice.id,
        created_at=now,
        due_at=now if is_open and endpoint.url is not None else None,
        deadline=None if event.type is EventType.REMOVAL_WITHDRAWN else deadline_of(partner),
    )


def _taken_away(message: Message) -> Message:
    return replace(message, claim=message.claim + 1)
