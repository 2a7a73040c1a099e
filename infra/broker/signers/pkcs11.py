"""Keys at a device that keeps them, by PKCS#11."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.broker.errors import SignerUnavailable, StartRefused
from infra.broker.issuance import MODULUS_BYTES
from infra.broker.signers.port import Public

if TYPE_CHECKING:
    from pkcs11 import Session


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
