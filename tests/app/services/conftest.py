"""A service for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.app.services.world import World


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a service with other settings than the defaults."""
    made: list[World] = []

    def make(**settings: str) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
