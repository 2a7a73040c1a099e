"""What an operator does with the root keys: make, move, list, and add one to rotate.

They are in a file or wrapped by KMS, as the settings say; the service only reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.adapters import file_keys
from app.bootstrap import (
    ROOT_KEY,
    StartRefused,
    chest,
    make_folder,
    refusing_key_file,
    refusing_keys,
)

if TYPE_CHECKING:
    from pathlib import Path

    from app.settings import Settings


def make_root_keys(settings: Settings) -> None:
    """Make the first root keys. Raises StartRefused if there are any, or they cannot be made."""
    if settings.keys == "file":
        _make_key_file(settings.data_dir / ROOT_KEY)
        return
    with refusing_keys():
        chest(settings).create(settings.kms_key)


def take_root_keys(settings: Settings, path: Path) -> None:
    """Begin with the root keys of that file, before a first start. Raises StartRefused."""
    with refusing_key_file(path):
        roots = file_keys.read_root_keys(path)
    with refusing_keys():
        chest(settings).adopt(roots, settings.kms_key)


def write_root_keys(settings: Settings, path: Path) -> None:
    """Write the root keys to a new root-key file. Raises StartRefused."""
    with refusing_keys():
        roots = chest(settings).roots()
    try:
        file_keys.write_root_keys(path, roots)
    except OSError as fault:
        raise StartRefused(f"{path}: {fault.strerror}") from None


def add_root_key(settings: Settings) -> int:
    """Add a root key, which seals from now on; its id. Raises StartRefused."""
    if settings.keys == "file":
        path = settings.data_dir / ROOT_KEY
        with refusing_key_file(path):
            return file_keys.add_root_key(path)
    with refusing_keys():
        return chest(settings).add(settings.kms_key)


def root_key_ids(settings: Settings) -> list[int]:
    """The ids of the root keys, the one that seals last. Raises StartRefused."""
    if settings.keys == "file":
        path = settings.data_dir / ROOT_KEY
        with refusing_key_file(path):
            return file_keys.FileKeyRing(path).ids()
    from app.adapters.kms_keys import KmsKeyRing

    with refusing_keys():
        return KmsKeyRing(chest(settings)).ids()


def _make_key_file(path: Path) -> None:
    make_folder(path.parent)
    try:
        file_keys.create_root_key(path)
    except FileExistsError:
        raise StartRefused(f"{path} is there already") from None
