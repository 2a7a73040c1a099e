"""Whether two kinds of request can be told apart by their time.

A p-value is not asked for. It says how surely two distributions differ, not by how much: with
enough tries any hair's breadth is significant, and with few tries a wide leak is not. What an
attacker gains is an effect size, so this bounds two of them:

- `r`, the rank-biserial correlation of the Mann-Whitney U test (Kerby 2014, doi:10.2466/11.IT.3.1),
  P(a > b) - P(a < b) for one try of each. Whoever guesses the kind of one try from its time is
  right in at most 1/2 + |r|/2 of cases. It does not care how wild the slow tries are.
- `shift`, the difference of the lower quartiles in seconds. Other programs only ever make a try
  slower, so low quantiles show what the code itself takes (the box test of Crosby, Wallach and
  Riedi 2009, doi:10.1145/1455526.1455530) where `r` would drown in noise.

Tries come in pairs, one of each kind, a coin deciding which goes first: what drifts hits both. A
pair with an outlier is left out whole. With 2,000 pairs of equal kinds r has a standard deviation
of 0.018, so MOST_R is more than five of them. A noisy moment can still deceive one measurement and
a real difference is there in each, so a difference counts when it shows in `TIMES` measurements.
"""

from __future__ import annotations

import gc
import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles

MOST_R = 0.1
MOST_SHIFT = 0.000_25  # seconds
OUTLIERS = 0.05  # of all tries
TIMES = 3

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Difference:
    """How far the first kind is from the second; positive if the first takes longer."""

    r: float
    shift: float

    @property
    def shows(self) -> bool:
        """Whether somebody could make use of it."""
        return abs(self.r) >= MOST_R or abs(self.shift) >= MOST_SHIFT

    def __str__(self) -> str:
        return f"r = {self.r:+.3f}, lower quartiles {self.shift * 1e6:+.0f} µs apart"


def difference(pairs: Pairs) -> Difference:
    """Between the first and the second of each pair, in seconds."""
    kept = without_outliers(pairs)
    first, second = [a for a, _ in kept], [b for _, b in kept]
    shift = quantiles(first, n=4)[0] - quantiles(second, n=4)[0]
    return Difference(rank_biserial(first, second), shift)


def rank_biserial(first: Sequence[float], second: Sequence[float]) -> float:
    """P(a > b) - P(a < b), from -1 to 1."""
    ordered = sorted(second)
    above = sum(bisect_left(ordered, a) for a in first)
    below = sum(len(ordered) - bisect_right(ordered, a) for a in first)
    return (above - below) / (len(first) * len(second))


def without_outliers(pairs: Pairs) -> Pairs:
    """The pairs in which neither try is among the slowest of all."""
    everything = sorted(value for pair in pairs for value in pair)
    limit = everything[int(len(everything) * (1 - OUTLIERS)) - 1]
    return [pair for pair in pairs if max(pair) <= limit]


def measure(
    first: Callable[[int], object], second: Callable[[int], object], tries: int, warm_up: int
) -> list[tuple[float, float]]:
    """The seconds of `tries` calls of each, in pairs, after `warm_up` pairs that are not kept."""
    taken = []
    gc.collect()
    gc.disable()
    try:
        for number in range(tries + warm_up):
            order = [(0, first), (1, second)]
            random.shuffle(order)
            spent = [0.0, 0.0]
            for kind, call in order:
                began = time.perf_counter()
                call(number)
                spent[kind] = time.perf_counter() - began
            taken.append((spent[0], spent[1]))
    finally:
        gc.enable()
    return taken[warm_up:]


def persistent(look: Callable[[], Pairs]) -> list[Difference]:
    """Measure until a difference does not show, at most `TIMES` times. All that was seen."""
    seen: list[Difference] = []
    while len(seen) < TIMES and (not seen or seen[-1].shows):
        seen.append(difference(look()))
    return seen
