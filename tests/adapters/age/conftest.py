from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.age.minting import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """For property tests: nothing in it changes from one example to the next."""
    return World(tmp_path_factory.mktemp("issuers"))
