from __future__ import annotations

import base64
import hmac
import json
import warnings
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.age.claims import Tolerance
from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jwt_age import JwtAge
from app.adapters.age.reasons import Reason
from app.domain.age import AgeBand, AgeBasis
from app.domain.errors import AgeRefused
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOON,
    NOW,
    World,
    ed25519,
    never,
    segment,
)


def reason(world: World, token: str, proof: str | None = None, **other: Any) -> str:
    with pytest.raises(AgeRefused) as refused:
        world.verify(token, proof, **other)
    return refused.value.reason


def test_a_right_token_gives_the_issuers_basis_and_one_spend(world: World) -> None:
    claim = world.verify(world.token())
    assert claim.basis is AgeBasis.VERIFIED_ESTIMATE
    assert claim.spend is not None
    assert claim.spend.value == sha256(ISSUER.encode() + b"\0" + b"jti-of-16-octets").digest()
    assert claim.spend.expires_at == NOW.replace(microsecond=0) + timedelta(seconds=660)


def test_two_presentations_of_one_token_id_have_one_spend(world: World) -> None:
    first = world.verify(world.token())
    second = world.verify(world.token({"exp": NOON + 500}))
    other = world.verify(world.token({"jti": "another-token-id"}))
    assert first.spend
    assert second.spend
    assert other.spend
    assert first.spend.value == second.spend.value != other.spend.value


def test_the_challenge_is_the_same_for_everybody_and_tells_where_to_go(world: World) -> None:
    challenge = world.verifier.challenge()
    assert challenge == world.verifier.challenge()
    assert challenge["now"] == NOON
    assert challenge["issuers"] == [
        {"issuer": ISSUER, "audience": AUDIENCE, "basis": "verified_estimate"}
    ]
    assert len(base64.urlsafe_b64decode(f"{challenge['nonce']}=")) == 32


def test_no_token_is_refused(world: World) -> None:
    for token in (None, ""):
        with pytest.raises(AgeRefused, match=Reason.TOKEN_MISSING):
            world.verifier.verify(world.present(token, "x"), NOW)


def test_the_largest_token_is_read_and_one_more_character_is_not(world: World) -> None:
    assert reason(world, "a" * 4096) == Reason.TOKEN_MALFORMED
    assert reason(world, "a" * 4097) == Reason.TOKEN_TOO_LARGE
    # A token in order, only too long, is not let through by its right signature.
    assert reason(world, world.token({"pad": "x" * 4000})) == Reason.TOKEN_TOO_LARGE


@pytest.mark.parametrize(
    "shape",
    [
        "{t}.",
        ".{t}",
        "{t}.AAAA",
        " {t}",
        "{t}\n",
        "{t}=",
        "{h}.{p}",
        "{h}..{s}",
        "{h}.{p}.",
        "é.é.é",
    ],
)
def test_anything_but_three_parts_is_malformed(world: World, shape: str) -> None:
    token = world.token()
    header, payload, signature = token.split(".")
    text = shape.format(t=token, h=header, p=payload, s=signature)
    assert reason(world, text, "x") == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "json_text",
    [
        '{"typ":"age-proof+jwt","alg":"Ed25519","kid":"KID","kid":"KID"}',
        '{"typ":"age-proof+jwt","alg":"Ed25519","kid":"KID","\\u006bid":"KID"}',
        '["typ"]',
        '"typ"',
        "null",
        '{"typ":NaN}',
        '{"typ":Infinity}',
        '{"typ":1.5}',
        "{'typ':1}",
        "[" * 2500,
        '{"a":' * 500,
        "9" * 2500,
        '\ufeff{"typ":1}',
    ],
)
def test_a_header_that_is_no_plain_json_object_is_malformed(world: World, json_text: str) -> None:
    header = json_text.replace("KID", world.issuer.jwk()["kid"])
    token = ed25519(world.issuer.key, header, world.claims())
    assert reason(world, token, "x") == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("repeated", ["iss", "aud", "exp", "jti", "cnf", "age_under_18"])
def test_a_claim_said_twice_is_malformed(world: World, repeated: str) -> None:
    claims = world.claims()
    text = json.dumps(claims)[:-1] + f", {json.dumps(repeated)}: {json.dumps(claims[repeated])}}}"
    token = ed25519(world.issuer.key, world.header(), text)
    assert reason(world, token) == Reason.TOKEN_MALFORMED


def test_a_key_said_twice_deeper_down_is_malformed(world: World) -> None:
    text = json.dumps(world.claims()).replace('{"jkt":', '{"jkt": "other", "jkt":')
    token = ed25519(world.issuer.key, world.header(), text)
    assert reason(world, token) == Reason.TOKEN_MALFORMED


def test_utf_16_is_malformed(world: World) -> None:
    payload = b64(json.dumps(world.claims()).encode("utf-16"))
    signed = f"{segment(world.header())}.{payload}"
    token = f"{signed}.{b64(world.issuer.key.sign(signed.encode()))}"
    assert reason(world, token) == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "typ", ["JWT", "age-proof+JWT", "dpop+jwt", "", None, 1, ["age-proof+jwt"]]
)
def test_another_type_is_refused(world: World, typ: object) -> None:
    assert reason(world, world.token(header={"typ": typ})) == Reason.TOKEN_TYPE


@pytest.mark.parametrize("name", ["typ", "alg", "kid"])
def test_each_header_member_must_be_there(world: World, name: str) -> None:
    assert reason(world, world.token(header={name: ABSENT})) == Reason.TOKEN_HEADER


@pytest.mark.parametrize(
    "name", ["jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "cty", "foo"]
)
def test_a_token_cannot_bring_its_own_key_or_anything_else(world: World, name: str) -> None:
    stranger = Issuer(ISSUER, Ed25519PrivateKey.generate())
    value: object = {"jwk": stranger.jwk(), "x5c": ["AAAA"], "crit": ["exp"], "b64": False}.get(
        name, "https://stranger.example/jwks.json"
    )
    for key in (stranger.key, world.issuer.key):
        token = ed25519(key, world.header({name: value}), world.claims())
        assert reason(world, token) == Reason.TOKEN_HEADER


@pytest.mark.parametrize(
    "alg", ["none", "None", "", "EdDSA", "ES256", "HS256", "RS256", "ed25519", None, 1, ["Ed25519"]]
)
def test_another_algorithm_than_the_issuers_is_refused(world: World, alg: object) -> None:
    assert reason(world, world.token(header={"alg": alg})) == Reason.TOKEN_ALG


def test_alg_none_without_a_signature_is_refused(world: World) -> None:
    signed = f"{segment(world.header({'alg': 'none'}))}.{segment(world.claims())}"
    assert reason(world, f"{signed}.", "x") == Reason.TOKEN_MALFORMED
    assert reason(world, f"{signed}.AAAA") == Reason.TOKEN_ALG


def test_a_mac_under_the_public_key_is_refused(world: World) -> None:
    jwk = world.issuer.jwk()
    raw = base64.urlsafe_b64decode(jwk["x"] + "=")
    secrets = [raw, jwk["x"].encode(), json.dumps(jwk).encode()]
    signed = f"{segment(world.header({'alg': 'HS256'}))}.{segment(world.claims())}"
    for secret in secrets:
        mac = b64(hmac.new(secret, signed.encode(), sha256).digest())
        assert reason(world, f"{signed}.{mac}") == Reason.TOKEN_ALG


@pytest.mark.parametrize("kid", ["", "unknown", None, 1, [], {"a": 1}, True])
def test_only_a_pinned_key_is_used(world: World, kid: object) -> None:
    assert reason(world, world.token(header={"kid": kid})) == Reason.KEY_UNKNOWN


def test_another_key_under_the_pinned_name_is_refused(world: World) -> None:
    token = ed25519(Ed25519PrivateKey.generate(), world.header(), world.claims())
    assert reason(world, token) == Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("iss", ["https://other.example", ISSUER + "/", "", None, 1, [ISSUER], {}])
def test_an_issuer_that_is_not_pinned_is_refused(world: World, iss: object) -> None:
    assert reason(world, world.token({"iss": iss})) == Reason.ISSUER_UNKNOWN


def test_one_issuers_key_signs_nothing_for_another(world: World) -> None:
    other = Issuer("https://other.example", Ed25519PrivateKey.generate())
    both = world.issuer.issuers_file(AUDIENCE) + other.issuers_file(AUDIENCE).split("format = 1")[1]
    world.path.write_text(both)
    header = world.header({"kid": other.jwk()["kid"]})
    assert reason(world, ed25519(other.key, header, world.claims())) == Reason.KEY_UNKNOWN
    assert world.verify(ed25519(other.key, header, world.claims({"iss": other.id})))


@pytest.mark.parametrize("year", [2025, 2101])
def test_an_issuer_counts_only_in_its_window(world: World, year: int) -> None:
    world.clock.at = NOW.replace(year=year)
    assert reason(world, world.token()) == Reason.ISSUER_WINDOW
    assert world.verifier.challenge()["issuers"] == []


def _flips(token: str) -> Iterator[str]:
    raw = token.encode()
    for place in range(len(raw)):
        for bit in range(8):
            flipped = bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]])
            yield flipped.decode("latin-1")


