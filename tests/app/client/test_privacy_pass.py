"""The device's part in Python: RFC 9578's figures to the bit, and every refusal by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.age.private_token import Token, TokenKey, token_challenge
from app.client.privacy_pass import (
    Asked,
    NoPass,
    Why,
    authorization,
    b64,
    blind,
    from_b64,
)
from tests.app.web.running import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/age/rfc9578-type2.json").read_text())["vectors"]
HEAD = bytes.fromhex(VECTORS[0]["token_key"])[:-261]
PRIVATE = rsa.generate_private_key(65537, 2048).private_numbers()
CHALLENGE = token_challenge("under18.broker.example", "young.example", bytes(range(32)))


def spki_of(modulus: int) -> bytes:
    return HEAD + modulus.to_bytes(256, "big") + bytes.fromhex("0203010001")


N = PRIVATE.public_numbers.n
ASKED = Asked(CHALLENGE, spki_of(N))


def signed(request: bytes) -> bytes:
    return pow(int.from_bytes(request[3:], "big"), PRIVATE.d, N).to_bytes(256, "big")


def drawing(*values: bytes) -> Callable[[int], bytes]:
    """Random bytes that are none."""
    left = iter(values)
    return lambda length: next(left)


def test_rfc_9578s_figures_come_out_to_the_bit() -> None:
    for vector in VECTORS:
        raw = {name: bytes.fromhex(value) for name, value in vector.items()}
        draw = drawing(raw["nonce"], raw["salt"], raw["blind"])
        made = blind(Asked(raw["challenge"], raw["token_key"]), draw)
        assert made.request == raw["request"]
        assert made.finalize(raw["response"]) == raw["token"]


def test_what_the_device_makes_the_service_takes() -> None:
    made = blind(ASKED)
    token = Token.parse(authorization(made.finalize(signed(made.request)))[20:-1])
    assert TokenKey.parse(ASKED.spki).verifies(token)
    assert token.challenge_digest == sha256(CHALLENGE).digest()
    assert token.key_id == ASKED.key_id


def test_the_broker_sees_nothing_of_the_token() -> None:
    made = blind(ASKED)
    token = made.finalize(signed(made.request))
    seen = made.request + signed(made.request)
    parts = [token[2:34], *(token[at : at + 16] for at in range(98, 354, 16))]
    assert not any(part in seen for part in parts)


def test_no_two_requests_are_alike() -> None:
    assert len({blind(ASKED).request for _ in range(20)}) == 20


def test_a_token_and_its_secret_are_not_written_down() -> None:
    made = blind(ASKED)
    assert str(made._back) not in repr(made)
    assert "_message" not in repr(made)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 255), st.integers(1, 255))
def test_a_changed_signature_makes_no_token(place: int, flip: int) -> None:
    made = blind(ASKED)
    answer = bytearray(signed(made.request))
    answer[place] ^= flip
    with pytest.raises(NoPass) as refused:
        made.finalize(bytes(answer))
    assert refused.value.why in (Why.SIGNATURE_WRONG, Why.SIGNATURE_RANGE)


@pytest.mark.parametrize("length", [0, 255, 257])
def test_an_answer_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(NoPass) as refused:
        blind(ASKED).finalize(bytes(length))
    assert refused.value.why is Why.SIGNATURE_LENGTH


def test_an_answer_beyond_the_modulus_is_refused() -> None:
    made = blind(ASKED)
    over = int.from_bytes(signed(made.request), "big") + N
    with pytest.raises(NoPass) as refused:
        made.finalize(
            over.to_bytes(257, "big")[-256:] if over >> 2048 else over.to_bytes(256, "big")
        )
    assert refused.value.why in (Why.SIGNATURE_RANGE, Why.SIGNATURE_WRONG)
    with pytest.raises(NoPass) as refused:
        made.finalize(N.to_bytes(256, "big"))
    assert refused.value.why is Why.SIGNATURE_RANGE


BAD_KEYS = {
    "empty": (b"", Why.KEY_SHAPE),
    "short": (ASKED.spki[:-1], Why.KEY_SHAPE),
    "long": (ASKED.spki + b"\0", Why.KEY_SHAPE),
    "another exponent": (ASKED.spki[:-1] + b"\x03", Why.KEY_SHAPE),
    "another algorithm": (ASKED.spki[:20] + b"\x01" + ASKED.spki[21:], Why.KEY_SHAPE),
    "2047 bits": (spki_of(N >> 1 | 1), Why.KEY_WEAK),
    "even": (spki_of(N & ~1), Why.KEY_WEAK),
    "a factor of 3": (spki_of(N - N % 3), Why.KEY_WEAK),
    "a factor of 1999": (spki_of(N - N % 1999), Why.KEY_WEAK),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_is_none_of_type_2_is_refused(name: str) -> None:
    spki, why = BAD_KEYS[name]
    with pytest.raises(NoPass) as refused:
        blind(Asked(CHALLENGE, spki))
    assert refused.value.why is why


BAD_CHALLENGES = [
    b"",
    CHALLENGE[:-1],
    CHALLENGE + b"\0",
    b"\0\1" + CHALLENGE[2:],
    token_challenge("", "young.example", bytes(32)),
    CHALLENGE.replace(b"\x20" + bytes(range(32)), b"\x1f" + bytes(range(31))),
]


@pytest.mark.parametrize("challenge", BAD_CHALLENGES)
def test_a_challenge_that_is_none_is_refused(challenge: bytes) -> None:
    with pytest.raises(NoPass) as refused:
        blind(Asked(challenge, ASKED.spki))
    assert refused.value.why is Why.CHALLENGE_SHAPE


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_at_all_break_the_reading_of_a_challenge(raw: bytes) -> None:
    with suppress(NoPass):
        blind(Asked(raw, ASKED.spki))


OFFER = {"challenge": b64(CHALLENGE), "token_key": b64(ASKED.spki)}
NO_OFFERS: list[Any] = [
    {},
    {"profiles": []},
    {"profiles": [{"profile": "declared-v1"}]},
    {"profiles": [{"profile": "pp-under18-v1", "issuers": []}]},
    {"profiles": [{"profile": "pp-under18-v1", "issuers": [{**OFFER, "challenge": "?"}]}]},
    {"profiles": [{"profile": "pp-under18-v1", "issuers": [{"challenge": 3}]}]},
    {"profiles": "pp-under18-v1"},
    {"profiles": None},
]


def test_what_the_service_asks_is_read() -> None:
    offered = {"profiles": [{"profile": "pp-under18-v1", "issuers": [OFFER]}]}
    assert Asked.of(offered) == ASKED


@pytest.mark.parametrize("said", NO_OFFERS)
def test_a_service_that_takes_no_passes_is_told_apart(said: Any) -> None:
    with pytest.raises(NoPass) as refused:
        Asked.of(said)
    assert refused.value.why is Why.NOT_OFFERED


@given(st.binary(max_size=400))
def test_base64url_goes_there_and_back(raw: bytes) -> None:
    assert from_b64(b64(raw)) == raw == from_b64(b64(raw).rstrip("="))


@pytest.mark.parametrize("text", [None, 3, "a", "ab cd", "ab+d", "=", "ab=c", "abcd====", "é"])
def test_anything_else_is_not_base64url(text: Any) -> None:
    with pytest.raises(ValueError, match="base64url"):
        from_b64(text)


def test_only_a_token_is_shown() -> None:
    with pytest.raises(ValueError, match="354"):
        authorization(bytes(353))
