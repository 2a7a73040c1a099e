"""What can be wrong with a hash, or with a file to be hashed.

HashError
├── InvalidHash            text or bytes that are no hash of the type they claim
│   ├── InvalidEntry       a hash with the wrong type, quality or variant name beside it
│   └── InvalidPacking     packed entries that `pack` cannot have written
├── UnreadableFile         a file that cannot be opened
│   └── UnreadableImage    a file that opens but is no picture we can decode
│       └── ImageTooLarge  a picture beyond the limits of the reference hasher
└── InvalidDenylist        a line of the denylist that says nothing usable

Messages name the problem and never repeat the value: a hash is as sensitive as the image.
"""

from __future__ import annotations

from typing import ClassVar


class HashError(Exception):
    """Base of all errors of this package. `code` is stable and safe to show to anybody."""

    code: ClassVar[str] = "hash-error"


class InvalidHash(HashError):
    """Not a hash: wrong length, uppercase, not hexadecimal, or not of a known type."""

    code = "hash-invalid"


class InvalidEntry(InvalidHash):
    """A hash whose type, quality or variant name does not fit."""

    code = "hash-entry-invalid"


class InvalidPacking(InvalidHash):
    """Bytes that are not packed entries, or entries that cannot be packed."""

    code = "hash-packing-invalid"


class UnreadableFile(HashError):
    """Missing, a folder, or not permitted."""

    code = "file-unreadable"


class UnreadableImage(UnreadableFile):
    """Not a picture, damaged, or of a kind we cannot decode."""

    code = "image-unreadable"


class ImageTooLarge(UnreadableImage):
    """More pixels or bytes than the reference hasher takes."""

    code = "image-too-large"


class InvalidDenylist(HashError):
    """The message begins with file:line."""

    code = "denylist-invalid"
