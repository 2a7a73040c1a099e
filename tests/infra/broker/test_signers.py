"""Who holds the private keys: a real SoftHSM, and the plain signer of development."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from infra.broker.errors import SignerUnavailable, StartRefused
from infra.broker.issuance import IssuerKey, Predicate, check_type
from infra.broker.signers.development import DevelopmentSigner
from infra.broker.signers.pkcs11 import Pkcs11Signer
from infra.broker.signers.port import BlindSigner, sign
from tests.infra.broker.conftest import SoftHsm
from tests.infra.broker.running import EXPONENT


@pytest.fixture(scope="module")
def device(softhsm: SoftHsm) -> Pkcs11Signer:
    signer = Pkcs11Signer(softhsm.module, softhsm.token, softhsm.pin)
    signer.make("first")
    return signer


@pytest.fixture(params=["pkcs11", "development"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> BlindSigner:
    if request.param == "pkcs11":
        return request.getfixturevalue("device")  # type: ignore[no-any-return]
    plain = DevelopmentSigner(tmp_path)
    plain.make("first")
    return plain


def key_of(signer: BlindSigner, label: str = "first") -> IssuerKey:
    return IssuerKey(label, Predicate.DOCUMENT, signer.public(label).modulus)


def test_both_sign_raw(signer: BlindSigner) -> None:
    key = key_of(signer)
    for message in (2, key.modulus - 2, 2 + secrets.randbelow(key.modulus - 4)):
        signature = sign(signer, key, message)
        assert len(signature) == 256
        assert pow(int.from_bytes(signature, "big"), EXPONENT, key.modulus) == message


def test_a_made_key_is_of_token_type_2(signer: BlindSigner) -> None:
    check_type(*signer.public("first"))


def test_a_label_is_made_once(signer: BlindSigner) -> None:
    before = signer.public("first")
    with pytest.raises(StartRefused, match="already"):
        signer.make("first")
    assert signer.public("first") == before


def test_a_key_that_is_not_there_is_said(signer: BlindSigner) -> None:
    with pytest.raises(StartRefused):
        signer.public("none")
    with pytest.raises(StartRefused):
        signer.destroy("none")


def test_a_destroyed_key_is_gone(signer: BlindSigner) -> None:
    signer.make("second")
    sign(signer, key_of(signer, "second"), 12345)
    signer.destroy("second")
    with pytest.raises(StartRefused):
        signer.public("second")


def test_the_device_gives_no_private_number_away(device: Pkcs11Signer) -> None:
    from pkcs11 import Attribute
    from pkcs11.exceptions import AttributeSensitive

    private = device._private("first")
    assert private[Attribute.NEVER_EXTRACTABLE]
    assert private[Attribute.ALWAYS_SENSITIVE]
    for secret in (Attribute.PRIVATE_EXPONENT, Attribute.PRIME_1):
        with pytest.raises(AttributeSensitive):
            private[secret]


def test_a_key_that_could_leave_the_device_is_refused(device: Pkcs11Signer) -> None:
    from pkcs11 import Attribute, KeyType

    with device._turn, device._writing() as session:
        leaves = {Attribute.EXTRACTABLE: True}
        session.generate_keypair(
            KeyType.RSA, 2048, label="leaves", store=True, private_template=leaves
        )
    with pytest.raises(StartRefused, match="can be read out"):
        device.public("leaves")


@pytest.mark.parametrize("length", [0, 1, 255, 257, 4096])
def test_the_device_is_given_256_bytes_or_nothing(device: Pkcs11Signer, length: int) -> None:
    """SoftHSM 2.6.1 ends the whole process for 257 bytes."""
    with pytest.raises(SignerUnavailable):
        device.raw("first", bytes(length))


def test_the_device_recovers(device: Pkcs11Signer) -> None:
    """A number above the modulus is an error of the device; the next request is answered."""
    with pytest.raises(SignerUnavailable):
        device.raw("first", b"\xff" * 256)
    assert device._session is None
    sign(device, key_of(device), 12345)


def test_many_threads_share_the_device(device: Pkcs11Signer) -> None:
    key = key_of(device)
    with ThreadPoolExecutor(8) as threads:
        signed = list(threads.map(lambda m: sign(device, key, m), range(2, 202)))
    numbers = [pow(int.from_bytes(s, "big"), EXPONENT, key.modulus) for s in signed]
    assert numbers == list(range(2, 202))


@pytest.mark.parametrize(
    ("token", "pin"), [("age-broker-test", "wrong-pin"), ("none", "not-1234"), ("", "")]
)
def test_a_token_that_cannot_be_opened_is_said_without_its_pin(
    softhsm: SoftHsm, token: str, pin: str
) -> None:
    with pytest.raises(StartRefused) as refused:
        Pkcs11Signer(softhsm.module, token, pin)
    assert refused.value.problems == ["signer: the token cannot be opened: module, token or PIN"]


@pytest.mark.parametrize("name", ["none.so", "libc.so.6"])
def test_a_module_that_is_none_is_said(tmp_path: Path, name: str) -> None:
    module = tmp_path / name if name == "none.so" else Path(name)
    with pytest.raises(StartRefused, match="module cannot be loaded"):
        Pkcs11Signer(module, "age-broker-test", "1")


class Faulty:
    """A signer whose answer has one bit wrong, as a fault in the processor makes it."""

    def __init__(self, signer: BlindSigner, bit: int) -> None:
        self._signer = signer
        self._bit = bit

    def __getattr__(self, name: str) -> object:
        return getattr(self._signer, name)

    def raw(self, label: str, blinded: bytes) -> bytes:
        good = int.from_bytes(self._signer.raw(label, blinded), "big")
        return (good ^ (1 << self._bit)).to_bytes(256, "big")


@pytest.mark.parametrize("bit", [0, 1023, 2046])
def test_a_faulty_signature_never_leaves(keys: Path, bit: int) -> None:
    plain = DevelopmentSigner(keys)
    key = key_of(plain, "document")
    with pytest.raises(SignerUnavailable):
        sign(Faulty(plain, bit), key, 12345)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", ["rubbish", "ec", "short"])
def test_a_file_that_holds_no_such_key_is_refused(tmp_path: Path, other: str) -> None:
    private = rsa.generate_private_key(65537, 1024) if other == "short" else None  # noqa: S505
    key = ec.generate_private_key(ec.SECP256R1()) if other == "ec" else private
    pem = b"rubbish"
    if key is not None:
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    (tmp_path / "first.pem").write_bytes(pem)
    with pytest.raises(StartRefused):
        check_type(*DevelopmentSigner(tmp_path).public("first"))


def test_a_made_file_is_the_owners_alone(tmp_path: Path) -> None:
    DevelopmentSigner(tmp_path).make("first")
    assert (tmp_path / "first.pem").stat().st_mode & 0o777 == 0o600
