"""How often times alone tell whose pass was whose, simulated: `python -m bench.pass_times`.

For whoever has the broker's times of signing and the service's of receiving, exactly. He pairs them
in their order: the first that was signed with the first that was shown. Where every delay within
bounds is as likely as another no pairing is likelier than this one, so it is a fair measure of what
he can do, though no proof that nobody does better. What would help us is left out: passes that
nobody uses, other services that take them. What would help him too: here people come at any hour
alike, and at night there are fewer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

SEED = 5
DAY = 86_400  # seconds
PEOPLE = (10, 100, 1000)  # passes used in a day
DAYS = 300


@dataclass(frozen=True)
class Delay:
    """How long after its signing a pass is shown: from `least` to `most` seconds, evenly."""

    name: str
    least: float
    most: float


DELAYS = (
    Delay("at once, within 15 seconds (a program)", 1, 15),
    Delay("after the pages in between, 1 to 6 minutes", 60, 360),
    Delay("after these and a random wait of 0 to 10 minutes", 60, 960),
    Delay("the next day or so: a spare pass, within 24 hours", 0, DAY),
)


def right(delay: Delay, people: int, chance: np.random.Generator) -> float:
    """The share of a day's passes that he pairs rightly."""
    signed = np.sort(chance.uniform(0, DAY, people))
    shown = signed + chance.uniform(delay.least, delay.most, people)
    return float(np.mean(np.argsort(shown) == np.arange(people)))


def share(delay: Delay, people: int) -> float:
    """The same over many days."""
    chance = np.random.default_rng((SEED, people))
    return float(np.mean([right(delay, people, chance) for _ in range(DAYS)]))


def table() -> list[str]:
    """Markdown: a row for each delay, a column for each number of passes a day."""
    head = "| a pass is shown | " + " | ".join(f"{n:,} a day" for n in PEOPLE) + " |"
    rows = [head, "|---|" + "---:|" * len(PEOPLE)]
    for delay in DELAYS:
        shares = (100 * share(delay, people) for people in PEOPLE)
        rows.append(f"| {delay.name} | {' | '.join(f'{one:.1f} %' for one in shares)} |")
    return rows


if __name__ == "__main__":
    sys.stdout.write("\n".join(table()) + "\n")
