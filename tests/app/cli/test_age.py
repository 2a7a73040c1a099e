"""A helpline's and an operator's commands, as they are typed."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.adapters.age.attested import CounsellorAttested
from app.adapters.age.issuers import IssuerFile, parse
from app.cli.age import age
from app.client.attested import request_code
from app.domain.age import AgeBand, Presentation
from tests.adapters.age.minting import BODY, URL, FixedClock, World, never

WHO = ["--helpline", "helpline.example", "--audience", "young.example", "--staff", "07"]


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(age, [str(argument) for argument in arguments], **options)


def test_a_new_counsellor_can_vouch_for_a_report(tmp_path: Path) -> None:
    key, file = tmp_path / "key", tmp_path / "issuers.toml"
    made = run("staff-key", key, *WHO)
    assert made.exit_code == 0, made.output
    assert key.stat().st_mode & 0o777 == 0o600
    file.write_text("format = 1\n\n" + made.stdout)
    (seat,) = parse(file.read_text()).staff
    assert (seat.id, seat.audience, seat.staff) == ("helpline.example", "young.example", "07")
    assert run("issuers", "check", file).stdout == f"{file} is in order: 1 issuer(s).\n"
    said = run("attest", key, request_code(BODY))
    assert said.exit_code == 0, said.output
    clock = FixedClock(datetime.fromtimestamp(time.time(), UTC))
    shown = Presentation(
        "counsellor-attested-v1",
        AgeBand.UNDER_13,
        sha256(BODY).digest(),
        "POST",
        URL,
        said.stdout.strip(),
    )
    assert CounsellorAttested(IssuerFile(file, never), clock).verify(shown, clock.at)


def test_the_code_is_asked_for_and_the_adult_of_today_has_another_claim(tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("staff-key", key, *WHO)
    asked = run("attest", key, "--was", "--json", input=request_code(BODY).lower() + "\n")
    assert asked.exit_code == 0, asked.output
    payload = json.loads(asked.stdout)["attestation"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["was_under_18_at"] is True
    assert "age_under_18" not in claims


def test_a_code_may_be_given_in_its_groups_as_it_is_read_aloud(tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("staff-key", key, *WHO)
    said = run("attest", key, *request_code(BODY).lower().split("-"), "--json")
    assert said.exit_code == 0, said.output
    payload = json.loads(said.stdout)["attestation"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["request"] == request_code(BODY).replace("-", "")


def test_the_entry_says_how_its_file_begins(tmp_path: Path) -> None:
    entry = run("staff-key", tmp_path / "key", *WHO).stdout
    assert entry.startswith("# For the issuer file, which begins with the line: format = 1\n")


def test_a_slip_a_missing_key_and_a_loose_key_are_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("staff-key", key, *WHO)
    code = request_code(BODY).replace("-", "")
    slip = run("attest", key, code[1] + code[0] + code[2:])
    assert (slip.exit_code, slip.stdout) == (1, "")
    assert "slip" in slip.stderr
    assert run("attest", tmp_path / "none", code).exit_code == 4
    key.chmod(0o644)
    assert run("attest", key, code).exit_code == 4


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("staff-key", key, *WHO)
    before = key.read_bytes()
    again = run("staff-key", key, *WHO)
    assert (again.exit_code, again.stdout) == (1, "")
    assert key.read_bytes() == before
    assert run("staff-key", tmp_path / "no" / "folder", *WHO).exit_code == 1


@pytest.mark.parametrize("value", ["", "a b", 'a"b', "a\\b", "é", "a\nb"])
def test_what_would_break_the_file_is_wrong_usage(tmp_path: Path, value: str) -> None:
    key = tmp_path / "key"
    for name in ("--helpline", "--audience", "--staff"):
        assert run("staff-key", key, *WHO, name, value).exit_code == 2
    assert not key.exists()


def test_every_fault_of_an_issuer_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "issuers.toml"
    text = World(tmp_path).path.read_text()
    file.write_text(text.replace("format = 1", "format = 9").replace("Ed25519", "EdDSA", 1))
    told = run("issuers", "check", file)
    assert (told.exit_code, told.stdout) == (4, "")
    assert "  file: format must be 1" in told.stderr
    assert "  issuer 1: alg must be one of" in told.stderr
    as_json = run("issuers", "check", file, "--json")
    assert len(json.loads(as_json.stderr)["problems"]) == 2
    assert run("issuers", "check", tmp_path / "none").exit_code == 4
