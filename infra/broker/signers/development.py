"""Keys in files and Python's own arithmetic, which only `--development` takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.broker.errors import StartRefused
from infra.broker.issuance import EXPONENT, MODULUS_BYTES
from infra.broker.signers.port import Public


class DevelopmentSigner:
    """Keys in PEM files of a folder, and Python's pow(). FOR DEVELOPMENT ONLY.

    pow() takes longer for some numbers than for others, and whoever measures that for long enough
    learns the key. The key also lies readable on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[str, rsa.RSAPrivateNumbers] = {}

    def public(self, label: str) -> Public:
        numbers = self._load(label).public_numbers
        return Public(numbers.n, numbers.e)

    def raw(self, label: str, blinded: bytes) -> bytes:
        numbers = self._load(label)
        signature = pow(int.from_bytes(blinded, "big"), numbers.d, numbers.public_numbers.n)
        return signature.to_bytes(MODULUS_BYTES, "big")

    def make(self, label: str) -> None:
        key = rsa.generate_private_key(EXPONENT, 8 * MODULUS_BYTES)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with _starting_files("key: there is one of that label already, or no folder for it"):
            descriptor = os.open(self._path(label), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)

    def destroy(self, label: str) -> None:
        self._numbers.pop(label, None)
        with _starting_files("key: there is none of that label"):
            self._path(label).unlink()

    def _load(self, label: str) -> rsa.RSAPrivateNumbers:
        if label not in self._numbers:
            with _starting_files("key: there is no such file, or no RSA key in it"):
                pem = self._path(label).read_bytes()
                key = serialization.load_pem_private_key(pem, password=None)
                self._numbers[label] = _rsa(key).private_numbers()
        return self._numbers[label]

    def _path(self, label: str) -> Path:
        return self._folder / f"{label}.pem"


def _rsa(key: object) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError
    return key


@contextmanager
def _starting_files(problem: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError):
        raise StartRefused([problem]) from None