def test_every_flipped_bit_of_a_token_is_refused(world: World) -> None:
    token = world.token()
    proof = world.proof(token)
    assert world.verify(token, proof)
    for flipped in _flips(token):
        with pytest.raises(AgeRefused):
            world.verify(flipped, proof)


def test_every_flipped_bit_of_a_signature_fails_at_the_signature(world: World) -> None:
    """Not only because the proof names another token."""
    signed, _, signature = world.token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert reason(world, f"{signed}.{b64(bytes(flipped))}", "x") == Reason.TOKEN_SIGNATURE
    for cut in (b"", raw[:-1], raw + b"\0"):
        text = b64(cut) or "AA"
        assert reason(world, f"{signed}.{text}", "x") == Reason.TOKEN_SIGNATURE


def test_a_second_spelling_of_the_same_signature_is_refused(world: World) -> None:
    """64 bytes leave four unused bits in the last character."""
    token = world.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert base64.urlsafe_b64decode(twin.split(".")[2] + "==") == base64.urlsafe_b64decode(
        token.split(".")[2] + "=="
    )
    assert reason(world, twin) == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("name", ["aud", "iat", "exp", "jti", "nonce", "cnf", "age_under_18"])
def test_each_claim_must_be_there(world: World, name: str) -> None:
    assert reason(world, world.token({name: ABSENT})) == Reason.CLAIM_MISSING


def test_a_token_without_issuer_is_refused(world: World) -> None:
    assert reason(world, world.token({"iss": ABSENT})) == Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize(
    "name",
    ["sub", "birthdate", "name", "email", "nbf", "age", "age_over_18", "was_under_18_at", ""],
)
def test_any_claim_more_is_refused(world: World, name: str) -> None:
    for value in (True, False, None, "2010-01-01"):
        assert reason(world, world.token({name: value})) == Reason.CLAIM_EXTRA


@pytest.mark.parametrize("value", [False, None, 1, 0, "true", "1", "", 2**70, [True], {"a": True}])
@pytest.mark.parametrize("name", ["age_under_18", "was_under_18_at"])
def test_only_the_literal_true_is_true(world: World, name: str, value: object) -> None:
    claims = {"age_under_18": ABSENT, name: value}
    band = AgeBand.WAS_UNDER_18 if name == "was_under_18_at" else AgeBand.UNDER_13
    assert reason(world, world.token(claims), band=band) == Reason.CLAIM_NOT_TRUE


