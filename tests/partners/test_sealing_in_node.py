"""What we seal opens in another language, with a library that none of ours is related to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from partners.sealing import Signer, check_key_set, seal
from partners.signing import PrivateKey
from tests.partners.test_sealing import ADDRESS, KEYS, SIGNER, hashes, public

NODE = Path(__file__).with_name("node")


def opened(*questions: dict[str, Any]) -> list[dict[str, Any]]:
    """What npm's jose makes of each."""
    done = subprocess.run(
        ["node", str(NODE / "open_sealed.mjs")],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def question(key: str, payload: dict[str, object], signer: Signer = SIGNER) -> dict[str, Any]:
    sealed = seal(payload, ADDRESS, signer, check_key_set(public(KEYS[key])))
    own = KEYS[key].as_dict(private=True)
    return {"sealed": sealed, "own": own, "sealing_key": SIGNER.jwk()}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("count", [0, 1, 16, 64, 128])
def test_it_opens_in_node_short_and_long(key: str, count: int) -> None:
    payload = hashes(count)
    (found,) = opened(question(key, payload))
    assert found["hashes"] == payload["hashes"]
    assert (found["aud"], found["jti"]) == (ADDRESS.partner_id, ADDRESS.message_id)


def test_node_refuses_what_is_altered_for_another_or_by_another() -> None:
    good = question("P-256", hashes(8))
    head, wrapped, nonce, body, tag = good["sealed"].split(".")
    changed = "B" if body[10] != "B" else "C"
    altered = ".".join([head, wrapped, nonce, body[:10] + changed + body[11:], tag])
    stranger = Signer(PrivateKey.generate())
    found = opened(
        good,
        good | {"sealed": altered},
        good | {"own": KEYS["X25519"].as_dict(private=True)},
        question("P-256", hashes(8), stranger),
    )
    assert ["refused" in answer for answer in found] == [False, True, True, True]
