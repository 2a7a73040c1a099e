from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from app.adapters.age.issuers import BadIssuers, IssuerFile, parse
from app.adapters.age.reasons import Reason
from app.adapters.age.sdjwt_age import SdJwtAge
from app.client.age import Device
from app.domain.age import AgeBand, AgeBasis
from app.domain.errors import AgeRefused
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import ABSENT, BODY, ISSUER, NOON, NOW, ed25519, never, segment
from tests.adapters.age.wallets import (
    CLIENT,
    DAY,
    UNDER_18,
    VCT,
    Wallet,
    digest_of,
    disclosure,
)

CHILDREN = {AgeBand.UNDER_13, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17}
YES, NO = True, False
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
STATUS = {"status_list": {"idx": 412, "uri": "https://issuer.example/status/1"}}


@pytest.fixture
def wallet(tmp_path: Path) -> Wallet:
    return Wallet(tmp_path)


def reason(wallet: Wallet, token: str | None, **other: Any) -> str:
    with pytest.raises(AgeRefused) as refused:
        wallet.verify(token, **other)
    return refused.value.reason


def flips(text: str) -> Iterator[str]:
    """The text with each bit of the bytes it spells in base64url turned."""
    raw = base64.urlsafe_b64decode(text + "==")
    for bit in range(len(raw) * 8):
        turned = bytearray(raw)
        turned[bit // 8] ^= 1 << (bit % 8)
        yield b64(bytes(turned))


# ---- what is taken -------------------------------------------------------------------------------


def test_a_right_presentation_gives_the_issuers_basis_and_one_spend(wallet: Wallet) -> None:
    claim = wallet.verify(wallet.present())
    assert claim.basis is AgeBasis.VERIFIED_ESTIMATE
    assert claim.spend is not None
    name = f"{ISSUER}\0{wallet.device.thumbprint()}\0{wallet.nonce()}"
    assert claim.spend.value == sha256(name.encode()).digest()
    # A midnight: today, tomorrow, and a day for clocks that differ.
    assert claim.spend.expires_at == datetime(2026, 3, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "claims",
    [
        {"_sd": ABSENT, "_sd_alg": ABSENT},
        {"_sd": []},
        {"nbf": NOON - 5},
        {"nbf": NOON + 60},
        {"status": STATUS},
        {"iat": NOON + 60},
        {"exp": NOON - 59},
        {"iat": NOON - 7 * DAY},
        {"exp": 10**30},
    ],
)
def test_what_a_credential_may_also_be(wallet: Wallet, claims: dict[str, Any]) -> None:
    assert wallet.verify(wallet.present(wallet.credential(claims)))


def test_the_age_may_be_hidden_whole_and_in_two_steps(wallet: Wallet) -> None:
    inner = disclosure("salt", "age_equal_or_over", {"_sd": [digest_of(UNDER_18), "x" * 43]})
    whole = disclosure("salt", "age_equal_or_over", {"18": NO})
    plain = {"age_equal_or_over": {"18": NO}}
    for listed, shown in (
        (inner, (inner, UNDER_18)),
        (inner, (UNDER_18, inner)),
        (whole, (whole,)),
    ):
        hidden = {"age_equal_or_over": ABSENT, "_sd": [digest_of(listed), "d" * 43]}
        assert wallet.verify(wallet.present(wallet.credential(hidden), shown))
    assert wallet.verify(wallet.present(wallet.credential(plain), ()))
    iat = disclosure("salt", "iat", NOON - 60)
    dated = wallet.credential({"iat": ABSENT, "_sd": [digest_of(iat)]})
    assert wallet.verify(wallet.present(dated, (UNDER_18, iat)))


@pytest.mark.parametrize("band", AgeBand)
def test_it_says_nothing_of_who_was_under_18_once(wallet: Wallet, band: AgeBand) -> None:
    if band in CHILDREN:
        assert wallet.verify(wallet.present(), band)
    else:
        assert reason(wallet, wallet.present(), band=band) == Reason.BAND


def test_the_challenge_asks_a_wallet_for_one_false(wallet: Wallet) -> None:
    challenge: Any = wallet.verifier.challenge()
    assert challenge == wallet.verifier.challenge()
    (issuer,) = challenge["issuers"]
    assert (issuer["issuer"], issuer["audience"]) == (ISSUER, CLIENT)
    (wanted,) = issuer["dcql_query"]["credentials"]
    assert wanted["format"] == "dc+sd-jwt"
    assert wanted["meta"] == {"vct_values": [VCT]}
    assert wanted["claims"] == [{"path": ["age_equal_or_over", "18"], "values": [NO]}]
    assert wanted["require_cryptographic_holder_binding"] is True
    assert challenge["now"] == NOON
    assert len(base64.urlsafe_b64decode(challenge["window"] + "=")) == 32
    wallet.clock.at = NOW.replace(year=2101)
    assert wallet.verifier.challenge()["issuers"] == []


# ---- the presentation's shape --------------------------------------------------------------------


def test_missing_and_large_presentations_are_refused(wallet: Wallet) -> None:
    assert reason(wallet, None) == reason(wallet, "") == Reason.TOKEN_MISSING
    assert reason(wallet, "a" * 8192) == Reason.TOKEN_MALFORMED
    assert reason(wallet, "a" * 8193) == Reason.TOKEN_TOO_LARGE
    assert reason(wallet, wallet.present(), proof="x") == Reason.PROOF_UNEXPECTED
    big = wallet.credential({"pad": "x" * 8000})
    assert reason(wallet, wallet.present(big)) == Reason.TOKEN_TOO_LARGE


@pytest.mark.parametrize("shape", [" {t}", "{t}\n", "{t}é", '"{t}"', "{t}=", "{t} "])
def test_foreign_characters_are_malformed(wallet: Wallet, shape: str) -> None:
    assert reason(wallet, shape.format(t=wallet.present())) == Reason.TOKEN_MALFORMED


def test_a_credential_without_any_tilde_or_with_a_broken_jwt_is_malformed(wallet: Wallet) -> None:
    credential = wallet.credential()
    assert reason(wallet, credential) == Reason.TOKEN_MALFORMED
    for broken in ("", "a.b", f"{credential}.x", credential + "="):
        assert reason(wallet, f"{broken}~{UNDER_18}~x.y.z") == Reason.TOKEN_MALFORMED


def test_a_presentation_without_key_binding_is_refused(wallet: Wallet) -> None:
    shown, _, _ = wallet.present().rpartition("~")
    assert reason(wallet, shown + "~") == Reason.PROOF_MISSING
    assert reason(wallet, wallet.credential() + "~") == Reason.PROOF_MISSING
    # Without the last tilde the disclosure stands where the proof should.
    open_age = wallet.credential({"age_equal_or_over": {"18": NO}})
    assert reason(wallet, f"{open_age}~{UNDER_18}") == Reason.PROOF_MALFORMED


def test_empty_and_too_many_disclosures_are_refused(wallet: Wallet) -> None:
    assert reason(wallet, wallet.present(disclosures=("", UNDER_18))) == Reason.DISCLOSURE_MALFORMED
    shown = [disclosure(f"{n}", "18", NO) for n in range(17)]
    assert reason(wallet, wallet.present(disclosures=shown)) == Reason.DISCLOSURE_MALFORMED
    assert reason(wallet, wallet.present(disclosures=shown[:16])) == Reason.DISCLOSURE_UNREFERENCED


# ---- the issuer's signature ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "typ", ["JWT", "vc+sd-jwt", "DC+SD-JWT", "kb+jwt", "age-proof+jwt", "", None, 1]
)
def test_another_type_is_refused(wallet: Wallet, typ: object) -> None:
    assert reason(wallet, wallet.present(wallet.credential(header={"typ": typ}))) == (
        Reason.TOKEN_TYPE
    )


