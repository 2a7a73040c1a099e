"""A platform looks at its messages, and at our posts of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.web.application import create_app
from partners.model import Attempt, DeliveryResult, Message, MessageState, PartnerId
from partners.outbox import moved
from tests.app.services.world import HOUR, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.runtime.context).test_client()


def joined(world: World, name: str) -> tuple[PartnerId, dict[str, str]]:
    """A platform that pulls, and how it calls."""
    add = world.services.manage_partners.add
    made = add(name, "http://127.0.0.1:9/hook", "v1", "none", None, takes_location=False)
    partner_id = PartnerId(str(made["partner_id"]))
    world.trusting(partner_id)
    return partner_id, {"Authorization": f"Bearer {made['api_key']}"}


def posted(world: World, status: int) -> list[Message]:
    """Every message was posted once, so answered, and given up."""
    taken = world.house.store.claim_due(world.clock.at, 100, HOUR)
    tries = [Attempt(m.id, 1, world.clock.at, 5, status, None, 20, "open") for m in taken]
    ended = [moved(m, MessageState.FAILED) for m in taken]
    world.house.store.finish(list(map(DeliveryResult, ended, tries)))
    return ended


def get(client: FlaskClient, path: str, key: dict[str, str]) -> tuple[int, Any]:
    answer = client.get(path, headers=key)
    return answer.status_code, answer.get_json()


def test_attempts_are_the_platforms_own_and_hold_no_body(world: World, client: FlaskClient) -> None:
    (one, key), (_, other_key) = joined(world, "One"), joined(world, "Other")
    world.report()
    world.expand()
    message = next(m for m in posted(world, 500) if m.partner_id == one)
    path = f"/v1/partner/messages/{message.id}/attempts"
    status, body = get(client, path, key)
    assert status == 200
    (attempt,) = body["attempts"]
    assert attempt == {
        "number": 1,
        "started_at": world.clock.at.isoformat(),
        "duration_ms": 5,
        "status": 500,
        "error": None,
        "response_bytes": 20,
        "breaker": "open",
    }
    assert get(client, path, other_key)[0] == 404
    assert get(client, path, {})[0] == 401
    assert get(client, "/v1/partner/messages/msg_unknown/attempts", key)[0] == 404


def test_messages_are_listed_by_state(world: World, client: FlaskClient) -> None:
    _, key = joined(world, "One")
    world.report()
    world.expand()
    posted(world, 500)
    world.report()
    world.expand()
    states = {
        "": ["failed", "pending"],
        "?state=failed": ["failed"],
        "?state=pending": ["pending"],
        "?state=delivered": [],
    }
    for query, expected in states.items():
        status, body = get(client, f"/v1/partner/messages{query}", key)
        assert (status, [m["state"] for m in body["messages"]]) == (200, expected)
    assert get(client, "/v1/partner/messages?state=lost", key)[0] == 400
