from __future__ import annotations

import base64
import hmac
import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.age.attested import request_code
from app.adapters.age.issuers import BadIssuers, parse
from app.adapters.age.reasons import Reason
from app.client import attested as client
from app.domain.age import AgeBand, AgeBasis
from app.domain.errors import AgeRefused
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import ABSENT, BODY, NOON, NOW, ed25519, segment
from tests.adapters.age.vouching import CODE, HELPLINE, SERVICE, Helpline, seat

CHILDREN = {AgeBand.UNDER_13, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17}


@pytest.fixture
def helpline(tmp_path: Path) -> Helpline:
    return Helpline(tmp_path)


def reason(helpline: Helpline, token: str | None, **other: Any) -> str:
    with pytest.raises(AgeRefused) as refused:
        helpline.verify(token, **other)
    return refused.value.reason


# ---- what is taken -------------------------------------------------------------------------------


def test_a_counsellors_word_gives_its_basis_and_one_spend(helpline: Helpline) -> None:
    claim = helpline.verify(helpline.attestation())
    assert claim.basis is AgeBasis.COUNSELLOR_ATTESTED
    assert claim.spend
    assert claim.spend.value == sha256(f"{HELPLINE}\0jti-of-16-octets".encode()).digest()
    assert claim.spend.expires_at == NOW.replace(microsecond=0) + timedelta(seconds=1860)
    other = helpline.verify(helpline.attestation({"jti": "another-token-id"})).spend
    assert other
    assert other.value != claim.spend.value


@pytest.mark.parametrize("band", AgeBand)
def test_a_band_needs_the_claim_that_says_it(helpline: Helpline, band: AgeBand) -> None:
    now = helpline.attestation()
    then = helpline.attestation({"age_under_18": ABSENT, "was_under_18_at": True})
    right, wrong = (now, then) if band in CHILDREN else (then, now)
    assert helpline.verify(right, band)
    assert reason(helpline, wrong, band=band) == Reason.BAND


def test_the_challenge_names_each_helpline_once(helpline: Helpline) -> None:
    wanted = {"issuer": HELPLINE, "audience": SERVICE, "basis": "counsellor_attested"}
    assert helpline.verifier.challenge() == {
        "profile": "counsellor-attested-v1",
        "issuers": [wanted],
    }
    helpline.clock.at = NOW.replace(year=2101)
    assert helpline.verifier.challenge()["issuers"] == []


# ---- bound to one report -------------------------------------------------------------------------


def test_a_vouching_cannot_be_moved_to_another_report(helpline: Helpline) -> None:
    token = helpline.attestation()
    assert helpline.verify(token, body=BODY)
    for body in (b"", BODY + b" ", BODY.replace(b"[]", b"[1]")):
        assert reason(helpline, token, body=body) == Reason.PROOF_BODY


@pytest.mark.parametrize(
    "request_", ["", "0" * 20, CODE.lower(), CODE + "0", CODE[:-1], " " + CODE, "\ud800" * 20]
)
def test_only_the_reports_own_code_fits(helpline: Helpline, request_: str) -> None:
    assert reason(helpline, helpline.attestation({"request": request_})) == Reason.PROOF_BODY


def test_every_changed_character_of_a_code_is_refused(helpline: Helpline) -> None:
    for place, was in enumerate(CODE):
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".replace(was, ""):
            wrong = CODE[:place] + other + CODE[place + 1 :]
            assert reason(helpline, helpline.attestation({"request": wrong})) == Reason.PROOF_BODY


@given(st.binary(max_size=200))
def test_device_and_service_make_the_same_code(body: bytes) -> None:
    shown = client.request_code(body)
    assert client.read_request_code(shown) == request_code(sha256(body).digest())


def test_the_code_of_a_body_stays_what_it_is() -> None:
    """A device out there makes it too: worked out bit by bit, not by the code under test."""
    digest = sha256(b"counsellor-attested-v1\0" + sha256(BODY).digest()).digest()
    bits = "".join(f"{byte:08b}" for byte in digest)[:90]
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert CODE[:18] == "".join(alphabet[int(bits[at : at + 5], 2)] for at in range(0, 90, 5))
    check = "".join(f"{byte:08b}" for byte in sha256(CODE[:18].encode()).digest())[:10]
    assert CODE[18:] == alphabet[int(check[:5], 2)] + alphabet[int(check[5:], 2)]


# ---- refused -------------------------------------------------------------------------------------