@pytest.mark.parametrize(
    "name", ["jku", "x5u", "jwk", "x5c", "x5t", "crit", "b64", "cty", "trust_chain", "vctm"]
)
def test_a_credential_cannot_bring_its_own_key(wallet: Wallet, name: str) -> None:
    stranger = Issuer(ISSUER, Ed25519PrivateKey.generate())
    value: object = {"jwk": stranger.jwk(), "x5c": ["AAAA"]}.get(name, "https://x.example/keys")
    header = {"typ": "dc+sd-jwt", "alg": "Ed25519", "kid": wallet.issuer.jwk()["kid"], name: value}
    for key in (stranger.key, wallet.issuer.key):
        credential = ed25519(key, header, wallet.claims())
        assert reason(wallet, wallet.present(credential)) == Reason.TOKEN_HEADER


@pytest.mark.parametrize("alg", ["none", "", "EdDSA", "ES256", "HS256", "RS256", None, 1])
def test_another_algorithm_is_refused(wallet: Wallet, alg: object) -> None:
    credential = wallet.credential(header={"alg": alg})
    assert reason(wallet, wallet.present(credential)) == Reason.TOKEN_ALG


def test_alg_none_and_a_mac_under_the_public_key_are_refused(wallet: Wallet) -> None:
    jwk = wallet.issuer.jwk()
    header = {"typ": "dc+sd-jwt", "kid": jwk["kid"]}
    none = f"{segment(header | {'alg': 'none'})}.{segment(wallet.claims())}"
    assert reason(wallet, wallet.present(f"{none}.")) == Reason.TOKEN_MALFORMED
    assert reason(wallet, wallet.present(f"{none}.AAAA")) == Reason.TOKEN_ALG
    signed = f"{segment(header | {'alg': 'HS256'})}.{segment(wallet.claims())}"
    for secret in (base64.urlsafe_b64decode(jwk["x"] + "="), json.dumps(jwk).encode()):
        mac = b64(hmac.new(secret, signed.encode(), sha256).digest())
        assert reason(wallet, wallet.present(f"{signed}.{mac}")) == Reason.TOKEN_ALG


