from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.age.issuers import BadIssuers, parse
from app.adapters.age.private_token import token_challenge
from app.adapters.age.reasons import Reason
from app.domain.age import AgeBand, AgeBasis
from app.domain.errors import AgeRefused
from tests.adapters.age.blinding import (
    DOCUMENT,
    ESTIMATE,
    FILE,
    NAME,
    NONCE,
    ORIGIN,
    Broker,
    Signer,
    entry,
    padded,
)
from tests.adapters.age.minting import World


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path / "issuers.toml")


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    return Broker(tmp_path_factory.mktemp("broker") / "issuers.toml")


def test_the_key_is_the_claim(broker: Broker) -> None:
    digest = broker.digest()
    assert broker.verify(DOCUMENT.token(digest)).basis is AgeBasis.VERIFIED_DOCUMENT
    assert broker.verify(ESTIMATE.token(digest)).basis is AgeBasis.VERIFIED_ESTIMATE


def test_a_spend_is_of_key_and_nonce_and_dated_to_a_midnight(broker: Broker) -> None:
    digest, yesterday = broker.digest(), broker.digest(-1)
    spend = broker.verify(DOCUMENT.token(digest)).spend
    again = broker.verify(DOCUMENT.token(digest)).spend
    earlier = broker.verify(DOCUMENT.token(yesterday)).spend
    others = [
        broker.verify(DOCUMENT.token(digest, nonce=bytes(32))).spend,
        broker.verify(ESTIMATE.token(digest)).spend,
    ]
    assert spend
    assert earlier
    assert again == spend
    assert len({spend.value, *(other.value for other in others if other)}) == 3
    assert spend.value != sha256(NONCE).digest()
    # Counts today and tomorrow; a day more for clocks that differ.
    assert spend.expires_at == datetime(2026, 3, 8, tzinfo=UTC)
    assert earlier.expires_at == datetime(2026, 3, 7, tzinfo=UTC)


def test_the_challenge_is_the_same_for_everybody_and_names_the_key(broker: Broker) -> None:
    challenge: Any = broker.verifier.challenge()
    assert challenge == broker.verifier.challenge()
    assert [issuer["basis"] for issuer in challenge["issuers"]] == [
        "verified_document",
        "verified_estimate",
    ]
    assert [base64.urlsafe_b64decode(issuer["token_key"]) for issuer in challenge["issuers"]] == [
        DOCUMENT.spki,
        ESTIMATE.spki,
    ]
    raw = base64.urlsafe_b64decode(challenge["issuers"][0]["challenge"])
    name, origin = NAME.encode(), ORIGIN.encode()
    assert raw[:2] == b"\0\2"
    assert raw[2 : 4 + len(name)] == len(name).to_bytes(2, "big") + name
    assert raw[4 + len(name)] == 32
    assert raw[37 + len(name) :] == len(origin).to_bytes(2, "big") + origin


@pytest.mark.parametrize(
    "url",
    [
        "https://broker.example/pass",
        "https://broker.example:8443",
        "http://127.0.0.1:8091/pass",
        "http://localhost/",
        "http://[::1]:9/",
    ],
)
def test_an_issuer_may_name_its_page_of_passes(broker: Broker, url: str) -> None:
    broker.path.write_text(FILE.replace("[[issuer]]", f"[[issuer]]\npass_url = '{url}'", 1))
    challenge: Any = broker.verifier.challenge()
    assert [issuer.get("pass_url") for issuer in challenge["issuers"]] == [url, None]
    assert "pass_url" not in challenge["issuers"][1]
    assert broker.verify(DOCUMENT.token(broker.digest()))


@pytest.mark.parametrize(
    "url",
    [
        "'http://broker.example/pass'",
        "'http://127.0.0.1.example/'",
        "'http://localhost.example/'",
        "'https:///pass'",
        "'https://'",
        "'https://broker.example/pass?who=me'",
        "'https://broker.example/#pass'",
        "'https://somebody@broker.example/'",
        '"https://broker.example\\\\@other.example/"',
        "'https://broker.example:port/'",
        "'https://broker.example:0/'",
        "'https://[broker/'",
        "'https://broker.example/a page'",
        "'javascript:alert(1)'",
        "'//broker.example/'",
        "'ftp://127.0.0.1/'",
        "''",
        "7",
        "['https://broker.example/']",
        "'https://broker.example/" + "a" * 250 + "'",
    ],
)
def test_the_page_of_passes_is_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(BadIssuers) as refused:
        parse(FILE.replace("[[issuer]]", f"[[issuer]]\npass_url = {url}", 1))
    assert refused.value.problems == [
        "issuer 1: pass_url must be an https address, or http on loopback, without a query"
    ]