@pytest.mark.parametrize("wrong", [None, 1, True, [], {}, ["x"], {"a": 1}])
@pytest.mark.parametrize("name", ["aud", "jti", "nonce"])
def test_a_text_claim_of_another_type_is_refused(world: World, name: str, wrong: object) -> None:
    assert reason(world, world.token({name: wrong})) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize("wrong", [None, "1", True, [], {}])
@pytest.mark.parametrize("name", ["iat", "exp"])
def test_a_time_claim_of_another_type_is_refused(world: World, name: str, wrong: object) -> None:
    assert reason(world, world.token({name: wrong})) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize(
    "jti", ["", "a" * 7, "a" * 129, "with space", "é" * 8, "nul\0nul\0nul", "\ud800" * 8]
)
def test_a_token_id_is_bounded_and_plain(world: World, jti: str) -> None:
    assert reason(world, world.token({"jti": jti})) in (Reason.CLAIM_SHAPE, Reason.TOKEN_MALFORMED)


@pytest.mark.parametrize(
    "cnf", [None, [], "x", {}, {"jkt": 1}, {"jkt": None}, {"jkt": "x", "kid": "y"}, {"jwk": {}}]
)
def test_the_confirmation_names_exactly_a_thumbprint(world: World, cnf: object) -> None:
    assert reason(world, world.token({"cnf": cnf})) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize("aud", ["https://elsewhere.example", AUDIENCE + "/", AUDIENCE.upper(), ""])
def test_a_token_for_another_audience_is_refused(world: World, aud: str) -> None:
    assert reason(world, world.token({"aud": aud})) == Reason.AUDIENCE


def test_a_list_of_audiences_is_refused(world: World) -> None:
    assert reason(world, world.token({"aud": [AUDIENCE]})) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize(
    ("iat", "exp", "verdict"),
    [
        (-700, -61, Reason.EXPIRED),
        (-700, -60, Reason.EXPIRED),
        (-700, -59, None),
        (0, 900, None),
        (0, 901, Reason.LIFETIME),
        (0, 0, Reason.LIFETIME),
        (0, -1, Reason.LIFETIME),
        (-(10**30), 1, Reason.LIFETIME),
        (0, 10**300, Reason.LIFETIME),
        (-(10**30), -(10**30) + 1, Reason.EXPIRED),
        (60, 600, None),
        (61, 600, Reason.NOT_YET_VALID),
        (10**300, 10**300 + 1, Reason.NOT_YET_VALID),
    ],
)
def test_a_token_lives_fifteen_minutes_with_sixty_seconds_of_skew(
    world: World, iat: int, exp: int, verdict: Reason | None
) -> None:
    token = world.token({"iat": NOON + iat, "exp": NOON + exp})
    if verdict:
        assert reason(world, token) == verdict
    else:
        claim = world.verify(token)
        assert claim.spend
        assert claim.spend.expires_at > NOW.replace(microsecond=0)


def test_the_tolerance_is_a_setting(world: World) -> None:
    tolerance = Tolerance(issuer=timedelta(seconds=5), device=timedelta(seconds=20))
    world.verifier = JwtAge(IssuerFile(world.path, never), b"s" * 32, world.clock, tolerance)
    assert reason(world, world.token({"iat": NOON + 6})) == Reason.NOT_YET_VALID
    claim = world.verify(world.token({"iat": NOON + 5, "exp": NOON + 6}))
    assert claim.spend
    assert claim.spend.expires_at == NOW.replace(microsecond=0) + timedelta(seconds=11)
    token = world.token()
    assert reason(world, token, world.proof(token, {"iat": NOON - 21})) == Reason.PROOF_STALE