def test_only_the_pinned_key_signs(wallet: Wallet) -> None:
    stranger = Ed25519PrivateKey.generate()
    header = {"typ": "dc+sd-jwt", "alg": "Ed25519", "kid": wallet.issuer.jwk()["kid"]}
    forged = ed25519(stranger, header, wallet.claims())
    assert reason(wallet, wallet.present(forged)) == Reason.TOKEN_SIGNATURE
    kids: list[object] = ["", "other", None, 1, []]
    for kid in kids:
        credential = wallet.credential(header={"kid": kid})
        assert reason(wallet, wallet.present(credential)) == Reason.KEY_UNKNOWN


@pytest.mark.parametrize("iss", ["https://other.example", ISSUER + "/", "", None, 1, [ISSUER]])
def test_an_issuer_that_is_not_pinned_is_refused(wallet: Wallet, iss: object) -> None:
    assert reason(wallet, wallet.present(wallet.credential({"iss": iss}))) == Reason.ISSUER_UNKNOWN


def test_an_issuer_of_another_profile_is_not_trusted_here(wallet: Wallet) -> None:
    wallet.path.write_text(wallet.issuer.issuers_file(CLIENT))
    assert reason(wallet, wallet.present()) == Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize("year", [2025, 2101])
def test_an_issuer_counts_only_in_its_window(wallet: Wallet, year: int) -> None:
    token = wallet.present()
    wallet.clock.at = NOW.replace(year=year)
    assert reason(wallet, token) == Reason.ISSUER_WINDOW


# ---- every bit -----------------------------------------------------------------------------------


def test_every_flipped_bit_of_the_credentials_signature_is_refused(wallet: Wallet) -> None:
    signed, _, signature = wallet.credential().rpartition(".")
    for flipped in flips(signature):
        token = wallet.present(f"{signed}.{flipped}")
        assert reason(wallet, token) == Reason.TOKEN_SIGNATURE


def test_every_flipped_bit_of_the_key_bindings_signature_is_refused(wallet: Wallet) -> None:
    shown, _, signature = wallet.present().rpartition(".")
    for flipped in flips(signature):
        assert reason(wallet, f"{shown}.{flipped}") == Reason.PROOF_SIGNATURE


def test_every_flipped_bit_of_a_disclosure_is_refused(wallet: Wallet) -> None:
    for flipped in flips(UNDER_18):
        assert reason(wallet, wallet.present(disclosures=(flipped,))) in (
            Reason.DISCLOSURE_UNREFERENCED,
            Reason.DISCLOSURE_MALFORMED,
        )


def test_every_flipped_bit_of_the_text_is_refused(wallet: Wallet) -> None:
    raw = wallet.present().encode()
    for place in range(len(raw)):
        for bit in range(8):
            turned = bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]])
            with pytest.raises(AgeRefused):
                wallet.verify(turned.decode("latin-1"))


# ---- what the credential says --------------------------------------------------------------------


@pytest.mark.parametrize("value", [YES, None, 0, "false", "", "False", [], {}, [NO], {"_sd": []}])
def test_only_the_literal_false_is_false(wallet: Wallet, value: object) -> None:
    text = disclosure("salt", "18", value)
    ages = {"_sd": [digest_of(text)]}
    credential = wallet.credential({"age_equal_or_over": ages})
    assert reason(wallet, wallet.present(credential, (text,))) == Reason.CLAIM_NOT_FALSE
    plain = wallet.credential({"age_equal_or_over": {"18": value}})
    assert reason(wallet, wallet.present(plain, ())) == Reason.CLAIM_NOT_FALSE


@pytest.mark.parametrize("ages", [NO, None, 18, "18", [{"18": NO}]])
def test_an_age_that_is_no_object_is_refused(wallet: Wallet, ages: object) -> None:
    credential = wallet.credential({"age_equal_or_over": ages})
    assert reason(wallet, wallet.present(credential, ())) == Reason.CLAIM_NOT_FALSE


def test_an_age_kept_back_is_missing_and_not_false(wallet: Wallet) -> None:
    assert reason(wallet, wallet.present(disclosures=())) == Reason.CLAIM_MISSING
    without = wallet.credential({"age_equal_or_over": ABSENT})
    assert reason(wallet, wallet.present(without, ())) == Reason.CLAIM_MISSING
    empty = wallet.credential({"age_equal_or_over": {}})
    assert reason(wallet, wallet.present(empty, ())) == Reason.CLAIM_MISSING


@pytest.mark.parametrize("name", ["14", "16", "21", "018", " 18", "18 ", "1８"])
def test_another_age_says_nothing_of_18_and_more_is_refused(wallet: Wallet, name: str) -> None:
    text = disclosure("salt", name, NO)
    credential = wallet.credential(
        {"age_equal_or_over": {"_sd": [digest_of(text), digest_of(UNDER_18)]}}
    )
    assert reason(wallet, wallet.present(credential, (text,))) == Reason.CLAIM_EXTRA
    assert reason(wallet, wallet.present(credential, (text, UNDER_18))) == Reason.CLAIM_EXTRA


@pytest.mark.parametrize("name", ["iss", "vct", "iat", "exp", "cnf"])
def test_each_claim_must_be_there(wallet: Wallet, name: str) -> None:
    wanted = Reason.ISSUER_UNKNOWN if name == "iss" else Reason.CLAIM_MISSING
    assert reason(wallet, wallet.present(wallet.credential({name: ABSENT}))) == wanted


@pytest.mark.parametrize(
    "name", ["sub", "birthdate", "given_name", "age_in_years", "aud", "jti", "vct#integrity", "..."]
)
def test_any_claim_more_is_refused_plain_or_disclosed(wallet: Wallet, name: str) -> None:
    plain = wallet.present(wallet.credential({name: "2010-01-01"}))
    assert reason(wallet, plain) == Reason.CLAIM_EXTRA
    text = disclosure("salt", name, "2010-01-01")
    credential = wallet.credential({"_sd": [digest_of(text)]})
    wanted = Reason.DISCLOSURE_MALFORMED if name == "..." else Reason.CLAIM_EXTRA
    assert reason(wallet, wallet.present(credential, (UNDER_18, text))) == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [("exp", NOON + DAY), ("vct", VCT), ("cnf", None), ("nbf", 1), ("status", STATUS)],
)
def test_a_claim_that_could_be_kept_back_is_refused(
    wallet: Wallet, name: str, value: object
) -> None:
    value = {"jwk": wallet.device.jwk()} if name == "cnf" else value
    text = disclosure("salt", name, value)
    credential = wallet.credential({name: ABSENT, "_sd": [digest_of(text)]})
    assert reason(wallet, wallet.present(credential, (UNDER_18, text))) == Reason.CLAIM_EXTRA


@pytest.mark.parametrize("vct", [VCT + "/", VCT.upper(), "", "https://age.example/driver/1"])
def test_another_credential_type_is_refused(wallet: Wallet, vct: str) -> None:
    credential = wallet.credential({"vct": vct})
    assert reason(wallet, wallet.present(credential)) == Reason.CREDENTIAL_TYPE


@pytest.mark.parametrize("vct", [None, 1, [VCT], {"vct": VCT}])
def test_a_type_that_is_no_text_is_refused(wallet: Wallet, vct: object) -> None:
    assert reason(wallet, wallet.present(wallet.credential({"vct": vct}))) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        ({"exp": NOON - 60}, Reason.EXPIRED),
        ({"exp": NOON - 10**9}, Reason.EXPIRED),
        ({"iat": NOON + 61}, Reason.NOT_YET_VALID),
        ({"nbf": NOON + 61}, Reason.NOT_YET_VALID),
        ({"nbf": 10**300}, Reason.NOT_YET_VALID),
        ({"iat": NOON - 7 * DAY - 1}, Reason.CREDENTIAL_STALE),
        ({"iat": -(10**300)}, Reason.CREDENTIAL_STALE),
    ],
)
def test_a_credential_counts_in_its_time_and_while_it_is_fresh(
    wallet: Wallet, claims: dict[str, Any], verdict: Reason
) -> None:
    assert reason(wallet, wallet.present(wallet.credential(claims))) == verdict


@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("wrong", [None, "1", YES, [], {}])
def test_a_time_of_another_type_is_refused(wallet: Wallet, name: str, wrong: object) -> None:
    assert reason(wallet, wallet.present(wallet.credential({name: wrong}))) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize(
    "status",
    [
        None,
        0,
        "revoked",
        [],
        {},
        {"status_list": {}},
        {"status_list": None},
        {"status_list": [1, "x"]},
        {"status_list": {"idx": 1}},
        {"status_list": {"idx": YES, "uri": "x"}},
        {"status_list": {"idx": 1, "uri": 2}},
        {"status_list": {"idx": 1, "uri": "x", "name": "somebody"}},
        {"status_list": {"idx": 1, "uri": "x"}, "birthdate": "2010-01-01"},
        {"status_list": {"idx": 1, "uri": "x"}, "_sd": []},
    ],
)
def test_nothing_hides_in_a_status(wallet: Wallet, status: object) -> None:
    credential = wallet.credential({"status": status})
    assert reason(wallet, wallet.present(credential)) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize(
    "cnf",
    [
        None,
        [],
        {},
        {"jkt": "x"},
        {"jwk": None},
        {"jwk": {}},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    ],
)
def test_the_holders_key_must_be_named(wallet: Wallet, cnf: object) -> None:
    assert reason(wallet, wallet.present(wallet.credential({"cnf": cnf}))) == Reason.CLAIM_SHAPE


def test_the_holders_key_stands_alone_and_is_public(wallet: Wallet) -> None:
    jwk = wallet.device.jwk()
    for cnf in ({"jwk": jwk, "kid": "x"}, {"jwk": jwk | {"d": jwk["x"]}}, {"jwk": jwk, "_sd": []}):
        credential = wallet.credential({"cnf": cnf})
        assert reason(wallet, wallet.present(credential)) == Reason.CLAIM_SHAPE


# ---- disclosures ---------------------------------------------------------------------------------


def test_a_disclosure_that_nothing_refers_to_is_refused(wallet: Wallet) -> None:
    stray = disclosure("salt", "16", NO)
    token = wallet.present(disclosures=(UNDER_18, stray))
    assert reason(wallet, token) == Reason.DISCLOSURE_UNREFERENCED
    other_salt = disclosure("another salt", "18", NO)
    assert reason(wallet, wallet.present(disclosures=(other_salt,))) == (
        Reason.DISCLOSURE_UNREFERENCED
    )


def test_a_disclosure_shown_twice_is_refused(wallet: Wallet) -> None:
    token = wallet.present(disclosures=(UNDER_18, UNDER_18))
    assert reason(wallet, token) == Reason.DISCLOSURE_REPEATED


def test_a_digest_that_stands_twice_is_refused_shown_or_not(wallet: Wallet) -> None:
    digest, decoy = digest_of(UNDER_18), "d" * 43
    for claims in (
        {"age_equal_or_over": {"_sd": [digest, digest]}},
        {"age_equal_or_over": {"_sd": [digest]}, "_sd": [digest]},
        {"age_equal_or_over": {"_sd": [digest, decoy]}, "_sd": [decoy]},
        {"_sd": [decoy, decoy]},
    ):
        credential = wallet.credential(claims)
        assert reason(wallet, wallet.present(credential)) == Reason.DISCLOSURE_REPEATED


def test_a_name_that_stands_twice_is_refused(wallet: Wallet) -> None:
    over = disclosure("another salt", "18", YES)
    both = {"_sd": [digest_of(UNDER_18), digest_of(over)]}
    credential = wallet.credential({"age_equal_or_over": both})
    for shown in ((UNDER_18, over), (over, UNDER_18)):
        assert reason(wallet, wallet.present(credential, shown)) == Reason.DISCLOSURE_REPEATED
    plain_and_hidden = {"18": YES, "_sd": [digest_of(UNDER_18)]}
    credential = wallet.credential({"age_equal_or_over": plain_and_hidden})
    assert reason(wallet, wallet.present(credential)) == Reason.DISCLOSURE_REPEATED
    text = disclosure("salt", "exp", NOON + DAY)
    credential = wallet.credential({"_sd": [digest_of(text)]})
    token = wallet.present(credential, (UNDER_18, text))
    assert reason(wallet, token) == Reason.DISCLOSURE_REPEATED


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("salt",),
        ("salt", NO),
        ("salt", "18", NO, NO),
        (1, "18", NO),
        (None, "18", NO),
        ("salt", 18, NO),
        ("salt", None, NO),
        ("salt", "_sd", []),
        ("salt", "...", "x"),
        ("salt", "18", 0.5),
    ],
)
def test_a_misshapen_disclosure_is_refused_though_it_is_listed(
    wallet: Wallet, parts: tuple[object, ...]
) -> None:
    text = disclosure(*parts)
    credential = wallet.credential({"age_equal_or_over": {"_sd": [digest_of(text)]}})
    assert reason(wallet, wallet.present(credential, (text,))) == Reason.DISCLOSURE_MALFORMED


@pytest.mark.parametrize("json_text", ['{"0":"s","1":"18","2":false}', "null", "[", "[" * 3000])
def test_a_disclosure_that_is_no_list_is_refused(wallet: Wallet, json_text: str) -> None:
    text = segment(json_text)
    credential = wallet.credential({"age_equal_or_over": {"_sd": [digest_of(text)]}})
    assert reason(wallet, wallet.present(credential, (text,))) == Reason.DISCLOSURE_MALFORMED


def test_a_second_spelling_of_a_disclosure_is_refused(wallet: Wallet) -> None:
    """`~` needs no padding, and unused bits of the last character are none to play with."""
    text = disclosure("a salt of 3n", "18", NO)
    spare = text[:-1] + chr(ord(text[-1]) + 1)
    assert base64.urlsafe_b64decode(spare + "==") == base64.urlsafe_b64decode(text + "==")
    credential = wallet.credential({"age_equal_or_over": {"_sd": [digest_of(spare)]}})
    assert reason(wallet, wallet.present(credential, (spare,))) == Reason.DISCLOSURE_MALFORMED


@pytest.mark.parametrize(
    "listed", [None, "x" * 43, {}, [1], [None], ["x"], ["x" * 44], ["=" * 43], [["x" * 43]]]
)
def test_a_list_of_digests_holds_digests(wallet: Wallet, listed: object) -> None:
    for claims in ({"_sd": listed}, {"age_equal_or_over": {"18": NO, "_sd": listed}}):
        credential = wallet.credential(claims)
        shown = (UNDER_18,) if "_sd" in claims else ()
        assert reason(wallet, wallet.present(credential, shown)) == Reason.DISCLOSURE_MALFORMED


@pytest.mark.parametrize("alg", ["sha-512", "SHA-256", "md5", "", None, 1])
def test_digests_are_sha_256_only(wallet: Wallet, alg: object) -> None:
    credential = wallet.credential({"_sd_alg": alg})
    assert reason(wallet, wallet.present(credential)) == Reason.DISCLOSURE_DIGEST


def test_an_algorithm_cannot_be_named_deeper_down(wallet: Wallet) -> None:
    ages = {"_sd_alg": "sha-256", "_sd": [digest_of(UNDER_18)]}
    credential = wallet.credential({"age_equal_or_over": ages})
    assert reason(wallet, wallet.present(credential)) == Reason.CLAIM_EXTRA


# ---- key binding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", ["x", "a.b", "a.b.c", "....", "eyJ9.e30.AA"])
def test_a_key_binding_that_is_no_jws_is_malformed(wallet: Wallet, proof: str) -> None:
    shown = wallet.present().rpartition("~")[0]
    assert reason(wallet, f"{shown}~{proof}") == Reason.PROOF_MALFORMED


@pytest.mark.parametrize("typ", ["JWT", "dpop+jwt", "KB+JWT", "", None, 1])
def test_a_key_binding_has_its_own_type(wallet: Wallet, typ: object) -> None:
    assert reason(wallet, wallet.present(header={"typ": typ})) == Reason.PROOF_TYPE


@pytest.mark.parametrize("change", [{"typ": ABSENT}, {"alg": ABSENT}, {"kid": "x"}, {"jwk": {}}])
def test_a_key_bindings_header_holds_type_and_algorithm(
    wallet: Wallet, change: dict[str, Any]
) -> None:
    assert reason(wallet, wallet.present(header=change)) == Reason.PROOF_HEADER


@pytest.mark.parametrize("alg", ["none", "HS256", "Ed25519", "ES384", "", None, 1])
def test_a_key_binding_is_of_the_keys_algorithm(wallet: Wallet, alg: object) -> None:
    assert reason(wallet, wallet.present(header={"alg": alg})) == Reason.PROOF_ALG


