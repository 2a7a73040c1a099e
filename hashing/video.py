"""vPDQ: the PDQ hashes of a video's frames over time, in the text form of Meta's vpdq."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, Self

from hashing.errors import InvalidHash, InvalidPacking
from hashing.kinds import HashType, Pdq

_LIMIT: Final = 10**9  # frames, and seconds: what nine digits hold
_MOST_PACKED: Final = 0xFFFF
_FRAME_BYTES: Final = 42
_LINE: Final = re.compile(
    r"(0|[1-9][0-9]{0,8}),(0|[1-9][0-9]?|100),([0-9a-f]{64}),(0|[1-9][0-9]{0,8})\.([0-9]{3})"
).fullmatch


@dataclass(frozen=True, slots=True)
class VpdqFrame:
    """One frame: its number in the video, PDQ quality 0 to 100, hash, and time in milliseconds."""

    number: int
    quality: int
    hash: Pdq
    at_ms: int

    def __post_init__(self) -> None:
        if type(self.hash) is not Pdq:
            raise InvalidHash("vpdq frames carry pdq hashes")
        if not (0 <= self.number < _LIMIT and 0 <= self.at_ms < 1000 * _LIMIT):
            raise InvalidHash("vpdq frame number or time is out of range")
        if not 0 <= self.quality <= 100:
            raise InvalidHash("vpdq quality is from 0 to 100")

    @classmethod
    def parse(cls, line: str) -> Self:
        """One line: number, quality, hash, seconds with three decimals. Raises InvalidHash."""
        found = _LINE(line)
        if not found:
            raise InvalidHash("a vpdq line is number,quality,hash,seconds with three decimals")
        number, quality, hex_digits, seconds, thousandths = found.groups()
        at_ms = 1000 * int(seconds) + int(thousandths)
        return cls(int(number), int(quality), Pdq.parse(hex_digits), at_ms)

    def __str__(self) -> str:
        seconds, thousandths = divmod(self.at_ms, 1000)
        return f"{self.number},{self.quality},{self.hash},{seconds}.{thousandths:03d}"


@dataclass(frozen=True, slots=True)
class Vpdq:
    """A video: at least one frame, numbers rising, times not falling.

    The text form is one line a frame, each ended by a newline, as written by vpdq's
    `outputVPDQFeatureToFile` (ThreatExchange, vpdq/cpp/io).
    """

    frames: tuple[VpdqFrame, ...]

    type: ClassVar[HashType] = HashType.VPDQ

    def __post_init__(self) -> None:
        if not self.frames:
            raise InvalidHash("vpdq has at least one frame")
        if any(a.number >= b.number or a.at_ms > b.at_ms for a, b in pairwise(self.frames)):
            raise InvalidHash("vpdq frames must be in order")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The canonical text form. Raises InvalidHash."""
        if not text.endswith("\n"):
            raise InvalidHash("vpdq ends with a newline")
        return cls(tuple(map(VpdqFrame.parse, text[:-1].split("\n"))))

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> Self:
        """The text form's lines without their ends. Raises InvalidHash."""
        return cls(tuple(map(VpdqFrame.parse, lines)))

    def __str__(self) -> str:
        return "".join(f"{frame}\n" for frame in self.frames)

    # Packed beside other hashes: the number of frames (2 bytes, big-endian), then for each: number
    # (4 bytes), milliseconds (5 bytes), quality, hash.

    @property
    def raw(self) -> bytes:
        """As bytes; `read` gives it back. Raises InvalidPacking over 65,535 frames."""
        if len(self.frames) > _MOST_PACKED:
            raise InvalidPacking("too many frames to pack")
        parts = [len(self.frames).to_bytes(2)]
        for frame in self.frames:
            parts += frame.number.to_bytes(4), frame.at_ms.to_bytes(5), bytes((frame.quality,))
            parts.append(frame.hash.raw)
        return b"".join(parts)

    @classmethod
    def length(cls, packed: bytes, at: int) -> int:
        """How many bytes of `packed` the video takes that begins there."""
        return 2 + _FRAME_BYTES * (packed[at] * 256 + packed[at + 1])

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """What `raw` gave. Raises InvalidHash."""
        starts = range(2, len(raw), _FRAME_BYTES)
        return cls(tuple(_frame(raw[at : at + _FRAME_BYTES]) for at in starts))


def _frame(raw: bytes) -> VpdqFrame:
    number, at_ms = int.from_bytes(raw[:4]), int.from_bytes(raw[4:9])
    return VpdqFrame(number, raw[9], Pdq(raw[10:]), at_ms)
