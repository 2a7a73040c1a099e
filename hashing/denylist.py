"""Well-known harmless pictures and files that nobody needs taken down, read from a data file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hashing.distance import MATCH_DISTANCE
from hashing.errors import InvalidDenylist, InvalidHash
from hashing.values import AnyHash, HashType, Pdq, parse_hash

SHIPPED: Final = Path(__file__).with_name("denylist.txt")


@dataclass(frozen=True, slots=True)
class Denylist:
    """Holds PDQ hashes of either profile that match a listed one, and the listed digests.

    A video is not listed as a whole: `judge` asks for each of its frames.
    """

    pictures: tuple[int, ...] = ()
    files: frozenset[AnyHash] = frozenset()

    @classmethod
    def of(cls, values: Iterable[AnyHash]) -> Denylist:
        """The denylist of these hashes."""
        listed = tuple(values)
        pictures = tuple(value.bits for value in listed if isinstance(value, Pdq))
        return cls(pictures, frozenset(value for value in listed if not isinstance(value, Pdq)))

    def holds(self, value: AnyHash) -> bool:
        """Whether this is listed. Some 60 ns a picture: meant for tens of them, not thousands."""
        if not isinstance(value, Pdq):
            return value in self.files
        bits = value.bits
        # A loop rather than any(): this runs for every hash of every report.
        for listed in self.pictures:  # noqa: SIM110
            if (bits ^ listed).bit_count() <= MATCH_DISTANCE:
                return True
        return False


def load_denylist(path: Path) -> Denylist:
    """Read lines of `type value name`; blank lines and lines that start with # say nothing.

    Raises InvalidDenylist naming file and line, OSError if the file cannot be opened.
    """
    lines = enumerate(path.read_bytes().splitlines(), start=1)
    return Denylist.of(
        _read(raw, f"{path}:{number}") for number, raw in lines if raw.strip() and raw[:1] != b"#"
    )


def _read(raw: bytes, where: str) -> AnyHash:
    try:
        hash_type, value, _name = raw.decode().split(maxsplit=2)
        return parse_hash(HashType(hash_type), value)
    except InvalidHash as fault:
        raise InvalidDenylist(f"{where}: {fault}") from None
    except ValueError:
        raise InvalidDenylist(f"{where}: expected a hash type, a value and a name") from None
