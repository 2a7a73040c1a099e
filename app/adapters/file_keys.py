"""The key ring of one machine: root keys in a file that only its owner may read.

The file is text, one entry a line; lines that begin with # and empty lines mean nothing:

    report-remove-keys 1          the format; first line
    tag <base64 of 32 bytes>      the root of every keyed tag; never changes
    key 1 <base64 of 32 bytes>    root keys with their ids, 1 to 65535; the last one seals,
    key 2 <base64 of 32 bytes>    all of them open

Rotation appends a key (`add_root_key`): old values open until they are sealed anew. The tag root
stands apart and stays, since a tag is how a row is found again: were it to change, every case code
would stop working.

Data keys are HKDF-SHA256 (RFC 5869) of a root key, one for each table and column; tag keys of the
tag root, one for each purpose. A sealed value is

    version (1 byte, 1) | key id (2 bytes, big-endian) | nonce (12) | AES-256-GCM ciphertext and tag

with table, column, row, key id and version as associated data, each text after its length, so that
no two places read alike. Random nonces are safe for 2^32 values of one column under one root key
(NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import os
import stat
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain.errors import ReportRemoveError, SealBroken
from partners.ports import Place, Purpose

_FORMAT = "report-remove-keys 1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MOST_KEYS = 0xFFFF
_LARGEST_FILE = 1_000_000
_VERSION = b"\x01"
_HEAD_BYTES = 3  # version and key id


class KeyFileRefused(ReportRemoveError):
    """The root-key file is missing, readable by others, not ours, or not in the format."""

    code = "key-file-refused"


@dataclass(frozen=True, slots=True, repr=False)
class RootKeys:
    """What the file holds. Prints as nothing: it is the one value that must never be shown."""

    tag_root: bytes
    keys: dict[int, bytes]


class FileKeyRing:
    """`partners.ports.KeyRing` over a root-key file, read once. Safe from any thread.

    Raises KeyFileRefused if the file is not private to this user or does not hold together.
    """

    def __init__(self, path: Path) -> None:
        roots = _parse(_read_private(path))
        self._roots = roots.keys
        self._newest = next(reversed(roots.keys))
        self._ciphers: dict[tuple[int, str, str], AESGCM] = {}
        self._nonces = _Nonces()
        self._keyed = {
            purpose: HMAC(_derive(roots.tag_root, b"tag", purpose), SHA256()) for purpose in Purpose
        }

    def seal(self, place: Place, plaintext: bytes) -> bytes:
        """Encrypt for that place under the newest key; 31 bytes longer than the plaintext."""
        head = _VERSION + self._newest.to_bytes(2, "big")
        nonce = self._nonces.take()
        cipher = self._cipher(self._newest, place)
        return head + nonce + cipher.encrypt(nonce, plaintext, _bound(place, head))

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Decrypt. Raises SealBroken if moved, cut, altered, or under a key not in the file."""
        head = sealed[:_HEAD_BYTES]
        key_id = int.from_bytes(head[1:], "big")
        if head[:1] != _VERSION or key_id not in self._roots:
            raise SealBroken("an unknown version or key id")
        nonce = sealed[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        body = sealed[_HEAD_BYTES + _NONCE_BYTES :]
        try:
            return self._cipher(key_id, place).decrypt(nonce, body, _bound(place, head))
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise SealBroken("moved, cut or altered") from None

    def tag(self, purpose: Purpose, value: bytes) -> bytes:
        """HMAC-SHA256 of `value` under the key of that purpose, 32 bytes."""
        keyed = self._keyed[purpose].copy()
        keyed.update(value)
        return keyed.finalize()

    def _cipher(self, key_id: int, place: Place) -> AESGCM:
        name = (key_id, place.table, place.column)
        cipher = self._ciphers.get(name)
        if cipher is None:
            key = _derive(self._roots[key_id], b"seal", place.table, place.column)
            cipher = self._ciphers[name] = AESGCM(key)
        return cipher


class _Nonces:
    """Random nonces, many fetched together: a call to the kernel gives up the interpreter lock."""

    _AT_ONCE = 256

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: list[bytes] = []

    def take(self) -> bytes:
        """Twelve random bytes, never given twice."""
        with self._lock:
            if not self._ready:
                fresh = os.urandom(_NONCE_BYTES * self._AT_ONCE)
                self._ready = [
                    fresh[at : at + _NONCE_BYTES] for at in range(0, len(fresh), _NONCE_BYTES)
                ]
            return self._ready.pop()


def create_root_key(path: Path) -> None:
    """Make a root-key file with one key, mode 0600, on the disk when this returns.

    Raises FileExistsError rather than replace one: all that was sealed would be lost.
    """
    lines = [_FORMAT, f"tag {_new_root()}", f"key 1 {_new_root()}"]
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    _write_new(beside, "\n".join(lines) + "\n")
    try:
        path.hardlink_to(beside)  # whole or not at all: another process may read it at once
    finally:
        beside.unlink()
    _sync_folder(path)


def add_root_key(path: Path) -> int:
    """Append a new root key and return its id; the file is replaced whole or not at all."""
    text = _read_private(path)
    key_id = max(_parse(text).keys) + 1
    if key_id > _MOST_KEYS:
        raise KeyFileRefused("the root-key file is full")
    beside = path.with_name(path.name + ".new")
    _write_new(beside, f"{text.rstrip()}\nkey {key_id} {_new_root()}\n")
    beside.replace(path)
    _sync_folder(path)
    return key_id


def _new_root() -> str:
    return b64encode(os.urandom(_KEY_BYTES)).decode()


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)


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
    lines = text.splitlines()
    if not lines or lines[0].strip() != _FORMAT:
        raise KeyFileRefused(f"line 1 of the root-key file is not '{_FORMAT}'")
    tag_roots: list[bytes] = []
    keys: dict[int, bytes] = {}
    for number, line in enumerate(lines[1:], start=2):
        match line.split():
            case []:
                pass
            case [word, *_] if word.startswith("#"):
                pass
            case ["tag", root] if not tag_roots:
                tag_roots.append(_root(root, number))
            case ["key", id_, root] if _is_new_id(id_, keys):
                keys[int(id_)] = _root(root, number)
            case _:
                raise KeyFileRefused(f"line {number} of the root-key file is not understood")
    if not tag_roots or not keys:
        raise KeyFileRefused("the root-key file lacks its tag line or a key line")
    return RootKeys(tag_roots[0], keys)


def _is_new_id(text: str, keys: dict[int, bytes]) -> bool:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_KEYS))):
        return False
    return 0 < int(text) <= _MOST_KEYS and int(text) not in keys


def _root(text: str, number: int) -> bytes:
    try:
        root = b64decode(text, validate=True)
    except ValueError:
        root = b""
    if len(root) != _KEY_BYTES:
        raise KeyFileRefused(f"line {number} of the root-key file does not hold 32 bytes in base64")
    return root


def _derive(root: bytes, use: bytes, *names: str) -> bytes:
    info = b"report-remove 1 " + use + b"".join(_with_length(name) for name in names)
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=info).derive(root)


def _bound(place: Place, head: bytes) -> bytes:
    names = (place.table, place.column, place.row)
    return b"".join(_with_length(name) for name in names) + head


def _with_length(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded
