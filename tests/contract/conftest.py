"""The adapters that the contract holds for: a new one is a line in `STORES` or `KEY_RINGS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from app.adapters.file_keys import FileKeyRing, create_root_key
from app.adapters.sqlite.store import SqliteStore
from app.ports import Store
from partners.ports import KeyRing
from tests.adapters.aws.chests import a_ring
from tests.contract.cloud import LOCAL, a_store


def _sqlite(place: Path) -> Store:
    return SqliteStore(place / "store.db")


def _file_keys(place: Path) -> KeyRing:
    create_root_key(place / "root-keys")
    return FileKeyRing(place / "root-keys")


STORES: dict[str, Callable[[Path], Store]] = {"sqlite": _sqlite, "dynamodb": a_store}
if LOCAL:
    STORES["dynamodb-local"] = partial(a_store, url=LOCAL)
KEY_RINGS: dict[str, Callable[[Path], KeyRing]] = {"file": _file_keys, "kms": a_ring}


@pytest.fixture(params=sorted(STORES))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the test's database; a second call opens the same one again, as a process would."""
    opened: list[Store] = []

    def open_again() -> Store:
        opened.append(STORES[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def open_other_store(
    request: pytest.FixtureRequest, open_store: Callable[[], Store], tmp_path: Path
) -> Iterator[Callable[[], Store]]:
    """Opens a second database of the same kind."""
    opened: list[Store] = []
    place = tmp_path / "other"
    place.mkdir()

    def open_again() -> Store:
        opened.append(STORES[request.node.callspec.params["open_store"]](place))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture(params=sorted(KEY_RINGS))
def key_ring(request: pytest.FixtureRequest, tmp_path: Path) -> KeyRing:
    return KEY_RINGS[request.param](tmp_path)
