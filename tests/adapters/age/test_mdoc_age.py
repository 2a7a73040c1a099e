from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.adapters.age.issuers import BadIssuers, parse
from app.adapters.age.reasons import Reason
from app.domain.age import AgeBand, AgeBasis
from app.domain.errors import AgeRefused
from infra.sandbox.issuer import b64
from tests.adapters.age.documents import (
    DAY,
    NAMESPACE,
    NOT_YET,
    START,
    TYPE,
    Papers,
    a_key,
    certificate,
    der,
    tagged,
    token,
)
from tests.adapters.age.minting import BODY, NOW

YES, NO = True, False


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@pytest.fixture(scope="module")
def shared_papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def reason(papers: Papers, text: str | None, **other: Any) -> str:
    with pytest.raises(AgeRefused) as refused:
        papers.verify(text, **other)
    return refused.value.reason


def test_a_right_document_gives_the_issuers_basis_and_one_spend(papers: Papers) -> None:
    response = papers.response()
    claim = papers.verify(token(response))
    assert claim.basis is AgeBasis.VERIFIED_DOCUMENT
    assert claim.spend
    assert claim.spend.expires_at == datetime(2026, 3, 8, tzinfo=UTC)
    again = papers.verify(token(response)).spend
    other = papers.verify(papers.present()).spend
    assert other
    assert again == claim.spend
    assert other.value != claim.spend.value


@pytest.mark.parametrize("name", ["age_over_12", "age_over_16", "age_over_18"])
def test_not_yet_a_younger_age_is_not_yet_18_either(papers: Papers, name: str) -> None:
    assert papers.verify(papers.present((name, NO)))


@pytest.mark.parametrize("name", ["age_over_19", "age_over_21", "age_over_99", "age_over_180"])
def test_not_yet_an_older_age_says_nothing_of_18(papers: Papers, name: str) -> None:
    assert reason(papers, papers.present((name, NO))) == Reason.CLAIM_EXTRA


@pytest.mark.parametrize("value", [YES, None, 0, "false", "", [], {}, b""])
def test_only_the_literal_false_is_false(papers: Papers, value: object) -> None:
    assert reason(papers, papers.present(("age_over_18", value))) == Reason.CLAIM_NOT_FALSE


@pytest.mark.parametrize(
    "more", [("birth_date", "2010-01-01"), ("age_over_16", NO), ("age_over_18", YES), NOT_YET]
)
def test_any_element_more_is_refused(papers: Papers, more: tuple[str, object]) -> None:
    for elements in ((NOT_YET, more), (more, NOT_YET)):
        assert reason(papers, papers.present(*elements)) == Reason.CLAIM_EXTRA


def test_what_a_device_says_of_itself_is_refused(papers: Papers) -> None:
    said = papers.present(device={NAMESPACE: {"age_over_18": NO}})
    assert reason(papers, said) == Reason.CLAIM_EXTRA


def test_nothing_shown_is_missing(papers: Papers) -> None:
    response = papers.response()
    response["documents"][0]["issuerSigned"]["nameSpaces"] = {}
    assert reason(papers, token(response)) == Reason.CLAIM_MISSING


def test_another_namespace_is_refused(papers: Papers) -> None:
    assert reason(papers, papers.present(namespace="org.iso.18013.5.1")) == Reason.CLAIM_EXTRA


@pytest.mark.parametrize("band", AgeBand)
def test_it_says_nothing_of_who_was_under_18_once(papers: Papers, band: AgeBand) -> None:
    if band is AgeBand.WAS_UNDER_18:
        assert reason(papers, papers.present(), band=band) == Reason.BAND
    else:
        assert papers.verify(papers.present(), band)


# ---- chain, validity, digests --------------------------------------------------------------------


def test_another_root_of_the_same_name_is_refused(papers: Papers) -> None:
    papers.chain = [certificate("Signer", papers.signer_key, "Root", a_key())]
    assert reason(papers, papers.present()) == Reason.CHAIN


def test_a_signer_that_ended_is_unfit_or_a_leaf_is_refused(papers: Papers) -> None:
    key, root = papers.signer_key, papers.root_key
    ended = certificate("Signer", key, "Root", root, until=START - DAY)
    unfit = certificate("Signer", key, "Root", root, purpose=False)
    alone = certificate("Signer", key, "Signer", key)
    for one in (ended, unfit, alone):
        papers.chain = [one]
        assert reason(papers, papers.present()) == Reason.CHAIN
    fit, papers.signer_key = certificate("Signer", key, "Root", root), a_key()
    papers.chain = [certificate("Leaf", papers.signer_key, "Signer", key), fit]
    assert reason(papers, papers.present()) == Reason.CHAIN


@pytest.mark.parametrize(
    ("days", "verdict"),
    [
        ((-9, -9, -1), Reason.EXPIRED),
        ((-1, 1, 5), Reason.EXPIRED),
        ((-8, -8, 20), Reason.CREDENTIAL_STALE),
        ((0.5, -1, 5), Reason.NOT_YET_VALID),
        ((-7, -7, 20), None),
        ((60 / 86_400, -1, 20), None),
    ],
)
def test_a_document_counts_in_its_time_and_while_it_is_fresh(
    papers: Papers, days: tuple[float, float, float], verdict: Reason | None
) -> None:
    text = papers.present(days=days)
    if verdict is None:
        assert papers.verify(text)
    else:
        assert reason(papers, text) == verdict


def test_an_issuer_counts_only_in_its_window_and_only_its_type(papers: Papers) -> None:
    text = papers.present()
    papers.path.write_text(papers.issuers_file().replace(f'id = "{TYPE}"', 'id = "another.type"'))
    assert reason(papers, text) == Reason.ISSUER_UNKNOWN
    papers.path.write_text(papers.issuers_file().replace("2100-", "2026-02-01T00:00:00Z #"))
    assert reason(papers, text) == Reason.ISSUER_WINDOW
    assert papers.verifier.challenge()["issuers"] == []


def test_a_document_is_of_the_type_that_was_signed(papers: Papers) -> None:
    assert reason(papers, papers.present(sealed_type="another.type")) == Reason.CREDENTIAL_TYPE


def test_an_element_changed_after_signing_is_refused(papers: Papers) -> None:
    changed = papers.present(("age_over_18", YES), spoil="element")
    assert reason(papers, changed) == Reason.DISCLOSURE_UNREFERENCED


# ---- the device's signature ----------------------------------------------------------------------


def test_another_wallet_cannot_show_it(papers: Papers) -> None:
    mine = papers.response()
    papers.device_key = a_key()
    theirs = papers.response()["documents"][0]["deviceSigned"]
    mine["documents"][0]["deviceSigned"] = theirs
    assert reason(papers, token(mine)) == Reason.PROOF_SIGNATURE


def test_another_origin_nonce_or_body_is_refused(papers: Papers) -> None:
    elsewhere = papers.present(transcript=papers.transcript(origin="https://other.example"))
    assert reason(papers, elsewhere) == Reason.PROOF_SIGNATURE
    another = papers.present(transcript=papers.transcript(nonce=papers.window))
    assert reason(papers, another) == Reason.PROOF_SIGNATURE
    assert reason(papers, papers.present(), body=BODY + b" ") == Reason.PROOF_SIGNATURE


def test_todays_and_yesterdays_windows_count(papers: Papers) -> None:
    tokens = {}
    for days in (0, -1, -2):
        papers.clock.at = NOW + timedelta(days=days)
        papers.window = str(papers.verifier.challenge()["window"])
        tokens[days] = papers.present()
    papers.clock.at = NOW
    assert papers.verify(tokens[0])
    assert papers.verify(tokens[-1])
    assert reason(papers, tokens[-2]) == Reason.PROOF_SIGNATURE


@pytest.mark.parametrize("part", ["issuerSigned", "deviceSigned"])
def test_every_flipped_bit_of_both_signatures_is_refused(papers: Papers, part: str) -> None:
    response = papers.response()
    signed = response["documents"][0][part]
    parts = (
        signed["issuerAuth"] if part == "issuerSigned" else signed["deviceAuth"]["deviceSignature"]
    )
    wanted = Reason.TOKEN_SIGNATURE if part == "issuerSigned" else Reason.PROOF_SIGNATURE
    whole = parts[3]
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        parts[3] = bytes(flipped)
        assert reason(papers, token(response)) == wanted


def test_a_response_without_device_signature_is_refused(papers: Papers) -> None:
    response = papers.response()
    document = response["documents"][0]
    document["deviceSigned"]["deviceAuth"] = {}
    assert reason(papers, token(response)) == Reason.TOKEN_MALFORMED
    del document["deviceSigned"]
    assert reason(papers, token(response)) == Reason.TOKEN_MALFORMED


# ---- shape ---------------------------------------------------------------------------------------


def test_missing_large_and_misshapen_are_refused(papers: Papers) -> None:
    text = papers.present()
    assert reason(papers, None) == reason(papers, "") == Reason.TOKEN_MISSING
    assert reason(papers, "A" * 8193) == Reason.TOKEN_TOO_LARGE
    assert reason(papers, text, proof="x") == Reason.PROOF_UNEXPECTED
    for wrong in (text + "=", " " + text, text[:-4], text + "AAAA", "A" * 8192, "é"):
        assert reason(papers, wrong) == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0"},
        {"status": 10},
        {"documents": []},
        {"documents": None},
        {"documents": [1]},
        {"documents": [{}, {}]},
        {"documentErrors": []},
    ],
)
def test_a_response_has_one_document_and_nothing_else(
    papers: Papers, change: dict[str, Any]
) -> None:
    assert reason(papers, token(papers.response() | change)) == Reason.TOKEN_MALFORMED


