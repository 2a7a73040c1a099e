"""Both ends of profile `counsellor-attested-v1`: what a device shows, and what a counsellor signs.

It stands alone (Python and `cryptography`), so that a helpline can read a whole tool in one file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PROFILE = "counsellor-attested-v1"
CLAIMS = ("age_under_18", "was_under_18_at")
LIFETIME = 1800  # seconds; the profile allows 3,600
MOST_CHARACTERS = 4096
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32
_MISHEARD = str.maketrans("ILO", "110", " \t\r\n-")
_DATA, _CHECK = 18, 2  # characters of 5 bits
_MEMBERS = {"helpline", "audience", "seed"}


class BadRequestCode(ValueError):
    """A slip in the request code, or no request code at all."""


class BadStaffKey(Exception):
    """The file holds no usable staff key; the message says why."""


class NoAttestation(Exception):
    """No attestation came, or none that could be one."""


@dataclass(frozen=True, slots=True)
class StaffKey:
    """One counsellor's key, with the helpline it vouches for and the service it vouches to."""

    helpline: str
    audience: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file that `write` made. Raises BadStaffKey."""
        try:
            if path.stat().st_mode & 0o077:
                raise BadStaffKey("others on this machine may read it: make a new key")
            members = json.loads(path.read_bytes())
            if members.keys() != _MEMBERS:
                raise BadStaffKey("it is no staff key")
            seed = base64.b64decode(members["seed"], validate=True)
            key = Ed25519PrivateKey.from_private_bytes(seed)
        except OSError:
            raise BadStaffKey("it cannot be read") from None
        except (ValueError, AttributeError, TypeError):
            raise BadStaffKey("it is no staff key") from None
        return cls(str(members["helpline"]), str(members["audience"]), key)

    def write(self, path: Path) -> None:
        """To a new file for its owner alone. Raises OSError, FileExistsError among them."""
        seed = base64.b64encode(self.key.private_bytes_raw()).decode()
        members = {"helpline": self.helpline, "audience": self.audience, "seed": seed}
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(members).encode())

    def jwk(self) -> dict[str, str]:
        """The public key, its `kid` being its thumbprint (RFC 7638, RFC 8037)."""
        x = b64(self.key.public_key().public_bytes_raw())
        members = {"crv": "Ed25519", "kty": "OKP", "x": x}
        return {**members, "kid": b64(hashlib.sha256(compact_json(members)).digest())}

    def attest(self, code: str, claim: str, now: int) -> str:
        """The counsellor's word for the report of that request code. Raises BadRequestCode.

        `claim` is one of CLAIMS; `now` is in seconds since 1970.
        """
        claims = {
            "iss": self.helpline,
            "aud": self.audience,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
            "request": read_request_code(code),
            claim: True,
        }
        header = {"typ": "age-attestation+jwt", "alg": "Ed25519", "kid": self.jwk()["kid"]}
        signed = f"{b64(compact_json(header))}.{b64(compact_json(claims))}"
        return f"{signed}.{b64(self.key.sign(signed.encode()))}"


def request_code(body: bytes) -> str:
    """What the device shows of the report it is about to send, in groups of five.

    90 bits of SHA-256(profile | 0x00 | SHA-256 of the body), and 10 bits that find a slip.
    """
    digest = hashlib.sha256(f"{PROFILE}\0".encode() + hashlib.sha256(body).digest()).digest()
    code = _base32(digest, _DATA)
    code += _check_of(code)
    return "-".join(code[at : at + 5] for at in range(0, len(code), 5))


def read_request_code(text: str) -> str:
    """The code as it is signed, from one typed or heard. Raises BadRequestCode.

    Case, blanks and dashes do not count; I and L are read as 1, O as 0.
    """
    code = text.upper().translate(_MISHEARD)
    if len(code) != _DATA + _CHECK or not set(code) <= set(_ALPHABET):
        raise BadRequestCode("a request code is four groups of five letters and digits")
    if _check_of(code[:_DATA]) != code[_DATA:]:
        raise BadRequestCode("there is a slip in it: ask for it again")
    return code


def headers(attestation: str) -> dict[str, str]:
    """The header that proves an age with it."""
    return {"Authorization": f"Attestation {attestation}"}


def wait_for(path: Path, seconds: float) -> str:
    """The attestation in that file, as soon as its line is whole. Raises NoAttestation."""
    give_up_at = time.monotonic() + seconds
    while not (line := _line(path)).endswith("\n"):
        if len(line) > MOST_CHARACTERS:
            raise NoAttestation("the file holds no attestation")
        if time.monotonic() >= give_up_at:
            raise NoAttestation("no attestation came in time")
        time.sleep(0.2)
    return line.strip()


def _line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(MOST_CHARACTERS + 1).decode("ascii", "replace")
    except OSError:
        return ""


def _check_of(code: str) -> str:
    return _base32(hashlib.sha256(code.encode()).digest(), _CHECK)


def _base32(raw: bytes, characters: int) -> str:
    number = int.from_bytes(raw, "big") >> (len(raw) * 8 - characters * 5)
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(characters)))


def b64(raw: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact_json(members: Mapping[str, Any]) -> bytes:
    """JSON without spaces, in the order given."""
    return json.dumps(members, separators=(",", ":")).encode()
