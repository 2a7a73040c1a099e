"""Platforms taken on, suspended, told again, and given new secrets."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from joserfc import jwk

from app.domain.errors import ReportRemoveError
from partners.errors import (
    KeySetRefused,
    PartnerError,
    PartnerSuspended,
    UnknownPartner,
    WrongPartnerKey,
)
from partners.model import DeliveryResult, Message, Partner, PartnerId, PartnerStatus
from partners.registry import authenticate
from tests.app.services.world import HOUR, World, a_photo


def _calls(world: World, api_key: object) -> Partner:
    return authenticate(f"Bearer {api_key}", world.house.store, world.house.keys, world.clock.at)


def _add(world: World) -> dict[str, object]:
    return world.services.manage_partners.add(
        "Platform", "http://127.0.0.1:9/hook", "v1a", "uk-osa-48h", None, takes_location=False
    )


def test_what_is_handed_over_works_and_is_not_kept(world: World) -> None:
    made = _add(world)
    assert _calls(world, made["api_key"]).id == made["partner_id"]
    assert str(made["webhook_key"]).startswith("whpk_")
    world.runtime.close()
    raw = world.database.read_bytes()
    assert str(made["api_key"]).encode() not in raw
    assert str(made["webhook_key"]).encode() not in raw


@pytest.mark.parametrize(
    ("name", "webhook", "policy"),
    [
        ("", "http://127.0.0.1:9/hook", "none"),
        ("Platform", "http://192.168.1.1/hook", "none"),
        ("Platform", "http://127.0.0.1:9/hook", "no-such-policy"),
        ("Platform", "ftp://127.0.0.1/hook", "none"),
    ],
)
def test_a_platform_that_cannot_be_told_is_not_taken_on(
    world: World, name: str, webhook: str, policy: str
) -> None:
    with pytest.raises((PartnerError, ReportRemoveError)):
        world.services.manage_partners.add(name, webhook, "v1", policy, None, takes_location=False)
    assert world.house.store.partners() == ()


def test_suspended_its_key_is_refused_and_back_again_it_is_not(world: World) -> None:
    made = _add(world)
    manage, partner_id = world.services.manage_partners, str(made["partner_id"])
    manage.suspend(partner_id)
    manage.suspend(partner_id)
    with pytest.raises(PartnerSuspended):
        _calls(world, made["api_key"])
    manage.resume(partner_id)
    assert _calls(world, made["api_key"]).status is PartnerStatus.ACTIVE


def test_what_was_set_aside_while_suspended_is_due_after_it(world: World) -> None:
    partner = world.platform()
    world.report(*(a_photo() for _ in range(3)))
    world.expand()
    world.services.manage_partners.suspend(partner.id)
    engine = world.runtime.worker.engine
    for _ in range(3):
        engine.step(0.0)
    assert [message.due_at for message in world.messages()] == [None] * 3
    world.clock.forward(HOUR)
    world.services.manage_partners.resume(partner.id)
    assert [message.due_at for message in world.messages()] == [world.clock.at] * 3
    assert len(world.deliver()) == 3
    engine.close()


def test_resuming_makes_nothing_due_that_must_be_pulled(world: World) -> None:
    partner = world.platform(webhook=None)
    world.report()
    world.expand()
    manage = world.services.manage_partners
    manage.suspend(partner.id)
    manage.resume(partner.id)
    assert [message.due_at for message in world.messages()] == [None]


def test_more_than_a_page_of_waiting_messages_is_resumed(world: World) -> None:
    partner = world.platform()
    for _ in range(6):
        world.report(*(a_photo() for _ in range(20)))
    world.expand()
    taken = world.house.store.claim_due(world.clock.at, 1000, HOUR)
    aside = [DeliveryResult(_aside(message), None) for message in taken]
    world.house.store.finish(aside)
    world.services.manage_partners.resume(partner.id)
    assert len(world.deliver()) == 120


def _aside(message: Message) -> Message:
    return replace(message, due_at=None)


def test_a_withdrawal_during_the_suspension_reaches_it_after_it(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.deliver()
    world.services.manage_partners.suspend(partner.id)
    world.services.withdraw_case(key)
    world.expand()
    assert world.deliver() == []
    world.services.manage_partners.resume(partner.id)
    told = [message.event_type for message in world.deliver()]
    assert told == ["removal.withdrawn"]


def test_both_api_keys_work_during_the_overlap_and_only_the_new_one_after_it(
    world: World,
) -> None:
    made = _add(world)
    old = made["api_key"]
    (turned,) = world.services.manage_partners.rotate_api_key(str(made["partner_id"]), HOUR)
    assert _calls(world, old) == _calls(world, turned["secret"])
    world.clock.forward(HOUR)
    with pytest.raises(WrongPartnerKey):
        _calls(world, old)
    assert _calls(world, turned["secret"]).id == made["partner_id"]


def test_an_overlap_of_nought_ends_the_old_key_at_once(world: World) -> None:
    made = _add(world)
    manage = world.services.manage_partners
    (turned,) = manage.rotate_api_key(str(made["partner_id"]), timedelta(0))
    with pytest.raises(WrongPartnerKey):
        _calls(world, made["api_key"])
    _calls(world, turned["secret"])


def test_a_turned_signing_key_signs_beside_the_old_one(world: World) -> None:
    made = _add(world)
    manage = world.services.manage_partners
    (turned,) = manage.rotate_signing_keys(str(made["partner_id"]), HOUR)
    assert turned["secret"] != made["webhook_key"]
    (endpoint,) = world.again(PartnerId(str(made["partner_id"]))).endpoints
    assert [key.live(world.clock.at) for key in endpoint.keys] == [True, True]
    assert [key.live(world.clock.at + HOUR) for key in endpoint.keys] == [False, True]


def test_nobody_of_that_id_is_said_so(world: World) -> None:
    manage = world.services.manage_partners
    for act in (manage.suspend, manage.resume):
        with pytest.raises(UnknownPartner):
            act("ptn_nobody")


def test_the_operators_list_holds_no_secret(world: World) -> None:
    made = _add(world)
    text = json.dumps(world.services.manage_partners.rows(), default=str)
    assert str(made["partner_id"]) in text
    assert str(made["api_key"]) not in text
    assert str(made["webhook_key"]) not in text


def test_a_platform_changes_the_keys_that_we_seal_to(world: World) -> None:
    made = _add(world)
    manage, partner_id = world.services.manage_partners, str(made["partner_id"])
    own = jwk.KeySet([jwk.OKPKey.generate_key("X25519", auto_kid=True)])
    turned = manage.seal_to(partner_id, json.dumps(own.as_dict(private=False)))
    assert turned["sealing_key"] == manage.signer.jwk()
    assert world.again(PartnerId(partner_id)).jwks is not None
    with pytest.raises(KeySetRefused):
        manage.seal_to(partner_id, json.dumps(own.as_dict(private=True)))
    assert manage.seal_to(partner_id, None)["sealing_key"] is None
    assert world.again(PartnerId(partner_id)).jwks is None