def test_only_a_blind_issuer_has_a_page_of_passes(shared_world: World) -> None:
    text = shared_world.path.read_text()
    with pytest.raises(BadIssuers, match="issuer 1: has 1 members"):
        parse(text.replace("[[issuer]]", "[[issuer]]\npass_url = 'https://x.example'", 1))


def test_tokens_of_today_and_yesterday_count(broker: Broker) -> None:
    tokens = {days: DOCUMENT.token(broker.digest(days)) for days in (1, 0, -1, -2)}
    assert broker.verify(tokens[0])
    assert broker.verify(tokens[-1])
    assert broker.reason(tokens[-2]) == Reason.CHALLENGE
    assert broker.reason(tokens[1]) == Reason.CHALLENGE


def test_midnight_comes_while_the_service_runs(broker: Broker) -> None:
    token = DOCUMENT.token(broker.digest())
    assert broker.verify(token)
    broker.clock.at += timedelta(days=1)
    assert broker.verify(token)
    assert broker.verify(DOCUMENT.token(broker.digest()))
    broker.clock.at += timedelta(days=1)
    assert broker.reason(token) == Reason.CHALLENGE


def test_a_new_issuer_counts_without_a_restart(broker: Broker) -> None:
    assert broker.verify(DOCUMENT.token(broker.digest()))
    other = Signer()
    broker.path.write_text("format = 1\n" + entry(other, "verified_document", "other.example"))
    assert broker.verify(other.token(broker.digest()))


def test_a_token_for_another_service_is_refused(broker: Broker) -> None:
    foreign = sha256(token_challenge(NAME, "other.example", bytes(32))).digest()
    anyones = sha256(token_challenge(NAME, "", b"")).digest()
    for digest in (foreign, anyones, bytes(32)):
        assert broker.reason(DOCUMENT.token(digest)) == Reason.CHALLENGE


def test_one_issuers_key_answers_no_challenge_of_another(broker: Broker) -> None:
    other = Signer()
    mine = broker.digest()
    broker.path.write_text(FILE + entry(other, "verified_document", "other.example"))
    assert broker.reason(other.token(mine)) == Reason.CHALLENGE


def test_wrong_type_key_and_signature_are_told_in_this_order(broker: Broker) -> None:
    digest = broker.digest()
    stranger = Signer()
    assert broker.reason(DOCUMENT.token(bytes(32), kind=b"\0\1")) == Reason.TOKEN_TYPE
    assert broker.reason(DOCUMENT.token(digest, kind=b"\2\0")) == Reason.TOKEN_TYPE
    assert broker.reason(stranger.token(bytes(32))) == Reason.CHALLENGE
    assert broker.reason(stranger.token(digest)) == Reason.KEY_UNKNOWN
    pretended = stranger.token(digest, key_id=sha256(DOCUMENT.spki).digest())
    assert broker.reason(pretended) == Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(("digest", "salt"), [("SHA384", 0), ("SHA384", 32), ("SHA256", 48)])
def test_the_padding_is_that_of_the_token_type(broker: Broker, digest: str, salt: int) -> None:
    """RFC 9578 section 6.5: SHA-384 throughout, salt 48."""
    signed = base64.urlsafe_b64decode(DOCUMENT.token(broker.digest()))[:98]
    chosen: hashes.HashAlgorithm = getattr(hashes, digest)()
    other = padding.PSS(padding.MGF1(hashes.SHA384()), salt)
    token = padded(signed + DOCUMENT.key.sign(signed, other, chosen))
    assert broker.reason(token) == Reason.TOKEN_SIGNATURE


