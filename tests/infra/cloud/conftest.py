"""One zip for all tests of this folder: it takes seconds to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cloud.package import Package, build, here


@pytest.fixture(scope="session")
def issuers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is put into the zip."""
    file = tmp_path_factory.mktemp("issuers") / "mine.toml"
    file.write_text("# nobody is trusted\n")
    return file


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, issuers: Path) -> Package:
    """The zip for this interpreter and machine."""
    out = tmp_path_factory.mktemp("package") / "functions.zip"
    return build(out, here(), {"issuers.toml": issuers})