def test_two_documents_are_refused(papers: Papers) -> None:
    response = papers.response()
    response["documents"] *= 2
    assert reason(papers, token(response)) == Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("raw", [b"\x81" * 3000, b"\xa1\x61a" * 2000, b"\xbf\xff", b"\xf9\x7e\x00"])
def test_rubbish_is_malformed(papers: Papers, raw: bytes) -> None:
    assert reason(papers, b64(raw)) == Reason.TOKEN_MALFORMED


def test_more_beside_what_is_signed_is_refused(papers: Papers) -> None:
    for path in ("issuerSigned", "deviceSigned"):
        response = papers.response()
        response["documents"][0][path]["more"] = 1
        assert reason(papers, token(response)) == Reason.TOKEN_MALFORMED
    response = papers.response()
    response["documents"][0]["errors"] = {}
    assert reason(papers, token(response)) == Reason.TOKEN_MALFORMED
    response = papers.response()
    response["documents"][0]["deviceSigned"]["nameSpaces"] = tagged([])
    assert reason(papers, token(response)) == Reason.CLAIM_EXTRA


EDITS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 9), st.binary(max_size=6)), max_size=4
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(EDITS)
def test_no_edit_brings_anything_but_a_refusal(
    shared_papers: Papers, edits: list[tuple[int, int, bytes]]
) -> None:
    raw = cbor2.dumps(shared_papers.response())
    whole = raw
    for place, length, put in edits:
        at = place % len(raw)
        raw = raw[:at] + put + raw[at + length :]
    try:
        shared_papers.verify(b64(raw))
    except AgeRefused:
        return
    # ASN.1 has spare bits in a certificate's signature: nothing that anybody signed differs.
    assert len(raw) == len(whole)
    assert sum(one != other for one, other in zip(raw, whole, strict=True)) <= 1


def test_a_certificate_that_cryptography_itself_chokes_on_is_refused(papers: Papers) -> None:
    """Of an unknown signature algorithm, and its name is no text: not an error of openvc's."""
    raw = bytearray(der(papers.chain[0]))
    raw[raw.rindex(bytes.fromhex("0603550406")) + 5] = 0x5C
    raw[raw.rindex(bytes.fromhex("2a8648ce3d040302")) + 7] ^= 0x40
    response = papers.response()
    response["documents"][0]["issuerSigned"]["issuerAuth"][1][33] = bytes(raw)
    assert reason(papers, token(response)) == Reason.TOKEN_MALFORMED


def test_the_challenge_asks_a_wallet_for_one_false(papers: Papers) -> None:
    challenge: Any = papers.verifier.challenge()
    (issuer,) = challenge["issuers"]
    (wanted,) = issuer["dcql_query"]["credentials"]
    assert wanted["meta"] == {"doctype_value": TYPE}
    assert wanted["claims"] == [{"path": [NAMESPACE, "age_over_18"], "values": [NO]}]
    assert len(base64.urlsafe_b64decode(challenge["window"] + "=")) == 32


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("fresh_days = 7", "fresh_days = 40", "issuer 1: fresh_days must be"),
        ('anchors = ["', 'anchors = ["!', "issuer 1: anchors must be certificates"),
        ('anchors = ["', 'anchors = [7, "', "issuer 1: anchors must be a list of 1 to 2 texts"),
        ('anchors = ["', 'anchors = [] #"', "issuer 1: anchors must be a list of 1 to 2 texts"),
        ('namespace = "', 'namespace = " ', "issuer 1: namespace must be"),
        ("[[issuer]]", "[[issuer]]\nkid = 'x'", "issuer 1: has 1 members"),
    ],
)
def test_each_fault_of_the_file_is_named(papers: Papers, old: str, new: str, problem: str) -> None:
    with pytest.raises(BadIssuers) as refused:
        parse(papers.path.read_text().replace(old, new, 1))
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(problem)


def test_a_type_of_document_has_one_entry(papers: Papers) -> None:
    whole = papers.path.read_text()
    with pytest.raises(BadIssuers, match="two issuers of mdoc-age-v1 have one id"):
        parse(whole + whole.partition("\n")[2])


def test_an_anchor_that_cannot_be_used_is_refused_when_the_file_is_read(papers: Papers) -> None:
    """No report may be the first to find out."""
    text, root = papers.path.read_text(), der(papers.root)
    refused = 0
    for place in range(len(root)):
        changed = bytearray(root)
        changed[place] ^= 0x10
        whole, bad = (base64.b64encode(one).decode() for one in (root, bytes(changed)))
        try:
            (anchor,) = parse(text.replace(whole, bad)).documents[TYPE].anchors
        except BadIssuers:
            refused += 1
        else:
            assert anchor.subject
            assert anchor.extensions
    assert refused > 100