def test_an_issuer_counts_only_in_its_window(broker: Broker) -> None:
    token = DOCUMENT.token(broker.digest())
    broker.path.write_text(
        "format = 1\n" + entry(DOCUMENT, "verified_document", until="2026-01-02")
    )
    assert broker.reason(token) == Reason.ISSUER_WINDOW
    assert broker.verifier.challenge()["issuers"] == []


def test_a_taken_out_key_stops_counting_at_once(broker: Broker) -> None:
    token = DOCUMENT.token(broker.digest())
    assert broker.verify(token)
    broker.path.write_text("format = 1\n" + entry(ESTIMATE, "verified_estimate"))
    assert broker.reason(token) == Reason.KEY_UNKNOWN


def test_missing_large_and_misshapen_tokens_are_refused(broker: Broker) -> None:
    token = DOCUMENT.token(broker.digest())
    assert broker.reason(None) == broker.reason("") == Reason.TOKEN_MISSING
    assert broker.reason("A" * 4097) == Reason.TOKEN_TOO_LARGE
    for wrong in ("A" * 4096, token[:-4], token + "AAAA", token + "=", " " + token, "é" * 472):
        assert broker.reason(wrong) == Reason.TOKEN_MALFORMED
    assert broker.reason(token, proof="x") == Reason.PROOF_UNEXPECTED


def test_the_profile_says_nothing_of_who_was_under_18_once(broker: Broker) -> None:
    token = DOCUMENT.token(broker.digest())
    assert broker.reason(token, band=AgeBand.WAS_UNDER_18) == Reason.BAND
    for band in set(AgeBand) - {AgeBand.WAS_UNDER_18}:
        assert broker.verify(token, band=band)


def test_every_flipped_bit_is_refused_for_its_own_reason(broker: Broker) -> None:
    raw = base64.urlsafe_b64decode(DOCUMENT.token(broker.digest()))
    wanted = [Reason.TOKEN_TYPE] * 2 + [Reason.TOKEN_SIGNATURE] * 32 + [Reason.CHALLENGE] * 32
    wanted += [Reason.KEY_UNKNOWN] * 32 + [Reason.TOKEN_SIGNATURE] * 256
    for place, reason in enumerate(wanted):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << bit
            assert broker.reason(padded(bytes(flipped))) == reason


def test_an_authenticator_plus_the_modulus_is_no_second_spelling(broker: Broker) -> None:
    signer = min(DOCUMENT, ESTIMATE, key=lambda one: one.key.public_key().public_numbers().n)
    modulus = signer.key.public_key().public_numbers().n
    digest = broker.digest()
    # Only a small enough signature leaves room for the modulus in 256 bytes.
    for number in count():
        raw = base64.urlsafe_b64decode(signer.token(digest, nonce=number.to_bytes(32, "big")))
        larger = int.from_bytes(raw[98:], "big") + modulus
        if larger < 1 << 2048:
            break
    twin = padded(raw[:98] + larger.to_bytes(256, "big"))
    assert broker.verify(padded(raw))
    assert broker.reason(twin) == Reason.TOKEN_SIGNATURE


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=480) | st.binary(min_size=350, max_size=358).map(padded))
def test_no_text_brings_anything_but_a_refusal(shared_broker: Broker, text: str) -> None:
    with pytest.raises(AgeRefused):
        shared_broker.verify(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (FILE + entry(Signer(), "verified_document"), "have one id and basis"),
        (FILE + entry(DOCUMENT, "counsellor_attested"), "have one key"),
        (FILE.replace("MIIBUjA9", "MIIBUjA8", 1), "issuer 1, keys 1: spki is not"),
        (FILE.replace("{ spki =", "{ d = 'x', spki =", 1), "issuer 1, keys 1: has 1 members"),
        (FILE.replace("{ spki =", "{ key =", 1), "issuer 1, keys 1: spki is not"),
        (FILE.replace('audience = "', 'alg = "PS384"\naudience = "', 1), "issuer 1: has 1 members"),
        (
            FILE.replace("}]\n", "}, { spki = '' }, { spki = '' }]\n", 1),
            "issuer 1: must have a list of 1 to 2",
        ),
    ],
)
def test_each_fault_of_the_file_is_named(text: str, problem: str) -> None:
    with pytest.raises(BadIssuers, match=problem):
        parse(text)
