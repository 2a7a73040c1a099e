"""What only one partner can open, and what is refused at registration."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jwk

from partners.errors import KeySetRefused, SealRefused
from partners.model import MessageId, PartnerId
from partners.sealing import (
    BODY_LIMIT,
    Addressed,
    Signer,
    check_key_set,
    fits,
    seal,
    unseal,
)
from partners.signing import PrivateKey

SIGNER = Signer(PrivateKey(bytes(range(32))))
PARTNER = PartnerId("ptn_one")
MESSAGE = MessageId("msg_one")
ADDRESS = Addressed("https://remove.example.org", PARTNER, MESSAGE, 1_700_000_000)
Key = jwk.ECKey | jwk.OKPKey
KEYS: dict[str, Key] = {
    "P-256": jwk.ECKey.generate_key("P-256", {"kid": "first", "use": "enc"}),
    "X25519": jwk.OKPKey.generate_key("X25519", {"kid": "first"}),
}


def public(*keys: Key) -> str:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def private(*keys: Key) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=True) for key in keys]}


def hashes(count: int) -> dict[str, object]:
    row = {"type": "pdq", "quality": 100, "variant": "mirrored_rotated_270"}
    return {"hashes": [row | {"value": secrets.token_hex(32)} for _ in range(count)]}


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest) -> Key:
    return KEYS[request.param]


def test_what_is_sealed_opens_for_its_reader(key: Key) -> None:
    payload = {"item_id": "itm_é", **hashes(3)}
    sealed = seal(payload, ADDRESS, SIGNER, check_key_set(public(key)))
    opened = unseal(sealed, private(key), SIGNER.key.public, PARTNER, MESSAGE)
    assert opened == payload | ADDRESS.claims()


def test_nothing_of_the_payload_can_be_read_on_the_way(key: Key) -> None:
    payload = {"value": "ab" * 32, "seen": "somewhere.example.org/somebody"}
    sealed = seal(payload, ADDRESS, SIGNER, check_key_set(public(key)))
    decoded = b"".join(base64.urlsafe_b64decode(part + "==") for part in sealed.split("."))
    for shown in (b"ab" * 32, b"somebody", b"ptn_one", b"msg_one"):
        assert shown not in decoded
        assert base64.b64encode(shown)[:8] not in sealed.encode()
    header = json.loads(base64.urlsafe_b64decode(sealed.split(".")[0] + "=="))
    assert {k: header[k] for k in ("alg", "enc", "cty", "kid")} == {
        "alg": "ECDH-ES+A256KW",
        "enc": "A256GCM",
        "cty": "JWT",
        "kid": "first",
    }


def test_two_seals_of_the_same_have_nothing_in_common(key: Key) -> None:
    key_set = check_key_set(public(key))
    one, two = (seal({"a": 1}, ADDRESS, SIGNER, key_set).split(".") for _ in range(2))
    assert all(a != b for a, b in zip(one, two, strict=True))


def test_128_hashes_fit_and_are_deflated(key: Key) -> None:
    payload = hashes(128)
    sealed = seal(payload, ADDRESS, SIGNER, check_key_set(public(key)))
    assert len(sealed) < BODY_LIMIT - 4_000
    opened = unseal(sealed, private(key), SIGNER.key.public, PARTNER, MESSAGE)
    assert opened["hashes"] == payload["hashes"]


@pytest.mark.parametrize("size", range(9_000, 10_000, 100))
def test_what_is_not_deflated_fits_too(size: int) -> None:
    key_set = check_key_set(public(KEYS["P-256"]))
    sealed = seal({"x": secrets.token_hex(size // 2)}, ADDRESS, SIGNER, key_set)
    assert len(sealed) < BODY_LIMIT - 1_000


def test_the_limit_of_a_body() -> None:
    assert fits(bytes(BODY_LIMIT))
    assert not fits(bytes(BODY_LIMIT + 1))


def test_after_a_change_of_keys_the_first_is_used_and_the_old_still_opens() -> None:
    old, new = KEYS["P-256"], jwk.OKPKey.generate_key("X25519", {"kid": "second"})
    before = seal({"a": 1}, ADDRESS, SIGNER, check_key_set(public(old)))
    after = seal({"a": 2}, ADDRESS, SIGNER, check_key_set(public(new, old)))
    both = private(new, old)
    assert unseal(before, both, SIGNER.key.public, PARTNER, MESSAGE)["a"] == 1
    assert unseal(after, both, SIGNER.key.public, PARTNER, MESSAGE)["a"] == 2
    with pytest.raises(SealRefused):
        unseal(after, private(old), SIGNER.key.public, PARTNER, MESSAGE)


def test_a_partner_cannot_pass_it_on_as_meant_for_another() -> None:
    ours, theirs = KEYS["P-256"], jwk.ECKey.generate_key("P-256")
    sealed = seal({"a": 1}, ADDRESS, SIGNER, check_key_set(public(ours)))
    signed = jwe.decrypt_compact(sealed, ours, algorithms=["ECDH-ES+A256KW", "A256GCM"]).plaintext
    passed_on = jwe.encrypt_compact(
        {"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}, signed or b"", theirs
    )
    with pytest.raises(SealRefused, match="another reader"):
        unseal(passed_on, private(theirs), SIGNER.key.public, PartnerId("ptn_two"), MESSAGE)
    with pytest.raises(SealRefused, match="another reader"):
        unseal(sealed, private(ours), SIGNER.key.public, PARTNER, MessageId("msg_two"))


def test_who_else_signs_is_not_believed() -> None:
    key = KEYS["P-256"]
    sealed = seal({"a": 1}, ADDRESS, Signer(PrivateKey.generate()), check_key_set(public(key)))
    with pytest.raises(SealRefused, match="sender"):
        unseal(sealed, private(key), SIGNER.key.public, PARTNER, MESSAGE)


@given(place=st.integers(0, 10_000), to=st.characters(codec="ascii"))
def test_one_changed_character_does_not_open(place: int, to: str) -> None:
    key = KEYS["X25519"]
    sealed = seal({"a": 1}, ADDRESS, SIGNER, check_key_set(public(key)))
    place %= len(sealed)
    changed = sealed[:place] + to + sealed[place + 1 :]
    if _same_bytes(changed, sealed):
        return
    with pytest.raises(SealRefused):
        unseal(changed, private(key), SIGNER.key.public, PARTNER, MESSAGE)


@pytest.mark.parametrize("rubbish", ["", ".", "....", "a.b.c.d.e", "é" * 10, "x" * 100_000])
def test_rubbish_does_not_open(rubbish: str) -> None:
    with pytest.raises(SealRefused):
        unseal(rubbish, private(KEYS["P-256"]), SIGNER.key.public, PARTNER, MESSAGE)


P256 = json.loads(public(KEYS["P-256"]))["keys"][0]
X25519 = json.loads(public(KEYS["X25519"]))["keys"][0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"keys": 1}',
        '{"keys": []}',
        '{"keys": ["a"]}',
        "[" * 5_000,
        json.dumps({"keys": [P256] * 9}),
        json.dumps({"keys": [P256], "more": "x" * 8_192}),
        json.dumps({"keys": [KEYS["P-256"].as_dict(private=True)]}),
        json.dumps({"keys": [P256, KEYS["X25519"].as_dict(private=True)]}),
        json.dumps({"keys": [jwk.OctKey.generate_key(256).as_dict(private=True)]}),
        json.dumps({"keys": [jwk.OKPKey.generate_key("Ed25519").as_dict(private=False)]}),
        json.dumps({"keys": [jwk.ECKey.generate_key("P-384").as_dict(private=False)]}),
        json.dumps({"keys": [jwk.RSAKey.generate_key(2048).as_dict(private=False)]}),
        json.dumps({"keys": [P256 | {"use": "sig"}]}),
        json.dumps({"keys": [P256 | {"alg": "RSA-OAEP"}]}),
        json.dumps({"keys": [P256 | {"kty": ["EC"]}]}),
        json.dumps({"keys": [P256 | {"kid": "x" * 129}]}),
        json.dumps({"keys": [P256 | {"kid": 7}]}),
        json.dumps({"keys": [P256 | {"x": P256["y"]}]}),
        json.dumps({"keys": [P256 | {"x": "!"}]}),
        json.dumps({"keys": [{k: P256[k] for k in ("kty", "crv", "x")}]}),
        json.dumps({"keys": [X25519 | {"x": "AA"}]}),
        json.dumps({"keys": [X25519 | {"x": base64.b64encode(bytes(32)).decode()[:-1]}]}),
    ],
)
def test_what_is_no_set_of_public_keys_is_refused(text: str) -> None:
    with pytest.raises(KeySetRefused) as refused:
        check_key_set(text)
    for secret in (P256["x"], KEYS["P-256"].as_dict(private=True)["d"]):
        assert str(secret) not in str(refused.value)


def test_only_what_is_needed_of_a_key_is_kept() -> None:
    extra = P256 | {"x5c": ["..."], "note": "<script>"}
    kept = json.loads(check_key_set(json.dumps({"keys": [extra]})))
    assert set(kept["keys"][0]) == {"kty", "crv", "x", "y", "kid"}
    assert check_key_set(json.dumps(kept)) == json.dumps(kept)


def test_our_public_key_is_handed_over_without_the_private_one() -> None:
    handed = SIGNER.jwk()
    assert "d" not in handed
    assert handed["kid"] == jwk.OKPKey.import_key(dict(handed)).thumbprint()


def _same_bytes(one: str, two: str) -> bool:
    """Base64 leaves a few bits unused: another character there is the same value."""
    try:
        return [base64.urlsafe_b64decode(part + "==") for part in one.split(".")] == [
            base64.urlsafe_b64decode(part + "==") for part in two.split(".")
        ]
    except ValueError:
        return False