def test_another_holder_cannot_show_it(wallet: Wallet) -> None:
    credential = wallet.credential()
    wallet.device = Device()
    assert reason(wallet, wallet.present(credential)) == Reason.PROOF_SIGNATURE


@pytest.mark.parametrize(
    "change",
    [
        {"iat": ABSENT},
        {"aud": ABSENT},
        {"nonce": ABSENT},
        {"sd_hash": ABSENT},
        {"exp": NOON},
        {"sub": "x"},
        {"transaction_data_hashes": []},
        {"iat": str(NOON)},
        {"iat": YES},
        {"iat": None},
    ],
)
def test_a_key_binding_says_exactly_four_things(wallet: Wallet, change: dict[str, Any]) -> None:
    assert reason(wallet, wallet.present(claims=change)) == Reason.PROOF_CLAIMS


@pytest.mark.parametrize("aud", ["https://other.example", CLIENT + "/", "", None, [CLIENT], 1])
def test_a_presentation_to_another_service_is_refused(wallet: Wallet, aud: object) -> None:
    assert reason(wallet, wallet.present(claims={"aud": aud})) == Reason.AUDIENCE


@pytest.mark.parametrize(
    ("iat", "fits"), [(-301, NO), (-300, YES), (300, YES), (301, NO), (10**30, NO)]
)
def test_a_key_binding_is_fresh(wallet: Wallet, iat: int, fits: bool) -> None:
    token = wallet.present(claims={"iat": NOON + iat})
    if fits:
        assert wallet.verify(token)
    else:
        assert reason(wallet, token) == Reason.PROOF_STALE


@pytest.mark.parametrize("sd_hash", ["", None, 1, "x" * 43])
def test_a_key_binding_names_what_is_shown(wallet: Wallet, sd_hash: object) -> None:
    assert reason(wallet, wallet.present(claims={"sd_hash": sd_hash})) == Reason.PROOF_TOKEN


def test_nothing_can_be_added_to_or_taken_from_what_was_bound(wallet: Wallet) -> None:
    stray = disclosure("salt", "16", NO)
    ages = {"_sd": [digest_of(UNDER_18), digest_of(stray)], "18": ABSENT}
    ages.pop("18")
    credential = wallet.credential({"age_equal_or_over": ages})
    bound = wallet.present(credential, (UNDER_18, stray)).rpartition("~")[2]
    assert reason(wallet, f"{credential}~{UNDER_18}~{bound}") == Reason.PROOF_TOKEN
    whole = wallet.present(credential).rpartition("~")[2]
    assert wallet.verify(f"{credential}~{UNDER_18}~{whole}")
    again = wallet.credential({"iat": NOON - 5, "age_equal_or_over": ages})
    assert reason(wallet, f"{again}~{UNDER_18}~{whole}") == Reason.PROOF_TOKEN


# ---- nonce and replay ----------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", ["", None, 1, "x", "A" * 43])
def test_another_nonce_is_refused(wallet: Wallet, nonce: object) -> None:
    assert reason(wallet, wallet.present(claims={"nonce": nonce})) == Reason.CHALLENGE


def test_the_window_alone_is_no_nonce_and_another_body_does_not_fit(wallet: Wallet) -> None:
    assert reason(wallet, wallet.present(claims={"nonce": wallet.window})) == Reason.CHALLENGE
    assert reason(wallet, wallet.present(), body=BODY + b" ") == Reason.CHALLENGE


def test_todays_and_yesterdays_windows_count(wallet: Wallet) -> None:
    tokens = {}
    for days in (1, 0, -1, -2):
        wallet.clock.at = NOW + timedelta(days=days)
        wallet.window = str(wallet.verifier.challenge()["window"])
        wallet.clock.at = NOW
        tokens[days] = wallet.present()
    assert wallet.verify(tokens[0])
    yesterday = wallet.verify(tokens[-1]).spend
    assert yesterday
    assert yesterday.expires_at == datetime(2026, 3, 7, tzinfo=UTC)
    assert reason(wallet, tokens[-2]) == reason(wallet, tokens[1]) == Reason.CHALLENGE


def test_another_machine_with_the_same_secret_takes_it_and_one_with_another_does_not(
    wallet: Wallet,
) -> None:
    token = wallet.present()
    wallet.verifier = SdJwtAge(IssuerFile(wallet.path, never), b"s" * 32, wallet.clock)
    assert wallet.verify(token)
    wallet.verifier = SdJwtAge(IssuerFile(wallet.path, never), b"t" * 32, wallet.clock)
    assert reason(wallet, token) == Reason.CHALLENGE


