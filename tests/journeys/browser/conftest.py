from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys.browser.world import World, world


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def stage(started: World) -> Iterator[World]:
    """The world, with every page of the last test closed."""
    yield started
    started.close_contexts()
