"""The key ring, wherever its root keys are kept: data keys and tag keys are derived from them.

Data keys are HKDF-SHA256 (RFC 5869) of a root key, one for each table and column; tag keys of the
tag root, one for each purpose. A sealed value is

    version (1 byte, 1) | key id (2 bytes, big-endian) | nonce (12) | AES-256-GCM ciphertext and tag

with table, column, row, key id and version as associated data, each text after its length, so that
no two places read alike. Random nonces are safe for 2^32 values of one column under one root key
(NIST SP 800-38D, 8.3).

The newest root key seals, all of them open: rotation adds one, and old values open until they are
sealed anew. The tag root stands apart and stays, since a tag is how a row is found again: were it
to change, every case code would stop working.

Root keys are written down as text, one entry a line; empty lines and those with # mean nothing:

    NAME OF THE FORMAT
    tag <base64>      the tag root
    key 1 <base64>    root keys with their ids, 1 to 65535; the last one seals
"""

from __future__ import annotations

import os
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain.errors import SealBroken
from partners.ports import Place, Purpose

KEY_BYTES = 32
MOST_KEYS = 0xFFFF
_NONCE_BYTES = 12
_VERSION = b"\x01"
_HEAD_BYTES = 3  # version and key id


class BadKeyText(Exception):
    """Written-down root keys that do not hold together; names the line, never what stands in it."""


@dataclass(frozen=True, slots=True, repr=False)
class RootKeys:
    """The tag root and the root keys by id, newest last. Prints as nothing: never to be shown.

    Where they are kept wrapped, the same of wrapped keys.
    """

    tag_root: bytes
    keys: dict[int, bytes]


class DerivedKeyRing:
    """`partners.ports.KeyRing` over these root keys. Safe from any thread."""

    def __init__(self, roots: RootKeys) -> None:
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
        """Decrypt. Raises SealBroken if moved, cut, altered, or under a key we do not have."""
        head = sealed[:_HEAD_BYTES]
        key_id = int.from_bytes(head[1:], "big")
        if head[:1] != _VERSION or not self._has(key_id):
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

    def ids(self) -> list[int]:
        """The ids of the root keys, the one that seals last."""
        return sorted(self._roots, key=lambda key_id: key_id == self._newest)

    def _has(self, key_id: int) -> bool:
        """Whether there is such a root key: one kept elsewhere may be newer than this ring."""
        return key_id in self._roots

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


def written(name: str, roots: RootKeys) -> str:
    """The text of root keys in the format of that name."""
    lines = [name, f"tag {b64encode(roots.tag_root).decode()}"]
    lines += [f"key {id_} {b64encode(root).decode()}" for id_, root in roots.keys.items()]
    return "\n".join(lines) + "\n"


def read(name: str, text: str, sizes: range = range(KEY_BYTES, KEY_BYTES + 1)) -> RootKeys:
    """Root keys from their text, each of so many bytes. Raises BadKeyText."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != name:
        raise BadKeyText(f"line 1 is not '{name}'")
    tag_roots: list[bytes] = []
    keys: dict[int, bytes] = {}
    for number, line in enumerate(lines[1:], start=2):
        match line.split():
            case []:
                pass
            case [word, *_] if word.startswith("#"):
                pass
            case ["tag", root] if not tag_roots:
                tag_roots.append(_bytes(root, number, sizes))
            case ["key", id_, root] if _is_new_id(id_, keys):
                keys[int(id_)] = _bytes(root, number, sizes)
            case _:
                raise BadKeyText(f"line {number} is not understood")
    if not tag_roots or not keys:
        raise BadKeyText("it lacks the tag line or a key line")
    return RootKeys(tag_roots[0], keys)


def next_id(roots: RootKeys) -> int:
    """The id of the root key to be added. Raises BadKeyText if there is no room for one."""
    if max(roots.keys) == MOST_KEYS:
        raise BadKeyText("no id is left for another key")
    return max(roots.keys) + 1


def _is_new_id(text: str, keys: dict[int, bytes]) -> bool:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_KEYS))):
        return False
    return 0 < int(text) <= MOST_KEYS and int(text) not in keys


def _bytes(text: str, number: int, sizes: range) -> bytes:
    try:
        root = b64decode(text, validate=True)
    except ValueError:
        root = b""
    if len(root) not in sizes:
        raise BadKeyText(f"line {number} does not hold a key in base64")
    return root


def _derive(root: bytes, use: bytes, *names: str) -> bytes:
    info = b"report-remove 1 " + use + b"".join(_with_length(name) for name in names)
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(root)


def _bound(place: Place, head: bytes) -> bytes:
    names = (place.table, place.column, place.row)
    return b"".join(_with_length(name) for name in names) + head


def _with_length(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded
