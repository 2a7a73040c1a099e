from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.age.issuers import BadIssuers, IssuerFile, load, parse
from app.domain.age import AgeBasis
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import AUDIENCE, NOW, never

ONE = Issuer("https://one.example", Ed25519PrivateKey.generate())
TWO = Issuer("https://two.example", Ed25519PrivateKey.generate())
GOOD = ONE.issuers_file(AUDIENCE)


def problems(text: str) -> list[str]:
    with pytest.raises(BadIssuers) as refused:
        parse(text)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def test_a_file_names_an_issuer_with_all_that_is_pinned() -> None:
    issuer = parse(GOOD).jwt[ONE.id]
    assert (issuer.id, issuer.audience, issuer.alg) == (ONE.id, AUDIENCE, "Ed25519")
    assert issuer.trust.basis is AgeBasis.VERIFIED_ESTIMATE
    assert issuer.trust.holds(NOW)
    assert not issuer.trust.holds(issuer.trust.valid_until_at)
    assert issuer.trust.holds(issuer.trust.valid_from_at)
    assert set(issuer.keys) == {ONE.jwk()["kid"]}


def test_two_keys_may_live_and_three_may_not() -> None:
    def key(number: int) -> str:
        x = b64(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
        return f'[[issuer.keys]]\nkid = "k{number}"\nkty = "OKP"\ncrv = "Ed25519"\nx = "{x}"\n'

    assert len(parse(GOOD + key(2)).jwt[ONE.id].keys) == 2
    assert problems(GOOD + key(2) + key(3)) == [
        "issuer 1: must have a list of 1 to 2 tables named keys"
    ]
    assert problems(GOOD.split("[[issuer.keys]]")[0] + "keys = []") == [
        "issuer 1: must have a list of 1 to 2 tables named keys"
    ]


def test_two_keys_of_one_name_are_refused() -> None:
    again = "[[issuer.keys]]" + GOOD.split("[[issuer.keys]]")[1]
    assert problems(GOOD + again) == ["issuer 1: two keys have one kid"]


def test_two_issuers_of_one_name_are_refused() -> None:
    again = GOOD.split("format = 1")[1]
    assert problems(GOOD + again) == ["file: two issuers of jwt-age-v1 have one id"]
    assert len(parse(GOOD + TWO.issuers_file(AUDIENCE).split("format = 1")[1]).jwt) == 2


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("format = 1", "format = 2", "file: format must be 1"),
        ("format = 1", "", "file: format must be 1"),
        ('"jwt-age-v1"', '"declared-v1"', "issuer 1: profile must be one of"),
        (f'id = "{ONE.id}"', "", "issuer 1: id must be"),
        (f'id = "{ONE.id}"', 'id = ""', "issuer 1: id must be"),
        (f'id = "{ONE.id}"', 'id = "a b"', "issuer 1: id must be"),
        (f'id = "{ONE.id}"', "id = ['x']", "issuer 1: id must be"),
        (f'audience = "{AUDIENCE}"', "", "issuer 1: audience must be"),
        ('alg = "Ed25519"', 'alg = "EdDSA"', "issuer 1: alg must be one of Ed25519, ES256"),
        ('alg = "Ed25519"', 'alg = "none"', "issuer 1: alg must be one of Ed25519, ES256"),
        ('alg = "Ed25519"', "alg = ['Ed25519']", "issuer 1: alg must be one of Ed25519, ES256"),
        ('alg = "Ed25519"', 'alg = "ES256"', "issuer 1, keys 1: is not a key for the issuer's alg"),
        ('"verified_estimate"', '"declared"', "issuer 1: basis must be one of verified_document"),
        ('"verified_estimate"', "['x']", "issuer 1: basis must be one of verified_document"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "issuer 1: valid_from_at must be a date"),
        ("2026-01-01T00:00:00Z", "2026-01-01", "issuer 1: valid_from_at must be a date"),
        ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+09:00", "issuer 1: valid_from_at must be"),
        ("2026-01-01T00:00:00Z", "2101-01-01T00:00:00Z", "issuer 1: valid_from_at must come"),
        ("2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "issuer 1: valid_from_at must come"),
        ("[[issuer.keys]]", "[issuer.keys]", "issuer 1: must have a list of 1 to 2 tables named"),
        ('kid = "', 'kid = 7 #"', "issuer 1, keys 1: kid must be"),
        ('crv = "Ed25519"', 'crv = "X25519"', "issuer 1, keys 1: is not a public JWK"),
        ('kty = "OKP"', "kty = ['OKP']", "issuer 1, keys 1: is not a public JWK"),
        ('kty = "OKP"', 'kty = "OKP"\nn = "x"', "issuer 1, keys 1: is not a public JWK"),
        ('kty = "OKP"', 'kty = "OKP"\nd = "x"', "issuer 1, keys 1: holds a PRIVATE key"),
        ('kty = "OKP"', 'kty = "OKP"\nuse = "enc"', "issuer 1, keys 1: use must be sig"),
        ('kty = "OKP"', 'kty = "OKP"\nalg = "ES256"', "issuer 1, keys 1: alg differs"),
        ("[[issuer]]", "[[issuer]]\njwks_uri = 'x'", "issuer 1: has 1 members that the format"),
        ("format = 1", "format = 1\nname = 1", "file: has 1 members that the format"),
        ("[[issuer]]", "[[issuer", "the file is not TOML at line 4, column"),
        ("format = 1", "format = 1\na = " + "[" * 5000, "the file is not TOML"),
        ("format = 1", "format = 1\nformat = 1", "the file is not TOML at line"),
    ],
)
def test_each_fault_is_named_with_its_place(old: str, new: str, problem: str) -> None:
    found = problems(GOOD.replace(old, new, 1))
    assert len(found) == 1, found
    assert found[0].startswith(problem)