def test_missing_large_and_misshapen_are_refused(helpline: Helpline) -> None:
    token = helpline.attestation()
    assert reason(helpline, None) == reason(helpline, "") == Reason.TOKEN_MISSING
    assert reason(helpline, "a" * 4097) == Reason.TOKEN_TOO_LARGE
    assert reason(helpline, helpline.attestation({"pad": "x" * 4000})) == Reason.TOKEN_TOO_LARGE
    assert reason(helpline, token, proof="x") == Reason.PROOF_UNEXPECTED
    for wrong in ("a" * 4096, f"{token}.", f" {token}", f"{token}=", token.rpartition(".")[0]):
        assert reason(helpline, wrong) == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "typ", ["JWT", "age-proof+jwt", "kb+jwt", "AGE-ATTESTATION+JWT", "", None, 1]
)
def test_another_type_is_refused(helpline: Helpline, typ: object) -> None:
    assert reason(helpline, helpline.attestation(header={"typ": typ})) == Reason.TOKEN_TYPE


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit", "b64", "cty"])
def test_an_attestation_cannot_bring_its_own_key(helpline: Helpline, name: str) -> None:
    stranger = Issuer(HELPLINE, Ed25519PrivateKey.generate())
    value: object = {"jwk": stranger.jwk(), "x5c": ["AAAA"]}.get(name, "https://x.example/keys")
    for key in (stranger.key, helpline.staff.key):
        token = ed25519(key, helpline.header({name: value}), helpline.claims())
        assert reason(helpline, token) == Reason.TOKEN_HEADER


@pytest.mark.parametrize("alg", ["none", "", "EdDSA", "ES256", "HS256", None, 1])
def test_another_algorithm_is_refused(helpline: Helpline, alg: object) -> None:
    assert reason(helpline, helpline.attestation(header={"alg": alg})) == Reason.TOKEN_ALG


def test_alg_none_and_a_mac_under_the_public_key_are_refused(helpline: Helpline) -> None:
    none = f"{segment(helpline.header({'alg': 'none'}))}.{segment(helpline.claims())}"
    assert reason(helpline, f"{none}.") == Reason.TOKEN_MALFORMED
    assert reason(helpline, f"{none}.AAAA") == Reason.TOKEN_ALG
    jwk = helpline.staff.jwk()
    signed = f"{segment(helpline.header({'alg': 'HS256'}))}.{segment(helpline.claims())}"
    for secret in (base64.urlsafe_b64decode(jwk["x"] + "="), json.dumps(jwk).encode()):
        mac = b64(hmac.new(secret, signed.encode(), sha256).digest())
        assert reason(helpline, f"{signed}.{mac}") == Reason.TOKEN_ALG


@pytest.mark.parametrize("iss", ["other.example", HELPLINE + "/", "", None, 1, [HELPLINE]])
def test_a_helpline_that_is_not_pinned_is_refused(helpline: Helpline, iss: object) -> None:
    assert reason(helpline, helpline.attestation({"iss": iss})) == Reason.ISSUER_UNKNOWN


def test_an_issuer_of_another_profile_is_not_trusted_here(helpline: Helpline) -> None:
    helpline.path.write_text(helpline.staff.issuers_file(SERVICE))
    assert reason(helpline, helpline.attestation()) == Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize("kid", ["", "unknown", None, 1, [], {"a": 1}, True])
def test_only_a_pinned_key_is_used(helpline: Helpline, kid: object) -> None:
    assert reason(helpline, helpline.attestation(header={"kid": kid})) == Reason.KEY_UNKNOWN


def test_one_seats_key_signs_nothing_under_anothers_name(helpline: Helpline) -> None:
    header = helpline.header({"kid": helpline.other.jwk()["kid"]})
    token = ed25519(helpline.staff.key, header, helpline.claims())
    assert reason(helpline, token) == Reason.TOKEN_SIGNATURE
    assert helpline.verify(ed25519(helpline.other.key, header, helpline.claims()))


def test_a_counsellor_who_left_counts_no_more(helpline: Helpline) -> None:
    token = helpline.attestation()
    assert helpline.verify(token)
    helpline.path.write_text("format = 1\n" + seat(helpline.other, "08"))
    assert reason(helpline, token) == Reason.KEY_UNKNOWN


@pytest.mark.parametrize("year", [2025, 2101])
def test_a_seat_counts_only_in_its_window(helpline: Helpline, year: int) -> None:
    helpline.clock.at = NOW.replace(year=year)
    assert reason(helpline, helpline.attestation()) == Reason.ISSUER_WINDOW


def test_every_flipped_bit_is_refused(helpline: Helpline) -> None:
    token = helpline.attestation()
    raw = token.encode()
    for place in range(len(raw)):
        for bit in range(8):
            turned = bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]])
            with pytest.raises(AgeRefused):
                helpline.verify(turned.decode("latin-1"))
    signed, _, signature = token.rpartition(".")
    whole = base64.urlsafe_b64decode(signature + "==")
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert reason(helpline, f"{signed}.{b64(bytes(flipped))}") == Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("name", ["aud", "iat", "exp", "jti", "request", "age_under_18"])
def test_each_claim_must_be_there(helpline: Helpline, name: str) -> None:
    assert reason(helpline, helpline.attestation({name: ABSENT})) == Reason.CLAIM_MISSING


