"""What the broker asks of whoever holds the private keys: the private operation, raw RSA.

A key that signs blind is a raw RSA oracle for whoever has a grant: use it for nothing else.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from infra.broker.errors import SignerUnavailable
from infra.broker.issuance import MODULUS_BYTES, IssuerKey


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
