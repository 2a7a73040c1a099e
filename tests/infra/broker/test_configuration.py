"""The configuration file: complete, or refused with everything that is wrong with it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.broker.configuration import load
from infra.broker.errors import StartRefused
from infra.broker.issuance import Predicate
from tests.app.web.running import ROOT
from tests.infra.broker.running import FUZZ, write
from tests.rules.pages import blocks

README = (ROOT / "infra/broker/README.md").read_text()


def problems(path: Path, development: bool = True) -> list[str]:
    with pytest.raises(StartRefused) as refused:
        load(path, development=development)
    return refused.value.problems


def changed(tmp_path: Path, keys: Path, old: str, new: str) -> Path:
    path = write(tmp_path, keys)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_the_file_of_the_page_is_one(tmp_path: Path) -> None:
    """But for its secrets, which are not there."""
    (example,) = blocks(README, "toml")
    path = tmp_path / "broker.toml"
    for name in ("pin", "wallet-secret", "yoti-key"):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    path.write_text(example.replace('"/etc/age-broker/', f'"{tmp_path}/'))
    configuration = load(path, development=False)
    assert configuration.secure
    assert {entry.kind for entry in configuration.providers} == {"oidc", "yoti"}
    assert {key.predicate for key in configuration.keys} == set(Predicate)
    assert "secret" not in repr(configuration)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("port = ", "port = 99999 #", "port must be a whole number"),
        ("port = ", "port = true #", "port must be a whole number"),
        ("https://young.example", "https://young.example/path", "returns must hold origins"),
        ("https://young.example", "http://young.example", "returns must hold origins"),
        ("https://young.example", "https://Young.example", "returns must hold origins"),
        ("https://young.example", "https://young.example:443", "returns must hold origins"),
        ("https://young.example", "https://young.example:08443", "returns must hold origins"),
        ("https://young.example", "https://young.example:", "returns must hold origins"),
        ("https://young.example", "*", "returns must hold origins"),
        ('["https://young.example"]', "[]", "returns must be a list"),
        ('["https://young.example"]', "[[1]]", "returns must hold origins"),
        ('database = "day.sqlite"', "", "database must be a path"),
        ("format = 1", "format = 1\ntokens_per_day = 0", "tokens_per_day must be"),
        ("format = 1", "format = 1\nlog_addresses = true", "log-addresses is not known"),
        ("format = 1", 'format = 1\n"s3cr3t Value!" = 1', "a name is not known"),
        ('kind = "development"', 'kind = "plain"', "kind must be one of"),
        ('label = "estimate"', 'label = "document"', "have one label"),
        ('label = "document"', 'label = "../document"', "label must be"),
        ("under18-estimate", "over18", "predicate must be one of"),
        ('label = "document"', 'label = "document"\nnot_before_at = 2026-01-01', "not_before_at"),
        ('name = "development"', 'name = "a/b"', "name must be"),
        ('title = "Choose an age"', 'title = ""', "title must be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(
    tmp_path: Path, keys: Path, old: str, new: str, problem: str
) -> None:
    found = problems(changed(tmp_path, keys, old, new))
    assert any(problem in line.replace("_", "-") or problem in line for line in found), found


@pytest.mark.parametrize("written", ["", "format = 2", "format = true", 'format = "1"'])
def test_another_format_is_one_problem(tmp_path: Path, keys: Path, written: str) -> None:
    path = changed(tmp_path, keys, "format = 1", written)
    assert problems(path) == ["file: format must be 1"]


def test_every_problem_is_told_at_once(tmp_path: Path, keys: Path) -> None:
    path = write(tmp_path, keys)
    text = path.read_text().replace("format = 1", "format = 3").replace("https://young", "x")
    path.write_text(re.sub(r'predicate = "[^"]*"', "", text))
    assert len(problems(path)) >= 5


def test_development_needs_to_be_asked_for(tmp_path: Path, keys: Path) -> None:
    found = problems(write(tmp_path, keys), development=False)
    assert [line for line in found if "public_url" in line]
    assert len([line for line in found if "for --development only" in line]) == 2


@pytest.mark.parametrize("mode", [0o604, 0o606, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, keys: Path, mode: int) -> None:
    pin = tmp_path / "pin"
    pin.write_text("s3cr3t-pin")
    pin.chmod(mode)
    path = write(tmp_path, keys)
    signer = 'kind = "pkcs11"\nmodule = "/x.so"\ntoken = "t"\npin_file = "pin"\n'
    text = re.sub(r'kind = "development"\nfolder = .*\n', signer, path.read_text(), count=1)
    path.write_text(text)
    (problem,) = problems(path)
    assert problem == "signer: pin_file: others may read it; chmod 600"
    pin.chmod(0o600)
    assert load(path, development=True).signer.pin == "s3cr3t-pin"


@pytest.mark.parametrize("content", ["", "two\nlines", "naïve", "\0", " \n"])
def test_a_secret_is_one_line(tmp_path: Path, keys: Path, content: str) -> None:
    pin = tmp_path / "pin"
    pin.write_text(content)
    pin.chmod(0o600)
    signer = 'kind = "pkcs11"\nmodule = "/x.so"\ntoken = "t"\npin_file = "pin"\n'
    path = write(tmp_path, keys)
    path.write_text(
        re.sub(r'kind = "development"\nfolder = .*\n', signer, path.read_text(), count=1)
    )
    assert problems(path) == [
        "signer: pin_file: the file cannot be read, or is not one line of ASCII"
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[[[[", b"a = " + b"[" * 5000, b"x" * 10])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broker.toml"
    path.write_bytes(content)
    assert problems(path)
    path.unlink()
    assert problems(path) == ["file: it cannot be read"]


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@settings(max_examples=FUZZ, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(
        ["public_url", "host", "port", "database", "returns", "signer", "key", "provider"]
    ),
    value=VALUES,
)
def test_no_value_of_another_kind_ends_the_reading_fuzz(
    tmp_path: Path, keys: Path, name: str, value: object
) -> None:
    path = write(tmp_path, keys)
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(f"{name} = ")]
    if name in ("signer", "key", "provider"):
        kept = [re.sub(rf"^\[+{name}\]+$", "[other]", line) for line in kept]
    text = "\n".join([f"{name} = {json.dumps(value)}", *kept])
    path.write_text(text)
    with suppress(StartRefused):
        load(path, development=True)
