"""The key ring of many machines: root keys that KMS wraps, kept in one Secrets Manager secret.

A root key is a KMS data key. It comes out of KMS wrapped (GenerateDataKeyWithoutPlaintext: whoever
makes one does not see it) under an encryption context that names this service, what it is for and
the key's id, so that no wrapped key can stand in for another. The secret holds them as text:

    report-remove-kms-keys 1
    tag <base64, wrapped>
    key 1 <base64, wrapped>

A process reads the secret and asks KMS once for each root key, when it starts; from there on it is
app/adapters/derived_keys.py, to the bit what the root-key file gives. It reads the secret again
when it meets a key id that it does not know: somebody rotated.

The secret and not an item of the table, because its own policy and log of use guard it, because
whoever copies or restores the table moves no key with it, and because it keeps its old versions.
Two rotations at once cannot lose a key: the label AWSCURRENT moves only from the version that was
read (UpdateSecretVersionStage with RemoveFromVersionId).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from app.adapters.aws import code_of
from app.adapters.derived_keys import (
    KEY_BYTES,
    BadKeyText,
    DerivedKeyRing,
    RootKeys,
    next_id,
    read,
    written,
)
from app.domain.errors import ReportRemoveError, StoreUnavailable

_FORMAT = "report-remove-kms-keys 1"
_WRAPPED_SIZES = range(KEY_BYTES + 1, 6_145)  # what KMS takes for Decrypt
_CURRENT = "AWSCURRENT"
_OFFERED = "REPORT_REMOVE_OFFERED"
_LOOK_AGAIN_AFTER = 30.0  # seconds between two looks for a key that nobody may have
_TAG = "tag"


class KeysRefused(ReportRemoveError):
    """The root keys cannot be used, and retrying will not help: an operator must act."""

    code = "keys-refused"


class KeysUnavailable(KeysRefused):
    """KMS or Secrets Manager does not answer now: worth another try."""

    code = "keys-unavailable"


_EMPTY = "no such secret, or an empty one: report-remove keys create"
_TOO_LATE = "there are root keys already, or somebody was faster"
_PLAIN = {
    "DisabledException": "the KMS key is disabled: enable it",
    "KMSInvalidStateException": "the KMS key is pending deletion or cannot be used: cancel that",
    "InvalidCiphertextException": "a wrapped key belongs to another service, id or KMS key",
    "IncorrectKeyException": "a wrapped key belongs to another KMS key",
    "NotFoundException": "there is no such KMS key",
    "AccessDeniedException": "this role may not use the KMS key or the secret",
    "ResourceNotFoundException": _EMPTY,
    "InvalidRequestException": "the secret is marked for deletion: restore it",
    "DecryptionFailure": "the secret itself cannot be decrypted: see its KMS key",
}


@dataclass(frozen=True, slots=True)
class KeyChest:
    """Where wrapped root keys are kept. `kms` and `secrets` are boto3 clients."""

    kms: Any
    secrets: Any
    secret: str

    def roots(self) -> RootKeys:
        """All root keys, unwrapped. Raises KeysRefused or KeysUnavailable."""
        _, wrapped = self.wrapped()
        return RootKeys(
            self._unwrap(_TAG, wrapped.tag_root),
            {id_: self._unwrap(str(id_), blob) for id_, blob in wrapped.keys.items()},
        )

    def wrapped(self) -> tuple[str, RootKeys]:
        """The secret's current version and what it holds. Raises as `roots`."""
        with _in_plain_words():
            version, text = self._text()
        if not text:
            raise KeysRefused(_EMPTY)
        try:
            return version, read(_FORMAT, text, _WRAPPED_SIZES)
        except BadKeyText as fault:
            raise KeysRefused(f"the secret of the root keys: {fault}") from None

    def create(self, kms_key: str) -> None:
        """Make the tag root and key 1. Raises KeysRefused if there are keys already."""
        self._begin(RootKeys(self._new(_TAG, kms_key), {1: self._new("1", kms_key)}))

    def adopt(self, roots: RootKeys, kms_key: str) -> None:
        """Begin with the roots of another ring, so that what it sealed opens and is found here.

        Raises as `create`.
        """
        keys = {id_: self._wrap(str(id_), root, kms_key) for id_, root in roots.keys.items()}
        self._begin(RootKeys(self._wrap(_TAG, roots.tag_root, kms_key), keys))

    def _begin(self, wrapped: RootKeys) -> None:
        text = written(_FORMAT, wrapped)
        with _in_plain_words():
            try:
                self.secrets.create_secret(
                    Name=self.secret, SecretString=text, ClientRequestToken=str(uuid.uuid4())
                )
            except ClientError as fault:
                if code_of(fault) != "ResourceExistsException":
                    raise
                self._fill(text)

    def add(self, kms_key: str) -> int:
        """Add a root key and return its id: it seals from now on, the older ones still open.

        Raises as `roots`, and KeysRefused if another rotation was faster.
        """
        version, wrapped = self.wrapped()
        try:
            id_ = next_id(wrapped)
        except BadKeyText as fault:
            raise KeysRefused(f"the secret of the root keys: {fault}") from None
        more = replace(wrapped, keys={**wrapped.keys, id_: self._new(str(id_), kms_key)})
        with _in_plain_words():
            self._put(written(_FORMAT, more), replaces=version)
        return id_

    def _text(self) -> tuple[str, str]:
        """The current version and its text."""
        found = self.secrets.get_secret_value(SecretId=self.secret)
        return found["VersionId"], found.get("SecretString", "").strip()

    def _fill(self, text: str) -> None:
        """Store the first version of a secret that a template made, if it is still empty."""
        try:
            version, found = self._text()
        except ClientError as fault:
            if code_of(fault) != "ResourceNotFoundException":
                raise
            return self._put(text, replaces=None)
        if found:
            raise KeysRefused(_TOO_LATE)
        return self._put(text, replaces=version)

    def _put(self, text: str, replaces: str | None) -> None:
        """Store a version that becomes the current one only in the place of the one named."""
        made = self.secrets.put_secret_value(
            SecretId=self.secret,
            SecretString=text,
            VersionStages=[_OFFERED],
            ClientRequestToken=str(uuid.uuid4()),
        )
        moved = {"RemoveFromVersionId": replaces} if replaces else {}
        try:
            self.secrets.update_secret_version_stage(
                SecretId=self.secret,
                VersionStage=_CURRENT,
                MoveToVersionId=made["VersionId"],
                **moved,
            )
        except ClientError as fault:
            if code_of(fault) != "InvalidParameterException":
                raise
            raise KeysRefused(_TOO_LATE) from None

    def _new(self, name: str, kms_key: str) -> bytes:
        with _in_plain_words():
            made = self.kms.generate_data_key_without_plaintext(
                KeyId=kms_key, NumberOfBytes=KEY_BYTES, EncryptionContext=_context(name)
            )
        return bytes(made["CiphertextBlob"])

    def _wrap(self, name: str, root: bytes, kms_key: str) -> bytes:
        with _in_plain_words():
            made = self.kms.encrypt(KeyId=kms_key, Plaintext=root, EncryptionContext=_context(name))
        return bytes(made["CiphertextBlob"])

    def _unwrap(self, name: str, blob: bytes) -> bytes:
        with _in_plain_words():
            found = self.kms.decrypt(CiphertextBlob=blob, EncryptionContext=_context(name))
        if len(found["Plaintext"]) != KEY_BYTES:
            raise KeysRefused("a wrapped key does not hold 32 bytes")
        return bytes(found["Plaintext"])


