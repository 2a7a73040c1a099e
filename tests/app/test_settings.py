import re
from dataclasses import fields
from pathlib import Path

import pytest

from app.settings import PREFIX, BadSettings, Settings

ROOT = Path(__file__).resolve().parents[2]


def test_every_default_is_itself_valid() -> None:
    settings = Settings.from_env({})
    assert settings.environment == "production"
    assert settings.allow_loopback_partners is False


def test_every_problem_is_named_at_once() -> None:
    env = {
        PREFIX + "PORT": "many",
        PREFIX + "ENVIRONMENT": "staging",
        PREFIX + "LIMIT_CASE": "often",
        PREFIX + "PUBLIC_URL": "ftp://x",
        PREFIX + "PROT": "80",
    }
    with pytest.raises(BadSettings) as caught:
        Settings.from_env(env)
    named = {problem.split()[0] for problem in caught.value.problems}
    assert named == set(env)


def test_loopback_partners_are_refused_in_production() -> None:
    with pytest.raises(BadSettings, match="development only"):
        Settings.from_env({PREFIX + "ALLOW_LOOPBACK_PARTNERS": "yes"})
    development = {
        PREFIX + "ALLOW_LOOPBACK_PARTNERS": "yes",
        PREFIX + "ENVIRONMENT": "development",
    }
    assert Settings.from_env(development).allow_loopback_partners


@pytest.mark.parametrize("name", ["AGE_ISSUERS_FILE", "DENYLIST_FILE", "DEADLINES_FILE"])
def test_a_file_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BadSettings, match=name):
        Settings.from_env({PREFIX + name: "/nowhere/at/all"})


def test_other_programs_variables_are_none_of_our_business() -> None:
    Settings.from_env({"PORT": "many", "PATH": "/bin"})


def test_the_documentation_lists_exactly_the_settings() -> None:
    text = (ROOT / "docs/SETTINGS.md").read_text()
    rows = dict(re.findall(r"^\| `(REPORT_REMOVE_[A-Z_]+)` \| `?([^|]*?)`? \|", text, re.MULTILINE))
    expected = {
        PREFIX + s.name.upper(): s.metadata["default"] or "(empty)" for s in fields(Settings)
    }
    assert rows == expected
