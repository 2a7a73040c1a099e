"""Against the vectors in tests/vectors/age: one set minted blind by an independent client and
issuer, one in Python. They are this project's own; test_rfc9578.py has the RFC's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from app.adapters.age.jose import Unreadable
from app.adapters.age.private_token import Token, TokenKey, token_challenge

VECTORS = Path(__file__).parents[2] / "vectors" / "age"
BLIND: list[dict[str, Any]] = json.loads((VECTORS / "privacypass-blind.json").read_text())
PYTHON: list[dict[str, Any]] = json.loads((VECTORS / "privacypass-python.json").read_text())
ALL = [
    (bytes.fromhex(v.get("spki") or v["pkS"]), bytes.fromhex(v["token"]), v["token_challenge"])
    for v in BLIND + PYTHON
]


def padded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


@pytest.mark.parametrize(("spki", "raw", "challenge"), ALL)
def test_the_vectors_verify(spki: bytes, raw: bytes, challenge: str) -> None:
    key, token = TokenKey.parse(spki), Token.parse(padded(raw))
    assert token.key_id == key.id
    assert key.verifies(token)
    assert token.signed + token.authenticator == raw


@pytest.mark.parametrize(("spki", "raw", "challenge"), ALL)
def test_another_vectors_key_does_not_verify(spki: bytes, raw: bytes, challenge: str) -> None:
    others = {other for other, _, _ in ALL} - {spki}
    assert others
    assert not any(TokenKey.parse(other).verifies(Token.parse(padded(raw))) for other in others)


@pytest.mark.parametrize("vector", PYTHON)
def test_a_challenge_has_the_vectors_bytes(vector: dict[str, Any]) -> None:
    made = token_challenge(
        vector["issuer_name"], vector["origin_info"], bytes.fromhex(vector["redemption_context"])
    )
    assert made.hex() == vector["token_challenge"]


def test_a_redemption_context_is_empty_or_32_bytes() -> None:
    with pytest.raises(ValueError, match="0 or 32"):
        token_challenge("issuer", "origin", bytes(31))


def test_the_key_id_is_of_the_published_bytes_which_cryptography_does_not_keep() -> None:
    spki = ALL[0][0]
    encoded = load_der_public_key(spki).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert encoded != spki
    with pytest.raises(Unreadable):
        TokenKey.parse(encoded)


def test_every_flipped_bit_of_a_key_is_another_key_or_none() -> None:
    spki, raw, _ = ALL[0]
    token = Token.parse(padded(raw))
    for bit in range(len(spki) * 8):
        flipped = bytearray(spki)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            key = TokenKey.parse(bytes(flipped))
        except Unreadable:
            continue
        assert key.id != token.key_id
        assert not key.verifies(token)


def test_a_key_of_another_size_is_refused() -> None:
    for size in (1024, 3072):
        key = rsa.generate_private_key(65537, size).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(Unreadable):
            TokenKey.parse(spki)
    spki = ALL[0][0]
    for wrong in (b"", spki[:-1], spki + b"\0"):
        with pytest.raises(Unreadable):
            TokenKey.parse(wrong)


@pytest.mark.parametrize(("first", "fits"), [(0x00, False), (0x7F, False), (0x80, True)])
def test_a_modulus_has_its_highest_bit(first: int, fits: bool) -> None:
    spki = ALL[0][0]
    key = spki[: len(spki) - 5 - 256] + bytes([first]) + b"\x01" * 255 + spki[-5:]
    if fits:
        assert TokenKey.parse(key).spki == key
    else:
        with pytest.raises(Unreadable):
            TokenKey.parse(key)


@pytest.mark.parametrize("size", [0, 1, 97, 98, 353, 355, 356, 357, 708])
def test_only_354_bytes_are_a_token(size: int) -> None:
    with pytest.raises(Unreadable):
        Token.parse(padded(bytes(size)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "=",
        lambda text: text + "====",
        lambda text: text[:-1] + "=",
        lambda text: "=" + text[1:],
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: " " + text,
        lambda text: text + "\n",
        lambda text: text[:-1] + "+",
        lambda text: text[:-1] + "é",
    ],
)
def test_a_token_has_one_spelling(spoil: Any) -> None:
    text = padded(ALL[0][1])
    assert len(text) == 472
    assert Token.parse(text)
    with pytest.raises(Unreadable):
        Token.parse(spoil(text))