def test_yesterdays_challenge_counts_and_an_older_one_does_not(world: World) -> None:
    token_of = {}
    for days in (1, 0, -1, -2):
        world.clock.at = NOW + timedelta(days=days)
        token_of[days] = world.token({"nonce": world.verifier.challenge()["nonce"]})
    world.clock.at = NOW
    assert world.verify(token_of[0])
    assert world.verify(token_of[-1])
    assert reason(world, token_of[-2]) == Reason.CHALLENGE
    assert reason(world, token_of[1]) == Reason.CHALLENGE
    assert reason(world, world.token({"nonce": ""})) == Reason.CHALLENGE


CHILDREN = {AgeBand.UNDER_13, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17}


@pytest.mark.parametrize("band", AgeBand)
def test_a_band_needs_the_claim_that_says_it(world: World, band: AgeBand) -> None:
    now_claim = world.token()
    then_claim = world.token({"age_under_18": ABSENT, "was_under_18_at": True})
    right, wrong = (now_claim, then_claim) if band in CHILDREN else (then_claim, now_claim)
    assert world.verify(right, band=band)
    assert reason(world, wrong, band=band) == Reason.BAND


def _es256(key: ec.EllipticCurvePrivateKey, header: object, payload: object) -> str:
    signed = f"{segment(header)}.{segment(payload)}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_an_es256_issuer_signs_with_es256_only(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    x, y = (b64(number.to_bytes(32, "big")) for number in (point.x, point.y))
    text = world.path.read_text().replace('alg = "Ed25519"', 'alg = "ES256"')
    text = text.split("kty =")[0] + f'kty = "EC"\ncrv = "P-256"\nx = "{x}"\ny = "{y}"\n'
    world.path.write_text(text)
    assert world.verify(_es256(key, world.header({"alg": "ES256"}), world.claims()))
    assert reason(world, _es256(key, world.header(), world.claims())) == Reason.TOKEN_ALG
    assert reason(world, world.token()) == Reason.TOKEN_ALG
    assert reason(world, world.token(header={"alg": "ES256"})) == Reason.TOKEN_SIGNATURE
    token = _es256(key, world.header({"alg": "ES256"}), world.claims())
    zeros = f"{token.rpartition('.')[0]}.{b64(bytes(64))}"
    assert reason(world, zeros) == Reason.TOKEN_SIGNATURE


def test_a_refusal_holds_nothing_of_the_token(world: World) -> None:
    with pytest.raises(AgeRefused) as refused:
        world.verify(world.token({"jti": "told-to-nobody", "sub": "a-person"}))
    said = f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert "told-to-nobody" not in said
    assert "a-person" not in said


def test_verifying_warns_of_nothing(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert world.verify(world.token())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
FUZZ = settings(max_examples=200, deadline=None)


@FUZZ
@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_no_text_brings_anything_but_a_refusal(shared_world: World, text: str) -> None:
    with pytest.raises(AgeRefused):
        shared_world.verify(shared_world.token(), text or "x")
    with pytest.raises(AgeRefused):
        shared_world.verifier.verify(shared_world.present(text, text), NOW)


@FUZZ
@given(JSON, JSON)
def test_no_signed_json_brings_anything_but_a_refusal(
    shared_world: World, header: object, payload: object
) -> None:
    key = shared_world.issuer.key
    for made in (
        ed25519(key, header, payload),
        ed25519(key, shared_world.header(), payload),
        ed25519(key, header, shared_world.claims()),
    ):
        with pytest.raises(AgeRefused):
            shared_world.verify(made, "x")


@FUZZ
@given(
    st.sampled_from(["iss", "aud", "iat", "exp", "jti", "nonce", "cnf", "age_under_18", "typ"]),
    JSON,
)
def test_no_value_of_a_claim_brings_anything_but_a_verdict(
    shared_world: World, name: str, value: object
) -> None:
    about_type = name == "typ"
    token = shared_world.token(
        {} if about_type else {name: value}, {name: value} if about_type else {}
    )
    if name == "age_under_18" and value is True:
        assert shared_world.verify(token)
    else:
        with pytest.raises(AgeRefused):
            shared_world.verify(token)
