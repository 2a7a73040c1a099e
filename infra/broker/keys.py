"""The private operation, raw RSA: at a device that keeps the key (PKCS#11), or here in development.

A key that signs blind is a raw RSA oracle for whoever has a grant: use it for nothing else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.broker.errors import SignerUnavailable, StartRefused
from infra.broker.issuance import EXPONENT, MODULUS_BYTES, IssuerKey, is_type_2

if TYPE_CHECKING:
    from pkcs11 import Session


class Public(NamedTuple):
    """The public half of a key, as its signer tells it."""

    modulus: int
    exponent: int


class BlindSigner(Protocol):
    """Whoever holds the private keys, each by its label."""

    def public(self, label: str) -> Public:
        """Raises StartRefused if there is no such key, or it may leave the signer."""
        ...

    def raw(self, label: str, blinded: bytes) -> bytes:
        """m^d mod n of 256 bytes below n, as 256 bytes. Raises SignerUnavailable."""
        ...

    def make(self, label: str) -> None:
        """Make a new key. Raises StartRefused if there is one of that label, or it cannot."""
        ...

    def destroy(self, label: str) -> None:
        """Delete a key. Raises StartRefused if there is none."""
        ...


def sign(signer: BlindSigner, key: IssuerKey, blinded: int) -> bytes:
    """A blind signature, checked: one faulty signature can give the private key away.

    (Boneh, DeMillo, Lipton 1997: with the CRT, gcd(s^e - m, n) is a prime factor.)
    Raises SignerUnavailable.
    """
    signature = signer.raw(key.label, blinded.to_bytes(MODULUS_BYTES, "big"))
    if len(signature) != MODULUS_BYTES or not key.signed(blinded, int.from_bytes(signature, "big")):
        raise SignerUnavailable
    return signature


class Pkcs11Signer:
    """Keys in a PKCS#11 token, never outside of it: mechanism CKM_RSA_X_509.

    One session for all threads, in turn. A session that failed is given up, and the next request
    opens another, so that a device that went away and came back is found again.
    """

    def __init__(self, module: Path, token: str, pin: str) -> None:
        """Raises StartRefused if the token cannot be opened."""
        self._token_label = token
        self._pin = pin
        self._turn = threading.Lock()
        self._session: Session | None = None
        self._keys: dict[str, Any] = {}
        self._library = _library(module)
        with _starting("signer: the token cannot be opened: module, token or PIN"), self._turn:
            self._opened()

    def public(self, label: str) -> Public:
        """From the public object of that label, and only for a private one that cannot leave."""
        from pkcs11 import Attribute, ObjectClass

        with _starting("key: the signer has no key pair of that label"), self._turn:
            session = self._opened()
            private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)
            public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label)
            leaves = private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]
            numbers = [public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT]]
        if leaves:
            raise StartRefused(["key: it can be read out of the signer: make another there"])
        return Public(*(int.from_bytes(number, "big") for number in numbers))

    def raw(self, label: str, blinded: bytes) -> bytes:
        # SoftHSM 2.6.1 ends the whole process if it is given more bytes than the modulus has.
        if len(blinded) != MODULUS_BYTES:
            raise SignerUnavailable
        from pkcs11 import Mechanism
        from pkcs11.exceptions import PKCS11Error

        with self._turn:
            try:
                private = self._private(label)
                return bytes(private.sign(blinded, mechanism=Mechanism.RSA_X_509))
            except PKCS11Error:
                self._give_up()
                raise SignerUnavailable from None

    def make(self, label: str) -> None:
        from pkcs11 import Attribute, KeyType

        private = {
            Attribute.EXTRACTABLE: False,
            Attribute.SENSITIVE: True,
            Attribute.SIGN: True,
            Attribute.DECRYPT: False,
            Attribute.UNWRAP: False,
        }
        public = {Attribute.ENCRYPT: False, Attribute.WRAP: False, Attribute.VERIFY: True}
        if self._has(label):
            raise StartRefused(["key: there is one of that label already"])
        with _starting("key: the signer cannot make it"), self._turn, self._writing() as session:
            session.generate_keypair(
                KeyType.RSA,
                8 * MODULUS_BYTES,
                label=label,
                id=label.encode(),
                store=True,
                private_template=private,
                public_template=public,
            )

    def destroy(self, label: str) -> None:
        from pkcs11 import ObjectClass

        with _starting("key: the signer cannot delete it"), self._turn, self._writing() as session:
            for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
                session.get_key(object_class=kind, label=label).destroy()

    def _has(self, label: str) -> bool:
        from pkcs11 import Attribute

        with _starting("signer: the token cannot be read"), self._turn:
            return any(True for _ in self._opened().get_objects({Attribute.LABEL: label}))

    def _private(self, label: str) -> Any:
        from pkcs11 import ObjectClass

        session = self._opened()
        if label not in self._keys:
            found = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)
            self._keys[label] = found
        return self._keys[label]

    def _opened(self) -> Session:
        if self._session is None:
            token = self._library.get_token(token_label=self._token_label)
            self._session = token.open(user_pin=self._pin)
        return self._session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """A session that may make and delete; the reading one would keep what it has seen."""
        self._give_up()
        session = self._library.get_token(token_label=self._token_label).open(
            rw=True, user_pin=self._pin
        )
        try:
            yield session
        finally:
            session.close()

    def _give_up(self) -> None:
        from pkcs11.exceptions import PKCS11Error

        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            try:
                session.close()
            except PKCS11Error:
                return


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


def check_type(public: Public) -> None:
    """Raises StartRefused unless it can be a key of token type 2."""
    if not is_type_2(*public):
        raise StartRefused(["key: it must be RSA of 2048 bits with the exponent 65537"])


def _library(module: Path) -> Any:
    import pkcs11

    with _starting("signer: the module cannot be loaded"):
        return pkcs11.lib(str(module))


@contextmanager
def _starting(problem: str) -> Iterator[None]:
    """The library's own words may hold labels: ours stand for them."""
    from pkcs11.exceptions import PKCS11Error

    try:
        yield
    except PKCS11Error:
        raise StartRefused([problem]) from None


@contextmanager
def _starting_files(problem: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError):
        raise StartRefused([problem]) from None