def test_one_credential_may_be_shown_for_two_reports_and_each_showing_once(
    wallet: Wallet,
) -> None:
    credential = wallet.credential()
    first = wallet.verify(wallet.present(credential)).spend
    again = wallet.verify(wallet.present(credential, claims={"iat": NOON + 1})).spend
    other_body = wallet.present(credential, claims={"nonce": wallet.nonce(b"other")})
    second = wallet.verify(other_body, body=b"other").spend
    assert first
    assert second
    assert first == again
    assert first.value != second.value


def test_a_second_signature_made_of_the_first_is_the_same_spend(wallet: Wallet) -> None:
    """ECDSA: whoever has (r, s) has (r, order - s), over the same words."""
    token = wallet.present()
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    twin = f"{signed}.{b64(r.to_bytes(32, 'big') + (ORDER - s).to_bytes(32, 'big'))}"
    assert twin != token
    assert wallet.verify(twin) == wallet.verify(token)


def test_an_es256_issuer_and_an_ed25519_holder_are_as_good(wallet: Wallet) -> None:
    key, holder = ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()
    point = key.public_key().public_numbers()
    x, y = (b64(number.to_bytes(32, "big")) for number in (point.x, point.y))
    text = wallet.path.read_text().replace('alg = "Ed25519"', 'alg = "ES256"').split("kty =")[0]
    wallet.path.write_text(text + f'kty = "EC"\ncrv = "P-256"\nx = "{x}"\ny = "{y}"\n')
    jwk = Issuer("x", holder).jwk()
    jwk.pop("kid")
    header = {"typ": "dc+sd-jwt", "alg": "ES256", "kid": wallet.issuer.jwk()["kid"]}
    signed = f"{segment(header)}.{segment(wallet.claims({'cnf': {'jwk': jwk}}))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
    assert encode_dss_signature(r, s)
    hashed = f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}~{UNDER_18}~"
    claims = {"iat": NOON, "aud": CLIENT, "nonce": wallet.nonce(), "sd_hash": digest_of(hashed)}
    assert wallet.verify(hashed + ed25519(holder, {"typ": "kb+jwt", "alg": "Ed25519"}, claims))
    mixed = ed25519(holder, {"typ": "kb+jwt", "alg": "ES256"}, claims)
    assert reason(wallet, hashed + mixed) == Reason.PROOF_ALG


# ---- the issuer file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("fresh_days = 7", "fresh_days = 0", "issuer 1: fresh_days must be a whole number from 1"),
        ("fresh_days = 7", "fresh_days = 32", "issuer 1: fresh_days must be a whole number"),
        ("fresh_days = 7", "fresh_days = true", "issuer 1: fresh_days must be a whole number"),
        ("fresh_days = 7", "fresh_days = 7.0", "issuer 1: fresh_days must be a whole number"),
        ("fresh_days = 7", "", "issuer 1: fresh_days must be a whole number"),
        (f'vct = "{VCT}"', "", "issuer 1: vct must be"),
        (f'vct = "{VCT}"', "vct = ['x']", "issuer 1: vct must be"),
        ("[[issuer]]", "[[issuer]]\nstaff = '7'", "issuer 1: has 1 members"),
        ('"sdjwt-age-v1"', '"jwt-age-v1"', "issuer 1: has 2 members"),
    ],
)
def test_each_fault_of_the_file_is_named(wallet: Wallet, old: str, new: str, problem: str) -> None:
    with pytest.raises(BadIssuers) as refused:
        parse(wallet.path.read_text().replace(old, new, 1))
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(problem)


def test_two_issuers_of_one_name_are_refused(wallet: Wallet) -> None:
    again = wallet.path.read_text().split("format = 1")[1]
    with pytest.raises(BadIssuers, match="two issuers of sdjwt-age-v1 have one id"):
        parse(wallet.path.read_text() + again)


def test_a_refusal_holds_nothing_of_the_presentation(wallet: Wallet) -> None:
    with pytest.raises(AgeRefused) as refused:
        wallet.verify(wallet.present(wallet.credential({"sub": "a-person"})))
    said = f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert "a-person" not in said


@pytest.mark.parametrize("days", [1, 31])
def test_a_credential_may_be_fresh_for_a_day_or_a_month(wallet: Wallet, days: int) -> None:
    text = wallet.path.read_text().replace("fresh_days = 7", f"fresh_days = {days}")
    assert parse(text).credentials[ISSUER].fresh == timedelta(days=days)
