"""The bytes of RFC 9578 and what may be signed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.age.private_token import TokenKey
from infra.broker.errors import Code, NotSigned, StartRefused
from infra.broker.issuance import (
    REQUEST_BYTES,
    IssuerKey,
    KeyRing,
    Predicate,
    TokenRequest,
    check_type,
    directory,
    problems_of,
)
from infra.broker.signers.development import DevelopmentSigner

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(scope="module")
def key(keys: Path) -> IssuerKey:
    modulus, _ = DevelopmentSigner(keys).public("document")
    return IssuerKey("document", Predicate.DOCUMENT, modulus)


def code(raw: bytes) -> Code:
    with pytest.raises(NotSigned) as refused:
        TokenRequest.parse(raw)
    return refused.value.code


@given(st.integers(0, 255), st.integers(0, 2**2048 - 1))
def test_a_request_is_type_key_byte_and_message(key_byte: int, blinded: int) -> None:
    raw = b"\x00\x02" + bytes([key_byte]) + blinded.to_bytes(256, "big")
    assert TokenRequest.parse(raw) == TokenRequest(key_byte, blinded)


@given(st.binary(max_size=600).filter(lambda raw: len(raw) != REQUEST_BYTES))
def test_no_other_length_is_read(raw: bytes) -> None:
    assert code(raw) is Code.REQUEST_LENGTH


@given(st.integers(0, 0xFFFF).filter(lambda kind: kind != 2))
def test_no_other_type_is_read(kind: int) -> None:
    assert code(kind.to_bytes(2, "big") + bytes(257)) is Code.TOKEN_TYPE


def test_the_published_key_is_one_that_the_service_reads(key: IssuerKey) -> None:
    """Byte for byte, so that both find the same key id."""
    theirs = TokenKey.parse(key.spki)
    assert theirs.id == hashlib.sha256(key.spki).digest()
    assert theirs.id[-1] == key.id_byte


@pytest.mark.parametrize("offset", [0, 1])
def test_what_no_blinding_gives_is_not_signed(key: IssuerKey, offset: int) -> None:
    for blinded in (offset, key.modulus - 1 + offset, 2**2048 - 1):
        with pytest.raises(NotSigned) as refused:
            key.check(blinded)
        assert refused.value.code is Code.BLINDED_RANGE
    key.check(2 + offset)
    key.check(key.modulus - 2 - offset)


def test_a_key_is_found_by_the_last_byte_of_its_id_alone(key: IssuerKey) -> None:
    ring = KeyRing([key])
    assert ring.find(key.id_byte, NOW) is key
    for byte in set(range(256)) - {key.id_byte}:
        with pytest.raises(NotSigned):
            ring.find(byte, NOW)


def test_a_key_signs_from_its_time_on(key: IssuerKey) -> None:
    later = IssuerKey(key.label, key.predicate, key.modulus, NOW)
    ring = KeyRing([later])
    assert ring.find(key.id_byte, NOW) is later
    with pytest.raises(NotSigned):
        ring.find(key.id_byte, NOW - timedelta(seconds=1))


def test_two_keys_that_a_request_cannot_tell_apart_are_refused(key: IssuerKey) -> None:
    number = key.modulus + 2
    while IssuerKey("other", Predicate.ESTIMATE, number).id_byte != key.id_byte:
        number += 2
    assert problems_of([key]) == []
    (problem,) = problems_of([key, IssuerKey("other", Predicate.ESTIMATE, number)])
    assert "same byte" in problem


def test_a_third_live_key_of_a_predicate_is_refused(key: IssuerKey) -> None:
    others = [IssuerKey(str(n), key.predicate, key.modulus + 2 * n) for n in range(3)]
    assert any("more than 2" in problem for problem in problems_of(others))
    others[2] = IssuerKey("2", Predicate.ESTIMATE, key.modulus + 4)
    assert not any("more than 2" in problem for problem in problems_of(others))


def test_the_directory_says_what_a_key_asserts(key: IssuerKey) -> None:
    later = IssuerKey("later", Predicate.ESTIMATE, key.modulus, NOW)
    listed = directory([key, later], [])["token-keys"]
    assert listed == [
        {"token-type": 2, "token-key": key.spki_text, "predicate": "under18-document"},
        {
            "token-type": 2,
            "token-key": key.spki_text,
            "predicate": "under18-estimate",
            "not-before": int(NOW.timestamp()),
        },
    ]


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [(2**2047 + 1, 3), (2**2046 + 1, 65537), (2**2048 + 1, 65537), (2**3071 + 1, 65537)],
)
def test_a_key_of_another_size_is_none_of_this_type(modulus: int, exponent: int) -> None:
    with pytest.raises(StartRefused):
        check_type(modulus, exponent)
    check_type(2**2047 + 1, 65537)
