from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.age.reasons import Reason
from app.client.age import Device
from app.domain.age import AgeClaim
from app.domain.errors import AgeRefused
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import ABSENT, NOON, NOW, URL, World, ed25519


def reason(world: World, token: str, proof: str) -> str:
    with pytest.raises(AgeRefused) as refused:
        world.verify(token, proof)
    return refused.value.reason


def test_a_request_without_proof_is_refused(world: World) -> None:
    for proof in (None, ""):
        with pytest.raises(AgeRefused, match=Reason.PROOF_MISSING):
            world.verifier.verify(world.present(world.token(), proof), NOW)


def test_a_proof_is_bounded(world: World) -> None:
    token = world.token()
    assert reason(world, token, "a" * 4096) == Reason.PROOF_MALFORMED
    assert reason(world, token, "a" * 4097) == Reason.PROOF_TOO_LARGE


@pytest.mark.parametrize("shape", ["{p}.", "{p}=", " {p}", "a.b", "....", "\u0430.b.c"])
def test_a_proof_that_is_no_jws_is_malformed(world: World, shape: str) -> None:
    token = world.token()
    assert reason(world, token, shape.format(p=world.proof(token))) == Reason.PROOF_MALFORMED


def test_a_proof_with_a_key_said_twice_is_malformed(world: World) -> None:
    key = Ed25519PrivateKey.generate()
    header = {"typ": "dpop+jwt", "alg": "Ed25519", "jwk": Issuer("x", key).jwk()}
    text = json.dumps(header)[:-1] + ', "typ": "dpop+jwt"}'
    assert reason(world, world.token(), ed25519(key, text, {})) == Reason.PROOF_MALFORMED


@pytest.mark.parametrize("typ", ["JWT", "age-proof+jwt", "DPOP+JWT", "", None, 1])
def test_another_type_is_refused(world: World, typ: object) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, header={"typ": typ})) == Reason.PROOF_TYPE


@pytest.mark.parametrize(
    "changes", [{"typ": ABSENT}, {"alg": ABSENT}, {"jwk": ABSENT}, {"kid": "x"}, {"jku": "x"}]
)
def test_the_header_holds_type_algorithm_and_key_only(
    world: World, changes: dict[str, Any]
) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, header=changes)) == Reason.PROOF_HEADER


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "Ed25519", "ES384", "", None, 1])
def test_the_algorithm_is_the_keys_own(world: World, alg: object) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, header={"alg": alg})) == Reason.PROOF_ALG


def test_a_proof_by_another_key_is_refused(world: World) -> None:
    token = world.token()
    thief = Device()
    own_key = thief.sign(
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": thief.jwk()}, world.proof_claims(token)
    )
    assert reason(world, token, own_key) == Reason.PROOF_KEY
    shown_key = thief.sign(
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": world.device.jwk()}, world.proof_claims(token)
    )
    assert reason(world, token, shown_key) == Reason.PROOF_SIGNATURE


def test_a_private_key_in_the_proof_is_refused(world: World) -> None:
    d = b64(world.device.key.private_numbers().private_value.to_bytes(32, "big"))
    token = world.token()
    proof = world.proof(token, header={"jwk": world.device.jwk() | {"d": d}})
    assert reason(world, token, proof) == Reason.PROOF_KEY


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        "x",
        [],
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))},
        {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(31))},
        {"kty": "OKP", "crv": "Ed25519", "x": 7},
        {"kty": "EC", "crv": "P-384", "x": b64(bytes(48)), "y": b64(bytes(48))},
        {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},
        {"kty": "EC", "crv": "P-256", "x": b64(b"\xff" * 32), "y": b64(b"\xff" * 32)},
        {"kty": ["EC"], "crv": {"a": 1}},
    ],
)
def test_a_key_of_another_kind_or_off_the_curve_is_refused(world: World, jwk: object) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, header={"jwk": jwk})) == Reason.PROOF_KEY


@pytest.mark.parametrize("change", [{"kid": "x"}, {"use": "sig"}, {"y": ABSENT}, {"crv": "p-256"}])
def test_a_key_has_its_own_members_only(world: World, change: dict[str, Any]) -> None:
    jwk = {
        name: value for name, value in (world.device.jwk() | change).items() if value is not ABSENT
    }
    token = world.token()
    assert reason(world, token, world.proof(token, header={"jwk": jwk})) == Reason.PROOF_KEY


def test_a_key_spelt_differently_is_refused(world: World) -> None:
    """32 bytes leave two unused bits in the last character."""
    jwk = world.device.jwk()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    jwk["x"] = jwk["x"][:-1] + alphabet[alphabet.index(jwk["x"][-1]) + 1]
    token = world.token()
    assert reason(world, token, world.proof(token, header={"jwk": jwk})) == Reason.PROOF_KEY


def test_an_ed25519_device_is_as_good(world: World) -> None:
    key = Ed25519PrivateKey.generate()
    named = Issuer("x", key).jwk()
    token = world.token({"cnf": {"jkt": named.pop("kid")}})
    header = {"typ": "dpop+jwt", "alg": "Ed25519", "jwk": named}
    assert world.verify(token, ed25519(key, header, world.proof_claims(token)))


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat", "ath", "body_sha256"])
def test_each_claim_must_be_there(world: World, name: str) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, {name: ABSENT})) == Reason.PROOF_CLAIMS


