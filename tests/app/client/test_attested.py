from __future__ import annotations

import json
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.age.attested import CounsellorAttested
from app.adapters.age.issuers import IssuerFile
from app.client.attested import (
    BadRequestCode,
    BadStaffKey,
    NoAttestation,
    StaffKey,
    headers,
    read_request_code,
    request_code,
    wait_for,
)
from app.domain.age import AgeBand, AgeBasis, Presentation
from tests.adapters.age.minting import BODY, NOON, URL, FixedClock, never

KEY = StaffKey("helpline.example", "young.example")


def entry(key: StaffKey) -> str:
    jwk = key.jwk()
    return f"""format = 1
[[issuer]]
profile = "counsellor-attested-v1"
id = "{key.helpline}"
audience = "{key.audience}"
staff = "07"
alg = "Ed25519"
basis = "counsellor_attested"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2100-01-01T00:00:00Z
[[issuer.keys]]
kid = "{jwk["kid"]}"
kty = "OKP"
crv = "Ed25519"
x = "{jwk["x"]}"
"""


@pytest.mark.parametrize(
    ("claim", "band"),
    [("age_under_18", AgeBand.UNDER_13), ("was_under_18_at", AgeBand.WAS_UNDER_18)],
)
def test_the_service_takes_what_a_counsellor_signs(
    tmp_path: Path, claim: str, band: AgeBand
) -> None:
    file = tmp_path / "issuers.toml"
    file.write_text(entry(KEY))
    verifier = CounsellorAttested(IssuerFile(file, never), FixedClock())
    attestation = KEY.attest(request_code(BODY), claim, NOON)
    scheme, token = headers(attestation)["Authorization"].split(" ")
    assert scheme == "Attestation"
    digest = sha256(BODY).digest()
    shown = Presentation("counsellor-attested-v1", band, digest, "POST", URL, token)
    assert verifier.verify(shown, FixedClock().at).basis is AgeBasis.COUNSELLOR_ATTESTED


def test_two_attestations_of_one_report_are_two_tokens() -> None:
    code = request_code(BODY)
    assert KEY.attest(code, "age_under_18", NOON) != KEY.attest(code, "age_under_18", NOON)


# ---- the request code ----------------------------------------------------------------------------


def test_a_code_may_be_typed_as_it_is_heard() -> None:
    code = request_code(BODY)
    plain = code.replace("-", "")
    for typed in (code, code.lower(), plain, f" {code} \n", code.replace("-", " ")):
        assert read_request_code(typed) == plain
    assert read_request_code(plain.replace("1", "l").replace("0", "o")) == plain
    assert read_request_code(plain.replace("1", "I").replace("0", "O")) == plain


@pytest.mark.parametrize("typed", ["", "A" * 19, "A" * 21, "U" * 20, "é" * 20, "X" * 10_000])
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(BadRequestCode, match="four groups of five"):
        read_request_code(typed)


@given(st.binary(max_size=64), st.integers(0, 17), st.integers(1, 31))
def test_nearly_every_slip_of_one_character_is_found(body: bytes, place: int, by: int) -> None:
    """Two characters of check let one in 1,024 through; then the service refuses it."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    code = request_code(body).replace("-", "")
    other = alphabet[(alphabet.index(code[place]) + by) % 32]
    slipped = code[:place] + other + code[place + 1 :]
    try:
        assert read_request_code(slipped) != code
    except BadRequestCode:
        return
    check = sha256(slipped[:18].encode()).digest()
    assert int.from_bytes(check[:2], "big") >> 6 == (
        alphabet.index(slipped[18]) * 32 + alphabet.index(slipped[19])
    )


def test_two_characters_swapped_are_found() -> None:
    code = request_code(BODY).replace("-", "")
    swapped = code[1] + code[0] + code[2:]
    assert swapped != code
    with pytest.raises(BadRequestCode, match="slip"):
        read_request_code(swapped)


# ---- the key file --------------------------------------------------------------------------------


def test_a_key_is_written_for_its_owner_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "key"
    KEY.write(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert StaffKey.read(file).jwk() == KEY.jwk()
    with pytest.raises(FileExistsError):
        StaffKey("x", "y").write(file)
    assert StaffKey.read(file).jwk() == KEY.jwk()


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "key"
    KEY.write(file)
    for mode in (0o640, 0o604, 0o644, 0o610):
        file.chmod(mode)
        with pytest.raises(BadStaffKey, match="others on this machine"):
            StaffKey.read(file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"helpline":"x","audience":"y","seed":"AAAA"}',
        '{"helpline":"x","audience":"y","seed":7}',
        '{"helpline":"x","audience":"y","seed":"!"}',
        "\xff",
        json.dumps({"helpline": "x", "audience": "y", "seed": "A" * 44, "more": 1}),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(text.encode("latin-1"))
    file.chmod(0o600)
    with pytest.raises(BadStaffKey, match="no staff key"):
        StaffKey.read(file)
    with pytest.raises(BadStaffKey, match="cannot be read"):
        StaffKey.read(tmp_path / "none")


def test_a_key_tells_nothing_of_itself() -> None:
    assert "Ed25519PrivateKey" not in repr(KEY)


# ---- waiting for it ------------------------------------------------------------------------------


def test_an_attestation_is_taken_when_its_line_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "attestation"

    def write() -> None:
        file.write_text("a.b")
        threading.Event().wait(0.5)
        file.write_text("a.b.c\n")

    writer = threading.Timer(0.2, write)
    writer.start()
    assert wait_for(file, 10) == "a.b.c"
    writer.join()


def test_nothing_or_too_much_is_no_attestation(tmp_path: Path) -> None:
    file = tmp_path / "attestation"
    with pytest.raises(NoAttestation, match="in time"):
        wait_for(file, 0)
    file.write_text("a" * 5000)
    with pytest.raises(NoAttestation, match="holds no"):
        wait_for(file, 10)
