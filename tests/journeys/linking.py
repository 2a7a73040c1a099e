"""What two captures have in common, however it is spelled, and whether two orders are alike.

Every text that could spell bytes (hexadecimal, base64 of either alphabet at each alignment,
decimal) is also read as those bytes, so a value is found in any spelling as itself. Then every run
of eight bytes of one side is looked for in the other: nothing is in both, whole or in part, unseen.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 8  # bytes
# Of eight bytes by chance fewer than six differ once in 1,600 times; of a repeated or
# counting filler always. A value of 32 bytes has 25 windows, so none is lost by this.
_DIFFERENT = 6
# Eight hexadecimal digits are four bytes: so few that thousands of values share them by chance.
# As the bytes that they spell they are compared too, eight at a time.
_FOUR_BYTES = re.compile(rb"[0-9A-Fa-f]{8}").fullmatch
_HEX = re.compile(rb"[0-9A-Fa-f]{16,}")
_BASE64 = (re.compile(rb"[A-Za-z0-9+/]{11,}"), re.compile(rb"[A-Za-z0-9_-]{11,}"))
_DECIMAL = re.compile(rb"[0-9]{20,4000}")
_URL_TO_PLAIN = bytes.maketrans(b"-_", b"+/")
_CLOCK = re.compile(
    rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?)?"
)

Windows = NDArray[np.uint64]


def windows(pieces: Iterable[bytes]) -> Windows:
    """Every run of eight bytes in any reading of the pieces, as numbers, sorted, once each.

    Texts of the clock are left out: what times tell is another question (docs/THREAT-MODEL.md).
    """
    texts = {part for piece in pieces for part in _CLOCK.split(piece)}
    return plain_windows({*texts, *spelled(texts)})


def plain_windows(pieces: Iterable[bytes]) -> Windows:
    """Every run of eight bytes of the pieces as they stand."""
    found = [one for one in pieces if len(one) >= WINDOW]
    if not found:
        return np.empty(0, np.uint64)
    everything = np.frombuffer(b"".join(found), np.uint8)
    runs = np.lib.stride_tricks.sliding_window_view(everything, WINDOW)
    whose = np.repeat(np.arange(len(found), dtype=np.uint32), [len(one) for one in found])
    whole = whose[: 1 - WINDOW] == whose[WINDOW - 1 :]  # not half of one reading, half of the next
    return np.unique(np.ascontiguousarray(runs[whole]).view(">u8").ravel().astype(np.uint64))


def common(a: Windows, b: Windows, public: Windows) -> list[bytes]:
    """The windows of both that are no filler and not among the public ones."""
    few, many = sorted((a, b), key=len)
    both = few[among(few, many)]
    found = both[~among(both, public)]
    texts = (int(number).to_bytes(WINDOW, "big") for number in found)
    return [text for text in texts if len(set(text)) >= _DIFFERENT and not _FOUR_BYTES(text)]


def among(few: Windows, many: Windows) -> NDArray[np.bool_]:
    """Which of the few are among the many; both as `windows` gives them."""
    if len(many) == 0:
        return np.zeros(len(few), np.bool_)
    places = np.searchsorted(many, few).clip(max=len(many) - 1)
    return np.asarray(many[places] == few, np.bool_)


def spelled(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes that parts of these texts spell."""
    texts = list(texts)
    for run in _runs(_HEX, texts):
        for text in (run, run[1:]):
            yield bytes.fromhex(text[: len(text) // 2 * 2].decode())
    for alphabet in _BASE64:
        for run in _runs(alphabet, texts):
            text = run.translate(_URL_TO_PLAIN)
            for lead in range(4):
                whole = len(text) - (len(text) - lead) % 4
                rest = text[whole:]
                end = rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
                yield base64.b64decode(text[lead:whole] + end)
    for run in _runs(_DECIMAL, texts):
        number = int(run)
        yield number.to_bytes((number.bit_length() + 7) // 8, "big")


def _runs(alphabet: re.Pattern[bytes], texts: Iterable[bytes]) -> set[bytes]:
    return {run for text in texts for run in alphabet.findall(text)}


def spellings(value: bytes) -> set[bytes]:
    """A value as it may have been written down: an own, plain search beside that of windows."""
    found = {value, value.hex().encode(), value.hex().upper().encode(), repr(value)[2:-1].encode()}
    found.add(str(int.from_bytes(value, "big")).encode())
    for lead in range(3):  # base64 writes three bytes at a time
        text = base64.b64encode(bytes(lead) + value)[4 if lead else 0 : -4]
        found |= {text, text.translate(bytes.maketrans(b"+/", b"-_"))}
    return {text for text in found if len(text) >= WINDOW}


def alike(a: Sequence[int], b: Sequence[int]) -> float:
    """Spearman's rank correlation of two columns, from -1 to 1."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def likenesses(
    these: Mapping[str, Sequence[int]], those: Mapping[str, Sequence[int]]
) -> dict[tuple[str, str], float]:
    """Of every column of one side with every column of the other; rows belong together."""
    return {(x, y): alike(a, b) for x, a in these.items() for y, b in those.items()}


def _ranks(values: Sequence[int]) -> NDArray[np.float64]:
    """Equal values share the middle of their ranks. Numbers may be thousands of bits long."""
    order = {value: place for place, value in enumerate(sorted(set(values)))}
    places = np.array([order[value] for value in values])
    counts = np.bincount(places)
    middles = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(middles[places], np.float64)
