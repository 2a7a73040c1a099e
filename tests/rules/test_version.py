"""Whoever says which version this is says the same."""

from __future__ import annotations

import tomllib

from app.version import VERSION
from tests.app.web.running import ROOT


def test_the_package_says_the_version_of_the_code() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_the_security_page_names_the_newest_version() -> None:
    assert f"Version {VERSION} " in (ROOT / "SECURITY.md").read_text()
