"""The case code is made on the device; the service only ever sees the key made from it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping

DIGITS = 16  # 53 bits; it looks like any other long number


class BadCode(ValueError):
    """Not sixteen digits."""


def new_code() -> str:
    """Sixteen random digits in groups of four."""
    digits = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    return " ".join(digits[at : at + 4] for at in range(0, DIGITS, 4))


def case_key(code: str, recipe: Mapping[str, object]) -> str:
    """The case key, 64 hexadecimal digits, by the recipe of `GET /v1/age/challenge`.

    Blanks and dashes in the code do not count. Raises BadCode.
    """
    digits = re.sub(r"[\s-]", "", code)
    if not re.fullmatch(rf"[0-9]{{{DIGITS}}}", digits):
        raise BadCode("a case code is sixteen digits")
    salt, rounds, length = recipe["salt"], recipe["rounds"], recipe["length"]
    if not (isinstance(salt, str) and isinstance(rounds, int) and isinstance(length, int)):
        raise BadCode("the service gave no usable recipe")
    return hashlib.pbkdf2_hmac("sha256", digits.encode(), bytes.fromhex(salt), rounds, length).hex()