class KmsKeyRing(DerivedKeyRing):
    """`partners.ports.KeyRing` over a chest that is read once, and again after a rotation.

    Raises KeysRefused or KeysUnavailable when it is made; `open` raises StoreUnavailable where a
    newer key is needed and is unavailable.
    """

    def __init__(self, chest: KeyChest, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(chest.roots())
        self._chest = chest
        self._monotonic = monotonic
        self._looking = threading.Lock()
        self._looked_at = float("-inf")

    def _has(self, key_id: int) -> bool:
        return super()._has(key_id) or self._learnt(key_id)

    def _learnt(self, key_id: int) -> bool:
        """Look for newer keys, now and then: an id that nobody knows must not ask each time."""
        with self._looking:
            if not super()._has(key_id) and self._is_time():
                self._look()
            return super()._has(key_id)

    def _is_time(self) -> bool:
        return self._monotonic() - self._looked_at >= _LOOK_AGAIN_AFTER

    def _look(self) -> None:
        try:
            self._roots = {**self._roots, **self._chest.roots().keys}
        except KeysRefused:
            raise StoreUnavailable("a newer root key is unavailable now") from None
        self._newest = max(self._roots)
        self._looked_at = self._monotonic()


def _context(name: str) -> dict[str, str]:
    return {"service": "report-remove", "purpose": "root-key", "key": name}


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """What AWS answers, for an operator; never its own text, which may quote names."""
    try:
        yield
    except ClientError as fault:
        plain = _PLAIN.get(code_of(fault))
        if plain is None:
            raise KeysUnavailable(f"KMS or Secrets Manager answers {code_of(fault)}") from None
        raise KeysRefused(plain) from None
    except BotoCoreError as fault:
        raise KeysUnavailable(f"KMS or Secrets Manager: {type(fault).__name__}") from None
