"""What a partner reads is the same on every retry, until something changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partners.composing import body_of
from partners.events import EventType
from partners.model import Message, Partner, Word
from tests.app.services.world import (
    DAY,
    HOUR,
    NOW,
    World,
    a_case_key,
    a_digest,
    a_photo,
    a_request,
    declared,
)

SECONDS = st.integers(0, int(60 * DAY.total_seconds()))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, Partner]]]:
    """Platforms with and without hours, each told of a request, an update and a withdrawal."""
    world = World(Path(tmp_path_factory.mktemp("told")))
    partners = {"hours": world.platform("Hours"), "none": world.platform("None", policy="none")}
    first = a_photo()
    key = world.report(first)
    more = a_photo(entries=(*first.entries, a_digest()), extends=1)
    world.services.add_to_case(key, [more], a_request())
    world.services.withdraw_case(withdrawn := world.report())
    world.expand()
    assert len(world.notices(key)) == 2
    assert not world.notices(withdrawn)
    yield world, partners
    world.close()


def outer(world: World, message: Message, at: datetime) -> dict[str, Any]:
    """As it is read back from the bytes."""
    data: dict[str, Any] = json.loads(body(world, message, at))["data"]
    return data


def body(world: World, message: Message, at: datetime) -> bytes:
    """The thin body of a build at that time."""
    world.clock.at = at
    partner = world.again(message.partner_id)
    payload = world.services.build_payload.build(message, partner, at)
    assert payload is not None
    return body_of(message.event_type, message.event_at, payload.outer)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(early=SECONDS, late=SECONDS, again=st.booleans())
def test_two_builds_of_one_message_are_equal_byte_for_byte(
    told: tuple[World, dict[str, Partner]], early: int, late: int, again: bool
) -> None:
    world, _ = told
    for message in world.messages():
        times = [NOW + timedelta(seconds=s) for s in (early, late)]
        first, second = (body(world, message, at) for at in times)
        assert first == second
        if again:  # taken up and given back: its claim and its tries are no part of what it says
            (taken,) = [
                m
                for m in world.house.store.claim_due(times[1] + 90 * DAY, 100, HOUR)
                if m.id == message.id
            ] or [message]
            assert body(world, taken, times[1]) == first


def test_the_hours_are_there_from_the_first_and_the_deadline_once_it_is_known(
    world: World,
) -> None:
    hours, none = world.platform("Hours"), world.platform("None", policy="none")
    first = a_photo()
    key = world.report(first)
    world.expand()
    (asked,) = world.messages(partner=hours)
    said = outer(world, asked, NOW + HOUR)
    assert (said["deadline_hours"], said["deadline"]) == (48, None)
    bare = outer(world, world.messages(partner=none)[0], NOW + HOUR)
    assert (bare["deadline_hours"], bare["deadline"]) == (None, None)
    world.deliver()
    known = (world.clock.at + 48 * HOUR).isoformat()
    more = a_photo(entries=(*first.entries, a_digest()), extends=1)
    world.services.add_to_case(key, [more], a_request())
    world.expand()
    updated = world.messages(partner=hours)[-1]
    assert updated.event_type == EventType.REMOVAL_UPDATED
    for message in (asked, updated):  # a replay of the first, too
        said = outer(world, message, NOW + 9 * HOUR)
        assert (said["deadline_hours"], said["deadline"]) == (48, known)


def test_a_platform_is_told_how_the_age_was_proved(world: World) -> None:
    partner, bases = world.platform(), {}
    for shown in (declared(), world.token()):
        world.services.submit_report(key := a_case_key(), [a_photo()], shown, a_request())
        world.expand()
        notice = world.notice(key, partner)
        (message,) = (m for m in world.messages(partner=partner) if m.notice_id == notice.id)
        built = world.services.build_payload.build(message, partner, world.clock.at)
        assert built is not None
        assert built.inner is not None
        bases[shown.profile] = str(built.inner["age_basis"])
        assert bases[shown.profile] == str(
            world.services.build_payload.fetch(partner, notice.id)["age_basis"]
        )
    assert bases == {"declared-v1": "declared", "jwt-age-v1": "verified_estimate"}


def test_a_reminder_says_which_deadline_passed(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    due = world.clock.at + 48 * HOUR
    world.clock.forward(49 * HOUR)
    world.services.mark_late()
    world.expand()
    reminder = world.messages(partner=partner)[-1]
    assert reminder.event_type == EventType.REMOVAL_REMINDER
    said = outer(world, reminder, world.clock.at + DAY)
    assert (said["deadline_hours"], said["deadline"]) == (48, due.isoformat())
    assert world.say(partner, key, Word.PENDING_REVIEW).late_at is not None


def test_an_item_that_is_fetched_says_the_hours_too(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    notice = world.notice(key, partner)
    fetched = world.services.build_payload.fetch(partner, notice.id)
    assert (fetched["deadline_hours"], fetched["deadline"]) == (48, None)
