"""What docs/AGE.md says and what the code does are one thing."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from app.adapters.age import (
    attested,
    claims,
    dpop,
    jwt_age,
    mdoc_age,
    privacy_pass,
    sdjwt,
    sdjwt_age,
)
from app.adapters.age.declared import DeclaredAge
from app.adapters.age.issuers import MOST_KEYS, parse
from app.adapters.age.reasons import Reason
from app.client.attested import request_code
from app.domain.errors import AgeTokenSpent
from app.services.submit_report import PROFILE, SCHEME

PAGE = (Path(__file__).parents[3] / "docs" / "AGE.md").read_text("utf-8")


def test_every_reason_is_explained_and_no_other() -> None:
    table = PAGE.split("## Refusals")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert sorted(documented) == sorted(
        [*map(str, Reason), AgeTokenSpent().reason, PROFILE, SCHEME]
    )


def test_every_profile_is_listed_and_has_its_part() -> None:
    profiles = (jwt_age.PROFILE, privacy_pass.PROFILE, sdjwt_age.PROFILE, attested.PROFILE)
    for profile in (*profiles, mdoc_age.PROFILE, DeclaredAge.profile):
        assert re.search(rf"^\| `{profile}`( \([^)]*\))? \|", PAGE, re.MULTILINE)
        assert f"\n## `{profile}`\n" in PAGE


def test_the_example_is_a_file_that_loads() -> None:
    issuers = parse("\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)))
    found = (issuers.jwt, issuers.blind, issuers.credentials, issuers.staff)
    assert [len(entries) for entries in found] == [1, 1, 1, 1]
    assert issuers.entries == 4


def test_the_limits_are_those_of_the_code() -> None:
    assert claims.MOST_CHARACTERS == dpop.MOST_CHARACTERS == 4096
    assert "4,096 characters" in PAGE
    assert jwt_age.LONGEST_LIFE / timedelta(minutes=1) == 15
    assert claims.Tolerance() == claims.Tolerance(timedelta(seconds=60), timedelta(minutes=5))
    assert MOST_KEYS == 2
    assert sdjwt_age.MOST_CHARACTERS == 8192
    assert "8,192 characters and 16 disclosures" in PAGE
    assert sdjwt.MOST_DISCLOSURES == 16
    assert timedelta(hours=1) == attested.LONGEST_LIFE


def test_the_example_of_a_request_code_is_one() -> None:
    code = request_code(b'{"items":[]}')
    assert f"`{code}` is the code of" in PAGE


def test_the_fuzzed_parsers_and_their_command_are_there() -> None:
    assert "python -m tests.fuzz.age --minutes 10" in PAGE
