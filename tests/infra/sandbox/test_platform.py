"""Who the sandbox platform takes for the service, by the file that it was handed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.sandbox.platform import Enrolment, Forged, Gallery, Platform
from partners.model import SigningScheme
from partners.signing import SigningKey, generate, sign

HANDED = {
    "partner_id": "ptn_1",
    "endpoint_id": "end_1",
    "service_url": "http://service.test",
    "api_key": "rrp_1",
    "sealing_key": None,
    "verified": False,
    "refusal": "handshake: answered 403",
}
BODY = b'{"type": "endpoint.verification", "data": {"challenge": "word"}}'


def a_platform(folder: Path, **members: Any) -> Platform:
    file = folder / "mine.json"
    file.write_text(json.dumps({**HANDED, **members}))
    return Platform("Mine", Gallery(folder), file)


def signed(*keys: SigningKey) -> dict[str, str]:
    return sign(list(keys), "msg_1", datetime.now(UTC), BODY)


@pytest.fixture(params=SigningScheme)
def keys(request: pytest.FixtureRequest) -> tuple[SigningKey, SigningKey]:
    return generate(request.param), generate(request.param)


def test_it_verifies_by_what_the_operators_command_prints(
    tmp_path: Path, keys: tuple[SigningKey, SigningKey]
) -> None:
    ours, other = keys
    platform = a_platform(tmp_path, webhook_key=ours.handed_over())
    assert platform.receive(signed(ours), BODY) == "word"
    with pytest.raises(Forged):
        platform.receive(signed(other), BODY)


def test_it_verifies_by_a_file_of_the_older_form(
    tmp_path: Path, keys: tuple[SigningKey, SigningKey]
) -> None:
    """Such a file lists the webhook keys and has nothing that is not used."""
    older = {n: v for n, v in HANDED.items() if n not in ("endpoint_id", "verified", "refusal")}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**older, "keys": [key.handed_over() for key in keys]}))
    platform = Platform("Mine", Gallery(tmp_path), file)
    for key in keys:
        assert platform.receive(signed(key), BODY) == "word"
    assert Enrolment.read(file).keys == tuple(key.handed_over() for key in keys)


def test_during_a_change_of_keys_either_one_is_enough(
    tmp_path: Path, keys: tuple[SigningKey, SigningKey]
) -> None:
    old, new = keys
    platform = a_platform(tmp_path, webhook_key=new.handed_over(), keys=[old.handed_over()])
    for signing in ((old,), (new,), (old, new)):
        assert platform.receive(signed(*signing), BODY) == "word"


@pytest.mark.parametrize("written", ["", '{"partner_id": "ptn'])
def test_while_its_file_is_being_written_it_knows_nobody(tmp_path: Path, written: str) -> None:
    platform = a_platform(tmp_path)
    platform.enrolment_file.write_text(written)
    with pytest.raises(Forged):
        platform.grant()


def test_without_a_key_it_believes_nobody(
    tmp_path: Path, keys: tuple[SigningKey, SigningKey]
) -> None:
    platform = a_platform(tmp_path)
    with pytest.raises(Forged):
        platform.receive(signed(*keys), BODY)