@pytest.mark.parametrize(
    "name", ["sub", "name", "birthdate", "counsellor", "nbf", "cnf", "was_under_18_at", ""]
)
def test_any_claim_more_is_refused(helpline: Helpline, name: str) -> None:
    assert reason(helpline, helpline.attestation({name: True})) == Reason.CLAIM_EXTRA


@pytest.mark.parametrize("value", [False, None, 1, 0, "true", "", [True], {"a": True}])
@pytest.mark.parametrize("name", ["age_under_18", "was_under_18_at"])
def test_only_the_literal_true_is_true(helpline: Helpline, name: str, value: object) -> None:
    band = AgeBand.WAS_UNDER_18 if name == "was_under_18_at" else AgeBand.UNDER_13
    token = helpline.attestation({"age_under_18": ABSENT, name: value})
    assert reason(helpline, token, band=band) == Reason.CLAIM_NOT_TRUE


@pytest.mark.parametrize("name", ["aud", "iat", "exp", "jti", "request"])
@pytest.mark.parametrize("wrong", [None, True, [], {}, ["x"]])
def test_a_claim_of_another_type_is_refused(helpline: Helpline, name: str, wrong: object) -> None:
    assert reason(helpline, helpline.attestation({name: wrong})) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize("jti", ["", "a" * 7, "a" * 129, "with space"])
def test_a_token_id_is_bounded_and_plain(helpline: Helpline, jti: str) -> None:
    assert reason(helpline, helpline.attestation({"jti": jti})) == Reason.CLAIM_SHAPE


@pytest.mark.parametrize("aud", ["other.example", SERVICE + "/", SERVICE.upper(), ""])
def test_an_attestation_for_another_service_is_refused(helpline: Helpline, aud: str) -> None:
    assert reason(helpline, helpline.attestation({"aud": aud})) == Reason.AUDIENCE


@pytest.mark.parametrize(
    ("iat", "exp", "verdict"),
    [
        (0, 3600, None),
        (0, 3601, Reason.LIFETIME),
        (0, 0, Reason.LIFETIME),
        (60, 600, None),
        (61, 600, Reason.NOT_YET_VALID),
        (-3000, -59, None),
        (-3000, -60, Reason.EXPIRED),
    ],
)
def test_an_attestation_lives_an_hour_at_most(
    helpline: Helpline, iat: int, exp: int, verdict: Reason | None
) -> None:
    token = helpline.attestation({"iat": NOON + iat, "exp": NOON + exp})
    if verdict:
        assert reason(helpline, token) == verdict
    else:
        assert helpline.verify(token)


# ---- the issuer file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("counsellor_attested", "verified_document", "issuer 1: basis must be counsellor_attested"),
        ("counsellor_attested", "declared", "issuer 1: basis must be one of"),
        ('staff = "07"', "", "issuer 1: staff must be"),
        ('staff = "07"', 'staff = "a name"', "issuer 1: staff must be"),
        ('staff = "07"', 'staff = "08"', "file: two issuers of counsellor-attested-v1 have one id"),
        ("[[issuer]]", "[[issuer]]\nvct = 'x'", "issuer 1: has 1 members"),
    ],
)
def test_each_fault_of_the_file_is_named(
    helpline: Helpline, old: str, new: str, problem: str
) -> None:
    with pytest.raises(BadIssuers) as refused:
        parse(helpline.path.read_text().replace(old, new, 1))
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(problem)


def test_a_key_is_of_one_seat(helpline: Helpline) -> None:
    text = "format = 1\n" + seat(helpline.staff, "07") + seat(helpline.staff, "08")
    with pytest.raises(BadIssuers, match="have one id and kid"):
        parse(text)


def test_a_seat_has_two_keys_at_most(helpline: Helpline) -> None:
    def key(number: int) -> str:
        x = b64(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
        return f'[[issuer.keys]]\nkid = "k{number}"\nkty = "OKP"\ncrv = "Ed25519"\nx = "{x}"\n'

    text = "format = 1\n" + seat(helpline.staff, "07") + key(2)
    assert len(parse(text).staff_by_key) == 2
    with pytest.raises(BadIssuers, match="1 to 2 tables named keys"):
        parse(text + key(3))


@pytest.mark.parametrize("member", ["id", "staff"])
def test_what_two_seats_lack_is_told_of_each_and_no_more(helpline: Helpline, member: str) -> None:
    text = helpline.path.read_text()
    lacking = "\n".join(line for line in text.splitlines() if not line.startswith(f"{member} ="))
    with pytest.raises(BadIssuers) as refused:
        parse(lacking)
    words = f"{member} must be 1 to 255 visible ASCII characters"
    assert refused.value.problems == [f"issuer 1: {words}", f"issuer 2: {words}"]
