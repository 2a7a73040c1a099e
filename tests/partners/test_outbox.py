"""Every pair of message states, and one message per item and endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.errors import TransitionRefused
from partners.events import Event, EventType
from partners.model import (
    CaseId,
    Endpoint,
    EndpointId,
    EndpointStatus,
    EventId,
    Message,
    MessageState,
    Notice,
    NoticeId,
    Partner,
    PartnerId,
    PartnerStatus,
    SigningScheme,
)
from partners.outbox import (
    MESSAGE_FOLLOWS,
    acknowledged,
    cancelled,
    fan_out,
    moved,
    replayed,
    resumed,
    to_replay,
)
from tests.contract.messages_contract import a_message
from tests.partners.memory import EPOCH, SetClock, a_notice

NOW = SetClock().now()
ALLOWED = {
    "pending": "delivered failed cancelled",
    "delivered": "pending",
    "failed": "pending delivered cancelled",
    "cancelled": "",
}


def in_state(state: MessageState) -> Message:
    return replace(a_message(1, state=state), attempts=4, claim=6)


@pytest.mark.parametrize(("was", "becomes"), list(product(MessageState, MessageState)))
def test_every_pair_of_states(was: MessageState, becomes: MessageState) -> None:
    assert set(MESSAGE_FOLLOWS) == set(MessageState)
    message = in_state(was)
    if becomes.value not in ALLOWED[was.value].split():
        with pytest.raises(TransitionRefused, match=f"{becomes} may not follow {was}"):
            moved(message, becomes, NOW)
        return
    after = moved(message, becomes, NOW)
    assert after.state is becomes
    assert after.due_at == (NOW if becomes is MessageState.PENDING else None)
    assert after.claim == message.claim


def test_a_replay_begins_the_schedule_again_and_takes_the_message_from_whoever_holds_it() -> None:
    again = replayed(in_state(MessageState.FAILED), NOW)
    assert (again.attempts, again.claim, again.due_at) == (0, 7, NOW)
    assert acknowledged(in_state(MessageState.PENDING)).claim == 7
    assert cancelled(in_state(MessageState.FAILED)).claim == 7
    with pytest.raises(TransitionRefused):
        replayed(in_state(MessageState.CANCELLED), NOW)
    with pytest.raises(TransitionRefused):
        replayed(in_state(MessageState.PENDING), NOW)


def test_only_what_waits_without_a_time_is_resumed() -> None:
    waiting = replace(in_state(MessageState.PENDING), due_at=None)
    assert resumed(waiting, NOW).due_at == NOW
    for message in (in_state(MessageState.PENDING), in_state(MessageState.DELIVERED)):
        with pytest.raises(TransitionRefused):
            resumed(message, NOW)


def an_endpoint(
    name: str,
    url: str | None = "https://a.example.org/hook",
    status: EndpointStatus = EndpointStatus.ACTIVE,
    event_types: tuple[str, ...] = (),
) -> Endpoint:
    return Endpoint(EndpointId(name), url, SigningScheme.V1A, (), status, event_types)


def a_partner(name: str, *endpoints: Endpoint, suspended: bool = False) -> Partner:
    status = PartnerStatus.SUSPENDED if suspended else PartnerStatus.ACTIVE
    return Partner(PartnerId(name), name, "two-days", endpoints, (), EPOCH, status)


def notice_of(item: int, partner: str, case: str = "case_one") -> Notice:
    made = a_notice(NoticeId(f"itm_{item}_{partner}_{case}"), partner)
    return replace(made, item_number=item, case_id=CaseId(case))


def an_event(*items: int, kind: EventType = EventType.REMOVAL_REQUESTED) -> Event:
    return Event(EventId("evt_one"), kind, CaseId("case_one"), items, EPOCH)


def name_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def spread(event: Event, notices: list[Notice], partners: list[Partner]) -> list[Message]:
    return fan_out(event, notices, partners, NOW, lambda _: timedelta(hours=48), name_of)


def test_one_message_for_each_notice_and_endpoint() -> None:
    partners = [
        a_partner("ptn_a", an_endpoint("end_a1"), an_endpoint("end_a2")),
        a_partner("ptn_b", an_endpoint("end_b")),
        a_partner("ptn_c", an_endpoint("end_c")),
    ]
    notices = [notice_of(1, "ptn_a"), notice_of(2, "ptn_a"), notice_of(1, "ptn_b")]
    made = spread(an_event(1), [*notices, notice_of(1, "ptn_c", "case_two")], partners)
    told = [(m.notice_id, m.endpoint_id) for m in made]
    assert told == [
        ("itm_1_ptn_a_case_one", "end_a1"),
        ("itm_1_ptn_a_case_one", "end_a2"),
        ("itm_1_ptn_b_case_one", "end_b"),
    ]
    assert all(m.id.startswith("msg_") and m.due_at == NOW for m in made)
    assert {m.deadline for m in made} == {timedelta(hours=48)}


def test_a_repeat_makes_the_same_messages() -> None:
    partners = [a_partner("ptn_a", an_endpoint("end_a1"), an_endpoint("end_a2"))]
    notices = [notice_of(n, "ptn_a") for n in range(4)]
    first = spread(an_event(*range(4)), notices, partners)
    again = fan_out(
        an_event(*range(4)),
        reversed(notices),
        partners,
        NOW + timedelta(hours=1),
        lambda _: None,
        name_of,
    )
    assert {m.id for m in first} == {m.id for m in again}
    assert len({m.id for m in first}) == 8
    other = replace(an_event(*range(4)), id=EventId("evt_two"))
    assert not {m.id for m in spread(other, notices, partners)} & {m.id for m in first}


def test_who_is_told_nothing_and_who_waits() -> None:
    notices = [notice_of(1, "ptn_a"), notice_of(1, "ptn_gone")]
    endpoints = [
        an_endpoint("end_pull", None),
        an_endpoint("end_paused", status=EndpointStatus.PAUSED),
        an_endpoint("end_new", status=EndpointStatus.UNVERIFIED),
        an_endpoint("end_gone", status=EndpointStatus.DISABLED),
        an_endpoint("end_picky", event_types=("removal.withdrawn",)),
    ]
    assert spread(an_event(1), notices, [a_partner("ptn_a", *endpoints, suspended=True)]) == []
    made = spread(an_event(1), notices, [a_partner("ptn_a", *endpoints)])
    assert {m.endpoint_id: m.due_at for m in made} == {
        "end_pull": None,
        "end_paused": None,
        "end_new": None,
        "end_gone": NOW,
    }
    withdrawn = spread(
        an_event(1, kind=EventType.REMOVAL_WITHDRAWN), notices, [a_partner("ptn_a", *endpoints)]
    )
    assert "end_picky" in {m.endpoint_id for m in withdrawn}
    assert {m.deadline for m in withdrawn} == {None}


@given(
    items=st.lists(st.integers(1, 5), max_size=5),
    noticed=st.sets(st.tuples(st.integers(1, 5), st.sampled_from(["ptn_a", "ptn_b", "ptn_c"]))),
    counts=st.dictionaries(st.sampled_from(["ptn_a", "ptn_b"]), st.integers(0, 3)),
)
def test_never_a_message_too_many_or_too_few(
    items: list[int], noticed: set[tuple[int, str]], counts: dict[str, int]
) -> None:
    partners = [
        a_partner(name, *[an_endpoint(f"end_{name}_{n}") for n in range(count)])
        for name, count in counts.items()
    ]
    made = spread(an_event(*items), [notice_of(i, p) for i, p in sorted(noticed)], partners)
    expected = sum(counts.get(partner, 0) for item, partner in noticed if item in items)
    assert len(made) == len({m.id for m in made}) == expected


def test_one_a_range_or_all_failed_are_replayed_and_never_what_was_cancelled() -> None:
    messages = [
        replace(a_message(n, state=state), created_at=NOW + timedelta(hours=n))
        for n, state in enumerate([*MessageState, *MessageState])
    ]
    failed = [m for m in messages if m.state is MessageState.FAILED]
    assert to_replay(messages) == failed
    assert to_replay(messages, since=failed[1].created_at) == failed[1:]
    assert to_replay(messages, until=failed[1].created_at) == failed[:1]
    every = to_replay(messages, states=MessageState)
    assert {m.state for m in every} == {MessageState.FAILED, MessageState.DELIVERED}
    assert all(replayed(m, NOW).due_at == NOW for m in every)
