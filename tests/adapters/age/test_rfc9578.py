"""Against RFC 9578's own vectors of token type 0x0002 (tests/vectors/age/rfc9578-type2.json)."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest

from app.adapters.age.private_token import TYPE, Token, TokenKey, token_challenge

FILE = Path(__file__).parents[2] / "vectors" / "age" / "rfc9578-type2.json"
FIGURES = json.loads(FILE.read_text())
VECTORS: list[dict[str, str]] = FIGURES["vectors"] + FIGURES["tokens_only"]


def read(vector: dict[str, str]) -> tuple[TokenKey, Token]:
    spki, token = bytes.fromhex(vector["token_key"]), bytes.fromhex(vector["token"])
    return TokenKey.parse(spki), Token.parse(base64.urlsafe_b64encode(token).decode())


@pytest.mark.parametrize("vector", VECTORS)
def test_the_rfcs_tokens_verify(vector: dict[str, str]) -> None:
    key, token = read(vector)
    assert token.type == TYPE
    assert token.nonce.hex() == vector["nonce"]
    assert token.key_id == key.id
    assert token.challenge_digest == sha256(bytes.fromhex(vector["challenge"])).digest()
    assert key.verifies(token)


@pytest.mark.parametrize(("vector", "context"), list(zip(VECTORS, [32, 0], strict=True)))
def test_the_rfcs_challenges_are_ours_to_the_byte(vector: dict[str, str], context: int) -> None:
    raw = bytes.fromhex(vector["challenge"])
    after_issuer = 2 + 2 + len("issuer.example") + 1
    redemption_context = raw[after_issuer : after_issuer + context]
    assert token_challenge("issuer.example", "origin.example", redemption_context) == raw


def test_one_vectors_signature_is_not_anothers() -> None:
    (key, one), (_, two) = map(read, VECTORS)
    mixed = Token(
        one.type, one.nonce, one.challenge_digest, one.key_id, one.signed, two.authenticator
    )
    assert not key.verifies(mixed)
