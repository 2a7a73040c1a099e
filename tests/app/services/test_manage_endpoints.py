"""Endpoints that are asked before they are told, several to a platform, paused and back again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.ports import SavePartner
from partners.errors import (
    EndpointRefused,
    EnrolmentRefused,
    RegistrationRefused,
    TransitionRefused,
    UnknownPartner,
)
from partners.events import EventType
from partners.model import EndpointStatus, Message, Partner, PartnerId
from partners.registry import with_endpoint_status
from tests.app.services.world import HOUR, World, a_photo
from tests.partners.platforms import ALLOWING, Behaviour, Platform, answer, echoing

ORIGIN = {"WebHook-Allowed-Origin": "service.test"}
WILLING = echoing(answer(204, headers=ALLOWING | ORIGIN))


@contextmanager
def new_platform(world: World, behave: Behaviour = WILLING) -> Iterator[tuple[Platform, Partner]]:
    """A platform that listens, taken on and not verified."""
    with Platform(behave, host="127.0.0.1") as server:
        made = world.services.manage_partners.add(
            "Platform", server.url, "v1", "uk-osa-48h", None, takes_location=False
        )
        yield server, world.again(PartnerId(str(made["partner_id"])))


def statuses(world: World, partner: Partner) -> list[str]:
    return [str(e.status) for e in world.again(partner.id).endpoints]


def kinds(server: Platform) -> list[str]:
    return [f"{r.method} {r.path}" for r in server.received]


def test_a_new_webhook_is_told_nothing_before_it_is_verified(world: World) -> None:
    other = world.platform("Other")
    with new_platform(world) as (server, partner):
        assert statuses(world, partner) == ["unverified"]
        key = world.report()
        world.expand()
        assert [n.partner_id for n in world.notices(key)] == [other.id]
        assert server.received == []
        (row,) = world.services.manage_endpoints.verify(partner.id)
        assert row["rate_per_minute"] == 120
        assert kinds(server) == ["OPTIONS /hook", "POST /hook"]
        world.report()
        world.expand()
        world.post_until(lambda: len(server.received) == 3)
    assert statuses(world, partner) == ["active"]
    world.runtime.worker.engine.close()


def test_who_does_not_agree_stays_unverified_and_may_be_asked_again(world: World) -> None:
    with new_platform(world, answer(403)) as (server, partner):
        with pytest.raises(EnrolmentRefused, match="handshake: answered 403"):
            world.services.manage_endpoints.verify(partner.id)
        assert statuses(world, partner) == ["unverified"]
        server.behave = WILLING
        world.services.manage_endpoints.verify(partner.endpoints[0].id)
    assert statuses(world, partner) == ["active"]


def test_nobody_and_nothing_to_verify_is_said_so(world: World) -> None:
    verify = world.services.manage_endpoints.verify
    with pytest.raises(UnknownPartner):
        verify("ptn_nobody")
    with pytest.raises(EnrolmentRefused, match="no endpoint with a URL"):
        verify(world.platform(webhook=None).id)


def test_a_withdrawal_waits_for_an_endpoint_that_is_yet_to_be_verified(world: World) -> None:
    """A second endpoint takes the withdrawals; it is verified after one of them."""
    partner, manage = world.platform(), world.services.manage_endpoints
    with Platform(WILLING, host="127.0.0.1") as server:
        made = manage.add(partner.id, server.url, "v1a", (EventType.REMOVAL_WITHDRAWN,))
        first = tuple(kind for kind in FILTERABLE if kind != EventType.REMOVAL_WITHDRAWN)
        manage.filter(partner.endpoints[0].id, first)
        key = world.report()
        world.expand()
        world.deliver()
        world.services.withdraw_case(key)
        world.expand()
        assert world.deliver() == []
        (row,) = manage.verify(str(made["endpoint_id"]))
        assert row["resumed"] == 1
        assert [m.event_type for m in world.deliver()] == [EventType.REMOVAL_WITHDRAWN]


FILTERABLE = (
    EventType.REMOVAL_REQUESTED,
    EventType.REMOVAL_UPDATED,
    EventType.REMOVAL_WITHDRAWN,
    EventType.REMOVAL_REMINDER,
)


def test_each_endpoint_gets_its_own_message_unless_its_filter_says_no(world: World) -> None:
    partner, manage = world.platform(), world.services.manage_endpoints
    manage.add(partner.id, "http://127.0.0.1:9/second", "v1", ())
    manage.add(partner.id, "http://127.0.0.1:9/picky", "v1", (EventType.REMOVAL_REMINDER,))
    partner = world.trusting(partner.id)
    world.report()
    world.expand()
    assert {m.endpoint_id for m in world.messages()} == {e.id for e in partner.endpoints[:2]}


def test_filters_together_must_take_every_event(world: World) -> None:
    partner, manage = world.platform(), world.services.manage_endpoints
    (only,) = partner.endpoints
    with pytest.raises(RegistrationRefused, match="together"):
        manage.filter(only.id, (EventType.REMOVAL_REQUESTED,))
    with pytest.raises(RegistrationRefused):
        manage.filter(only.id, (EventType.ENDPOINT_VERIFICATION,))
    with pytest.raises(EndpointRefused):
        manage.add(partner.id, "https://10.0.0.1/hook", "v1", ())
    assert world.again(partner.id) == partner


def test_a_ninth_endpoint_is_refused(world: World) -> None:
    partner, manage = world.platform(), world.services.manage_endpoints
    for n in range(7):
        manage.add(partner.id, f"http://127.0.0.1:9/{n}", "v1a", ())
    with pytest.raises(RegistrationRefused):
        manage.add(partner.id, None, "v1a", ())
    assert len(manage.rows(partner.id)) == 8


def test_what_a_pause_set_aside_is_due_after_it(world: World) -> None:
    partner, manage = world.platform(), world.services.manage_endpoints
    (endpoint,) = partner.endpoints
    world.report(a_photo(), a_photo())
    world.expand()
    manage.pause(endpoint.id)
    world.post_until(lambda: all(m.due_at is None for m in world.messages()))
    world.report()
    world.expand()
    assert [m.due_at for m in world.messages()] == [None] * 3
    world.clock.forward(HOUR)
    assert manage.resume(endpoint.id) == 3
    assert manage.resume(endpoint.id) == 0
    assert len(world.deliver()) == 3
    world.runtime.worker.engine.close()


def test_a_suspended_platforms_endpoint_resumes_nothing(world: World) -> None:
    partner, manage = world.platform(), world.services.manage_endpoints
    (endpoint,) = partner.endpoints
    manage.pause(endpoint.id)
    world.report()
    world.expand()
    world.services.manage_partners.suspend(partner.id)
    assert manage.resume(endpoint.id) == 0
    assert world.deliver() == []


def test_what_slips_aside_while_an_endpoint_comes_back_is_found_by_the_sweeper(
    world: World,
) -> None:
    partner, manage = world.platform(), world.services.manage_endpoints
    pull = world.platform("Pull", None)
    (endpoint,) = partner.endpoints
    manage.pause(endpoint.id)
    world.report()
    world.expand()
    world.house.store.commit(_unpaused(world, partner))
    assert world.deliver() == []
    assert manage.resume_waiting() == 1
    assert [m.partner_id for m in world.deliver()] == [partner.id]
    assert _waiting(world, pull) == 1


def _unpaused(world: World, partner: Partner) -> SavePartner:
    now = world.again(partner.id)
    return SavePartner(with_endpoint_status(now, now.endpoints[0].id, EndpointStatus.ACTIVE))


def _waiting(world: World, partner: Partner) -> int:
    return sum(m.due_at is None for m in world.messages(partner=partner))


def test_a_disabled_endpoint_fails_what_waits_and_comes_back_by_being_verified(
    world: World,
) -> None:
    manage = world.services.manage_endpoints
    with new_platform(world) as (_, partner):
        (endpoint,) = partner.endpoints
        manage.verify(partner.id)
        manage.pause(endpoint.id)
        world.report()
        world.expand()
        manage.disable(endpoint.id)
        world.post_until(lambda: [_state(m) for m in world.messages()] == ["failed"])
        with pytest.raises(TransitionRefused, match="verified"):
            manage.resume(endpoint.id)
        with pytest.raises(TransitionRefused):
            manage.pause(endpoint.id)
        manage.verify(endpoint.id)
        assert statuses(world, partner) == ["active"]
        assert world.services.replay_messages.all_failed() == 1
        world.post_until(lambda: [_state(m) for m in world.messages()] == ["delivered"])
    world.runtime.worker.engine.close()


def _state(message: Message) -> str:
    return str(message.state)


def test_an_unverified_endpoint_is_neither_paused_nor_resumed(world: World) -> None:
    with new_platform(world) as (_, partner):
        (endpoint,) = partner.endpoints
        for act in (world.services.manage_endpoints.pause, world.services.manage_endpoints.resume):
            with pytest.raises(TransitionRefused):
                act(endpoint.id)


def test_a_paused_endpoint_is_not_resumed_by_asking_its_platform(world: World) -> None:
    with new_platform(world) as (server, partner):
        manage = world.services.manage_endpoints
        manage.verify(partner.id)
        manage.pause(partner.endpoints[0].id)
        with pytest.raises(EnrolmentRefused):
            manage.verify(partner.id)
        assert len(server.received) == 2
    assert statuses(world, partner) == ["paused"]


def test_the_operators_list_of_endpoints_holds_no_key(world: World) -> None:
    partner = world.platform()
    (row,) = world.services.manage_endpoints.rows(partner.id)
    assert set(row) == {"id", "url", "scheme", "status", "event_types", "rate_per_minute"}