def test_a_file_that_trusts_nobody_is_refused() -> None:
    assert problems("format = 1\nissuer = []") == [
        "file: must have a list of 1 to 100 tables named issuer"
    ]
    assert problems("format = 1") == ["file: must have a list of 1 to 100 tables named issuer"]


def test_a_jwk_may_say_what_it_is_for() -> None:
    assert parse(GOOD.replace('kty = "OKP"', 'kty = "OKP"\nuse = "sig"\nalg = "Ed25519"'))


def test_every_fault_of_a_file_is_named_at_once() -> None:
    text = GOOD.replace("format = 1", "format = 9").replace('"verified_estimate"', '"wish"')
    text += TWO.issuers_file("with space").split("format = 1")[1].replace('"OKP"', '"RSA"')
    found = "\n".join(problems(text))
    assert "format must be" in found
    assert "issuer 1: basis" in found
    assert "issuer 2: audience" in found
    assert "issuer 2, keys 1: is not a public JWK" in found
    assert "wish" not in found
    assert TWO.jwk()["x"] not in found


@given(st.text() | st.text().map(lambda text: GOOD.replace('"verified_estimate"', text)))
def test_no_text_brings_anything_but_a_named_problem(text: str) -> None:
    with pytest.raises(BadIssuers):
        parse(text)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    with pytest.raises(BadIssuers, match="cannot be read"):
        IssuerFile(path, never, look_every=0)
    path.write_bytes(b"format = 1 # \xff")
    with pytest.raises(BadIssuers, match="not UTF-8"):
        load(path)
    with pytest.raises(BadIssuers, match="cannot be read"):
        load(tmp_path)


def test_a_changed_file_counts_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(GOOD)
    issuers = IssuerFile(path, never, look_every=0)
    first = issuers.current()
    assert issuers.current() is first
    new = tmp_path / "new"
    new.write_text(TWO.issuers_file(AUDIENCE))
    # Two files of one size and one time, as a copy that keeps times would make: the inode tells.
    before = path.stat()
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(path)
    assert set(issuers.current().jwt) == {TWO.id}


def test_a_faulty_or_missing_file_is_told_once_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(GOOD)
    told: list[BadIssuers] = []
    issuers = IssuerFile(path, told.append, look_every=0)
    path.write_text("half a fi")
    for _ in range(3):
        assert set(issuers.current().jwt) == {ONE.id}
    assert len(told) == 1
    path.unlink()
    for _ in range(3):
        assert set(issuers.current().jwt) == {ONE.id}
    assert [problem.problems for problem in told[1:]] == [["the file cannot be read"]]
    path.write_text(TWO.issuers_file(AUDIENCE))
    assert set(issuers.current().jwt) == {TWO.id}


def test_a_change_is_seen_within_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(GOOD)
    issuers = IssuerFile(path, never)
    assert set(issuers.current().jwt) == {ONE.id}
    path.write_text(TWO.issuers_file(AUDIENCE))
    began = time.monotonic()
    while set(issuers.current().jwt) != {TWO.id}:
        assert time.monotonic() < began + 5
        time.sleep(0.01)


def test_it_is_not_looked_at_for_each_proof(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(GOOD)
    issuers = IssuerFile(path, never, look_every=60)
    issuers.current()
    path.write_text(TWO.issuers_file(AUDIENCE))
    assert set(issuers.current().jwt) == {ONE.id}


def test_threads_never_see_half_of_a_change(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(GOOD)
    issuers = IssuerFile(path, never, look_every=0)
    seen: set[tuple[str, ...]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(tuple(issuers.current().jwt))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for issuer in [TWO, ONE] * 20:
        new = tmp_path / "new"
        new.write_text(issuer.issuers_file(AUDIENCE))
        new.replace(path)
        issuers.current()
    done.set()
    for thread in threads:
        thread.join()
    assert seen <= {(ONE.id,), (TWO.id,)}
    assert set(issuers.current().jwt) == {ONE.id}


def test_keys_that_are_no_tables_are_refused() -> None:
    text = GOOD.split("[[issuer.keys]]")[0] + "keys = ['x']"
    assert problems(text) == ["issuer 1: must have a list of 1 to 2 tables named keys"]