def test_any_claim_more_is_refused(world: World) -> None:
    token = world.token()
    for name in ("sub", "nonce", "exp", ""):
        assert reason(world, token, world.proof(token, {name: "x"})) == Reason.PROOF_CLAIMS


WRONG_IDS: list[object] = ["", 1, None, [], "a" * 129, "a b", "\0"]
WRONG_TIMES: list[object] = ["1", 1.0, None, True, []]


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("jti", wrong) for wrong in WRONG_IDS), *(("iat", wrong) for wrong in WRONG_TIMES)],
)
def test_a_claim_of_another_type_is_refused(world: World, name: str, value: object) -> None:
    token = world.token()
    wanted = {Reason.PROOF_CLAIMS, Reason.PROOF_MALFORMED}
    assert reason(world, token, world.proof(token, {name: value})) in wanted


@pytest.mark.parametrize(
    ("claim", "value", "verdict"),
    [
        ("htm", "GET", Reason.PROOF_METHOD),
        ("htm", "post", Reason.PROOF_METHOD),
        ("htm", None, Reason.PROOF_METHOD),
        ("htu", URL + "/", Reason.PROOF_URL),
        ("htu", URL + "?a=1", Reason.PROOF_URL),
        ("htu", "https://other.example/v1/reports", Reason.PROOF_URL),
        ("htu", "http" + URL.removeprefix("https"), Reason.PROOF_URL),
        ("htu", None, Reason.PROOF_URL),
        ("ath", b64(bytes(32)), Reason.PROOF_TOKEN),
        ("ath", "", Reason.PROOF_TOKEN),
        ("ath", True, Reason.PROOF_TOKEN),
        ("body_sha256", b64(sha256(b"").digest()), Reason.PROOF_BODY),
        ("body_sha256", sha256(b'{"items":[]}').hexdigest(), Reason.PROOF_BODY),
        ("body_sha256", None, Reason.PROOF_BODY),
    ],
)
def test_a_proof_for_something_else_is_refused(
    world: World, claim: str, value: object, verdict: Reason
) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, {claim: value})) == verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"body_digest": sha256(b'{"items":[1]}').digest()}, Reason.PROOF_BODY),
        ({"method": "PUT"}, Reason.PROOF_METHOD),
        ({"url": URL + "2"}, Reason.PROOF_URL),
    ],
)
def test_a_right_proof_serves_no_other_request(
    world: World, change: dict[str, Any], verdict: Reason
) -> None:
    token = world.token()
    presentation = replace(world.present(token, world.proof(token)), **change)
    with pytest.raises(AgeRefused, match=verdict):
        world.verifier.verify(presentation, NOW)


def test_a_proof_serves_no_other_token(world: World) -> None:
    proof = world.proof(world.token())
    assert reason(world, world.token({"jti": "the-next-token"}), proof) == Reason.PROOF_TOKEN


@pytest.mark.parametrize(
    ("seconds", "fresh"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_a_proof_is_fresh_for_five_minutes_either_way(
    world: World, seconds: int, fresh: bool
) -> None:
    token = world.token()
    proof = world.proof(token, {"iat": NOON + seconds})
    if fresh:
        assert isinstance(world.verify(token, proof), AgeClaim)
    else:
        assert reason(world, token, proof) == Reason.PROOF_STALE


@pytest.mark.parametrize("iat", [10**400, -(10**400)])
def test_a_proof_of_another_age_of_the_world_is_stale(world: World, iat: int) -> None:
    token = world.token()
    assert reason(world, token, world.proof(token, {"iat": iat})) == Reason.PROOF_STALE


def test_an_old_proof_is_stale_while_its_token_lives(world: World) -> None:
    token = world.token()
    proof = world.proof(token)
    world.clock.at = NOW + timedelta(seconds=301)
    assert reason(world, token, proof) == Reason.PROOF_STALE


def test_every_flipped_bit_of_a_proof_is_refused(world: World) -> None:
    token = world.token()
    raw = world.proof(token).encode()
    for place in range(len(raw)):
        flipped = bytes([*raw[:place], raw[place] ^ (1 << (place % 8)), *raw[place + 1 :]])
        with pytest.raises(AgeRefused):
            world.verify(token, flipped.decode("latin-1"))


def test_every_flipped_bit_of_a_proofs_signature_fails_at_the_signature(world: World) -> None:
    token = world.token()
    signed, _, signature = world.proof(token).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert reason(world, token, f"{signed}.{b64(bytes(flipped))}") == Reason.PROOF_SIGNATURE


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["typ", "alg", "jwk"]),
        st.none() | st.text(max_size=9) | st.dictionaries(st.text(max_size=3), st.integers()),
        min_size=1,
    ),
    st.binary(max_size=80),
)
def test_no_header_or_signature_brings_anything_but_a_refusal(
    shared_world: World, header: dict[str, Any], signature: bytes
) -> None:
    token = shared_world.token()
    proof = shared_world.proof(token, header=header)
    signed = shared_world.proof(token).rpartition(".")[0]
    for text in (proof, f"{signed}.{b64(signature)}"):
        with pytest.raises(AgeRefused):
            shared_world.verify(token, text)
