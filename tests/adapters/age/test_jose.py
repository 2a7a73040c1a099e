from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.age.jose import (
    Unreadable,
    decode,
    encode,
    read_compact,
    read_object,
    read_public_key,
)
from app.client.age import Device


@given(st.binary(max_size=70))
def test_bytes_have_one_spelling(raw: bytes) -> None:
    text = encode(raw)
    assert decode(text) == raw
    for other in (f"{text}=", f"{text}A===", f" {text}", f"{text}\n", f"{text}!"):
        with pytest.raises(Unreadable):
            decode(other)


@given(st.text(max_size=40))
def test_what_is_decoded_is_spelt_so(text: str) -> None:
    try:
        raw = decode(text)
    except Unreadable:
        return
    assert encode(raw) == text


def test_the_standard_alphabet_is_not_taken() -> None:
    assert decode("-_-_") == bytes.fromhex("fbffbf")
    with pytest.raises(Unreadable):
        decode("+/+/")


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_plain_objects_are_read(members: dict[str, object]) -> None:
    assert read_object(json.dumps(members).encode()) == members


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        b'{"a":1}{}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b"{'a':1}",
        b'{"a":\x01}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'{"a":' * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_anything_else_is_not(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read_object(raw)


def test_a_compact_jws_is_read_in_its_parts() -> None:
    text = ".".join(encode(part) for part in (b'{"a":1}', b"{}", b"sig"))
    jws = read_compact(text)
    assert (jws.header, jws.payload, jws.signature) == ({"a": 1}, {}, b"sig")
    assert jws.signing_input.decode() == text.rpartition(".")[0]


def test_a_coordinate_is_32_bytes_even_with_a_zero_in_front() -> None:
    jwk = Device().jwk()
    assert read_public_key(jwk).alg == "ES256"
    for longer in (b"\0" + decode(jwk["x"]), decode(jwk["x"])[1:]):
        with pytest.raises(Unreadable):
            read_public_key(jwk | {"x": encode(longer)})


def test_a_thumbprint_is_rfc_7638s() -> None:
    """Against the device's own reckoning, and for Ed25519 against RFC 8037 appendix A.3."""
    device = Device()
    assert read_public_key(device.jwk()).thumbprint == device.thumbprint()
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    key = read_public_key({"kty": "OKP", "crv": "Ed25519", "x": x})
    assert key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
