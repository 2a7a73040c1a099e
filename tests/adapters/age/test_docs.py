"""What docs/AGE.md says and what the code does are one thing."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from app.adapters.age import dpop, jwt_age, privacy_pass
from app.adapters.age.declared import DeclaredAge
from app.adapters.age.issuers import MOST_KEYS, parse
from app.adapters.age.reasons import Reason
from app.domain.errors import AgeTokenSpent

PAGE = (Path(__file__).parents[3] / "docs" / "AGE.md").read_text("utf-8")


def test_every_reason_is_explained_and_no_other() -> None:
    table = PAGE.split("## Refusals")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert sorted(documented) == sorted([*map(str, Reason), AgeTokenSpent().reason])


def test_every_profile_is_listed_and_has_its_part() -> None:
    for profile in (jwt_age.PROFILE, privacy_pass.PROFILE, DeclaredAge.profile):
        assert f"\n| `{profile}` |" in PAGE
        assert f"\n## `{profile}`\n" in PAGE


def test_the_example_is_a_file_that_loads() -> None:
    issuers = parse(PAGE.split("```toml\n")[1].split("```")[0])
    assert (len(issuers.jwt), len(issuers.blind)) == (1, 1)


def test_the_limits_are_those_of_the_code() -> None:
    assert jwt_age.MOST_CHARACTERS == dpop.MOST_CHARACTERS == privacy_pass.MOST_CHARACTERS == 4096
    assert "4,096 characters" in PAGE
    assert jwt_age.LONGEST_LIFE / timedelta(minutes=1) == 15
    assert jwt_age.Tolerance() == jwt_age.Tolerance(timedelta(seconds=60), timedelta(minutes=5))
    assert MOST_KEYS == 2
