"""The key ring of one machine: root keys in a file that only its owner may read.

The file is text, as app/adapters/derived_keys.py tells:

    report-remove-keys 1          the format; first line
    tag <base64 of 32 bytes>      the root of every keyed tag; never changes
    key 1 <base64 of 32 bytes>    root keys with their ids, 1 to 65535; the last one seals,
    key 2 <base64 of 32 bytes>    all of them open

Rotation appends a key (`add_root_key`); a running service reads the file when it starts.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from app.adapters.derived_keys import (
    KEY_BYTES,
    BadKeyText,
    DerivedKeyRing,
    RootKeys,
    next_id,
    read,
    written,
)
from app.domain.errors import ReportRemoveError

_FORMAT = "report-remove-keys 1"
_LARGEST_FILE = 1_000_000


class KeyFileRefused(ReportRemoveError):
    """The root-key file is missing, readable by others, not ours, or not in the format."""

    code = "key-file-refused"


class FileKeyRing(DerivedKeyRing):
    """`partners.ports.KeyRing` over a root-key file, read once. Safe from any thread.

    Raises KeyFileRefused if the file is not private to this user or does not hold together.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_parse(_read_private(path)))


def create_root_key(path: Path) -> None:
    """Make a root-key file with one key. Raises as `write_root_keys`."""
    write_root_keys(path, RootKeys(os.urandom(KEY_BYTES), {1: os.urandom(KEY_BYTES)}))


def read_root_keys(path: Path) -> RootKeys:
    """What a root-key file holds. Raises KeyFileRefused."""
    return _parse(_read_private(path))


def write_root_keys(path: Path, roots: RootKeys) -> None:
    """Make a root-key file, mode 0600, on the disk when this returns.

    Raises FileExistsError rather than replace one: all that was sealed would be lost.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with _new_file(beside) as file:
        file.write(written(_FORMAT, roots))
    try:
        path.hardlink_to(beside)  # whole or not at all: another process may read it at once
    finally:
        beside.unlink()
    _sync_folder(path)


def add_root_key(path: Path) -> int:
    """Append a new root key and return its id; the file is replaced whole or not at all."""
    _read_private(path)  # refused before anything is made
    beside = path.with_name(path.name + ".new")
    try:
        with _new_file(beside) as file:  # read in here: of two rotations at once one is refused
            text, key_id = _with_one_more(_read_private(path))
            file.write(text)
    except FileExistsError:
        left = f"{beside.name} is there: a rotation goes on, or was broken off; then delete it"
        raise KeyFileRefused(left) from None
    beside.replace(path)
    _sync_folder(path)
    return key_id


def _with_one_more(text: str) -> tuple[str, int]:
    try:
        key_id = next_id(_parse(text))
    except BadKeyText as fault:
        raise KeyFileRefused(f"the root-key file: {fault}") from None
    return f"{text.rstrip()}\nkey {key_id} {_new_root()}\n", key_id


def _new_root() -> str:
    return b64encode(os.urandom(KEY_BYTES)).decode()


@contextmanager
def _new_file(path: Path) -> Iterator[IO[str]]:
    """A file of mode 0600, on the disk when the block ends, and gone if it fails.

    Raises FileExistsError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            yield file
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_private(path: Path) -> str:
    """The text of a file that is ours alone, judged by the file that is read, not by its name."""
    try:
        # Non-blocking: a pipe of that name must be refused, not waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _require_private(os.fstat(file.fileno()))
            return file.read(_LARGEST_FILE).decode()
    except OSError as error:
        raise KeyFileRefused(f"cannot read the root-key file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileRefused("the root-key file is not text") from None


def _require_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileRefused("the root-key file is not a regular file")
    if status.st_uid != os.geteuid():
        raise KeyFileRefused("the root-key file belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyFileRefused("the root-key file may be read by others: chmod 600")


def _parse(text: str) -> RootKeys:
    """Raises KeyFileRefused naming the line, never what stands in it."""
    try:
        return read(_FORMAT, text)
    except BadKeyText as fault:
        raise KeyFileRefused(f"the root-key file: {fault}") from None
