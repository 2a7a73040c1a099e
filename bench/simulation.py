"""A million reports a day for 200 partners, of which one in twenty fails for hours: on paper.

Nothing is posted and no clock is waited for. What decides is the real thing, in simulated time:
`partners.gate.Gate` (breaker, cap, order of those sent away) and `partners.schedule.next_attempt`
(when to try again). Everything else is an assumption, and `Assumptions` is the whole list of them.

Every failing partner is simulated message by message for two days, healthy ones as a sample over
their busiest hours. What the store and the queues must bear is counted, not timed, and priced.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from partners.delivery import DeliverySettings  # noqa: E402
from partners.gate import Gate, GateSettings  # noqa: E402
from partners.model import Endpoint, EndpointId, SigningScheme  # noqa: E402
from partners.ports import Answer  # noqa: E402
from partners.schedule import Accepted, Disable, GiveUp, RetryAt, next_attempt  # noqa: E402

DAY = 86_400
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 1.5  # times the least time in which a partner's backlog can go out


def _assumed(default: float, meaning: str) -> float:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is not measured. Change any by its option, such as `--partners 400`."""

    seed: float = _assumed(1, "of every draw")
    reports: float = _assumed(1_000_000, "reports a day")
    partners: float = _assumed(200, "partners, one endpoint each")
    failing: float = _assumed(0.05, "part of the partners that fail on the first day, once each")
    shortest: float = _assumed(2, "hours that the shortest failure lasts")
    longest: float = _assumed(8, "hours that the longest failure lasts")
    items: float = _assumed(1.6, "photos and videos in a report; one message each")
    everywhere: float = _assumed(0.3, "part of the reports that go to every partner")
    chosen: float = _assumed(3, "partners that the others choose, the large ones more often")
    evening: float = _assumed(0.8, "how far the busiest and the quietest hour are from the mean")
    usual: float = _assumed(0.12, "seconds a healthy partner takes, median (log-normal, sigma 0.6)")
    stray: float = _assumed(0.005, "part of the posts that fail at a healthy partner")
    timeout: float = _assumed(15, "seconds until a post is given up")
    shards: float = _assumed(8, "shards of the due index")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one thing that happens to a message: write units in all, those of the due index, queue."""

    units: float
    due_index: float
    queue: float = 0.0  # requests: a batch of ten is one


# US dollars, us-east-1, on demand, as pages of 2025 and 2026 had them (docs/CAPACITY.md).
UNIT = 0.625e-6  # DynamoDB, 1 kB written
REQUEST = 0.50e-6  # SQS standard with a message group (fair queue)

# app/adapters/dynamodb/keys.md, last section, counts the units; an id is sent, received, deleted.
COSTS = {
    "made": Cost(7.1, 1, 0.3),
    "taken up": Cost(4, 2),
    "put back": Cost(4, 2, 0.3),
    "tried again later": Cost(7, 2, 0.3),
    "delivered": Cost(11, 1),
}

KINDS = ("refused", "hangs", "503")


@dataclass(frozen=True, slots=True)
class Outage:
    """When a partner fails, in seconds of the first day, and how."""

    start: float
    end: float
    kind: str

    def covers(self, second: float) -> bool:
        """Whether a post that begins at that second fails."""
        return self.start <= second < self.end


@dataclass(slots=True)
class Tally:
    """What became of one partner's messages."""

    ages: list[float] = field(default_factory=list)  # seconds from made to delivered
    drained: list[float] = field(default_factory=list)  # delivery times of those that had waited
    happened: Counter[str] = field(default_factory=Counter)
    index_writes: dict[int, float] = field(default_factory=lambda: defaultdict(float))  # by minute
    given_up: int = 0

    def note(self, what: str, second: float) -> None:
        """Count it, and its writes to the due index in that minute."""
        self.happened[what] += 1
        self.index_writes[int(second // 60)] += COSTS[what].due_index


def busy(assumed: Assumptions, second: np.ndarray) -> np.ndarray:
    """How busy that second is beside the mean: quietest at 8, busiest at 20 o'clock."""
    return 1 + assumed.evening * np.sin(2 * math.pi * (second / DAY - 14 / 24))


def shares(assumed: Assumptions) -> np.ndarray:
    """The part of all reports that each partner gets, the largest first (Zipf)."""
    size = 1 / np.arange(1, int(assumed.partners) + 1)
    chosen = 1 - (1 - size / size.sum()) ** assumed.chosen
    everywhere: np.ndarray = assumed.everywhere + (1 - assumed.everywhere) * chosen
    return everywhere


def arrivals(
    assumed: Assumptions, share: float, start: float, end: float, chance: np.random.Generator
) -> np.ndarray:
    """Seconds at which messages for one partner are made: an inhomogeneous Poisson process."""
    mean = assumed.reports * assumed.items * share / DAY
    most = mean * (1 + assumed.evening)
    drawn = np.sort(chance.uniform(start, end, chance.poisson(most * (end - start))))
    kept: np.ndarray = drawn[
        chance.uniform(0, 1 + assumed.evening, len(drawn)) < busy(assumed, drawn)
    ]
    return kept


class Partner:
    """One partner in simulated time: a due index, the real gate, posts under way."""

    def __init__(
        self, assumed: Assumptions, outage: Outage | None, chance: np.random.Generator
    ) -> None:
        self._assumed = assumed
        self._outage = outage
        self._chance = chance
        self._gate = Gate()
        self._endpoint = Endpoint(EndpointId("end_1"), "https://p", SigningScheme.V1A, ())
        self._held_for = DeliverySettings().held_for.total_seconds()
        self._held_most = DeliverySettings().held_per_endpoint
        self._held = 0
        self._order = count()
        # (second, order, what, made, attempts, answer): what is "due", "held" here for a moment,
        # or the "answer" to a post.
        self._events: list[tuple[float, int, str, float, int, Answer | None]] = []
        self.tally = Tally()

    def run(self, made: Sequence[float], until: float) -> Tally:
        """Play all that happens before `until` seconds."""
        for second in made:
            self.tally.note("made", second)
            self._at(second, "due", second, 0)
        while self._events and self._events[0][0] < until:
            second, _, what, first, attempts, answer = heapq.heappop(self._events)
            if answer is not None:
                self._ended(second, first, attempts, answer)
            else:
                self._offer(second, what, first, attempts)
        return self.tally

    def _at(
        self, second: float, what: str, made: float, attempts: int, answer: Answer | None = None
    ) -> None:
        heapq.heappush(self._events, (second, next(self._order), what, made, attempts, answer))

    def _offer(self, second: float, what: str, made: float, attempts: int) -> None:
        if what == "held":
            self._held -= 1
        else:
            self.tally.note("taken up", second)
        again_at = self._gate.admit(self._endpoint, _moment(second))
        if again_at is None:
            self._post(second, made, attempts)
            return
        again = _second(again_at)
        if again - second <= self._held_for and self._held < self._held_most:
            self._held += 1
            self._at(again, "held", made, attempts)
            return
        self.tally.note("put back", second)
        self._at(again, "due", made, attempts)

    def _post(self, second: float, made: float, attempts: int) -> None:
        answer = self._answer(second)
        self._at(second + answer.duration.total_seconds(), "answer", made, attempts + 1, answer)

    def _answer(self, second: float) -> Answer:
        down = self._outage is not None and self._outage.covers(second)
        if down and self._outage is not None and self._outage.kind == "hangs":
            return _answer(None, self._assumed.timeout)
        if down and self._outage is not None and self._outage.kind == "refused":
            return _answer(None, 0.002)
        took = self._assumed.usual * math.exp(0.6 * self._chance.standard_normal())
        failed = down or self._chance.random() < self._assumed.stray
        return _answer(503 if failed else 204, min(took, self._assumed.timeout))

    def _ended(self, second: float, made: float, attempts: int, answer: Answer) -> None:
        now = _moment(second)
        self._gate.answered(self._endpoint.id, answer, now)
        match next_attempt(attempts, answer, now, self._chance.random()):
            case Accepted():
                self.tally.note("delivered", second)
                self.tally.ages.append(second - made)
                if self._outage is not None and made < self._outage.end <= second:
                    self.tally.drained.append(second)
            case RetryAt(at):
                self.tally.note("tried again later", second)
                self._at(_second(at), "due", made, attempts)
            case GiveUp() | Disable():
                self.tally.given_up += 1


def _answer(status: int | None, seconds: float) -> Answer:
    error = None if status else "timeout"
    return Answer("", status, error, 0, timedelta(seconds=seconds))


def _moment(second: float) -> datetime:
    return MIDNIGHT + timedelta(seconds=second)


def _second(moment: datetime) -> float:
    return (moment - MIDNIGHT).total_seconds()


@dataclass(frozen=True, slots=True)
class Drain:
    """How long 99% of what waited took to go out, beside the least time it could take."""

    waited: int
    took: float
    least: float


def drain(tally: Tally, outage: Outage, share: float, assumed: Assumptions) -> Drain:
    """`least`: the backlog and what comes meanwhile, with all the posts at once that are allowed.

    The time the breaker may take to notice is not counted as avoidable: its longest pause is added.
    """
    capacity = GateSettings().at_once / (assumed.usual * math.exp(0.18))
    coming = assumed.reports * assumed.items * share / DAY
    went = np.array(tally.drained) - outage.end
    backlog = len(went)
    pause = GateSettings().longest_pause.total_seconds()
    return Drain(backlog, float(np.quantile(went, 0.99)), pause + backlog / (capacity - coming))


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, and one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for spec in fields(Assumptions):
        parser.add_argument(
            f"--{spec.name}", type=float, default=spec.default, help=spec.metadata["meaning"]
        )
    parser.add_argument("--healthy", type=int, default=4, help="healthy partners simulated")
    options = vars(parser.parse_args(arguments))
    healthy = options.pop("healthy")
    report(Assumptions(**options), healthy)
    return 0


def report(assumed: Assumptions, healthy: int) -> None:
    """The whole simulation, as text."""
    for spec in fields(assumed):
        print(f"{spec.name:10} {getattr(assumed, spec.name):>12,g}  {spec.metadata['meaning']}")
    chance = np.random.default_rng(int(assumed.seed))
    share = shares(assumed)
    per_day = assumed.reports * assumed.items * share.sum()
    print(f"\nmessages a day {per_day:,.0f}, in the busiest second {_peak(assumed, per_day):,.0f}")
    well = list(_healthy(assumed, share, healthy, chance))
    drains, badly = _failing(assumed, share, chance)
    _heat(assumed, share, badly)
    _bill(per_day, well, badly)
    worst = max(drains, key=lambda one: one.took / one.least)
    ratio = worst.took / worst.least
    figure = "worst time to drain a backlog, seconds (99%), beside the least possible"
    print(
        json.dumps(
            {
                "figure": figure,
                "value": round(worst.took),
                "limit": round(worst.least * LIMIT),
                "ratio": round(ratio / LIMIT, 3),
            }
        )
    )


def _peak(assumed: Assumptions, per_day: float) -> float:
    return per_day / DAY * (1 + assumed.evening)


def _healthy(
    assumed: Assumptions, share: np.ndarray, healthy: int, chance: np.random.Generator
) -> Iterator[Tally]:
    print("\nhealthy partners, 19:30 to 20:30: seconds from made to delivered")
    for place in np.linspace(0, len(share) - 1, healthy).astype(int):
        made = arrivals(assumed, share[place], 19.5 * 3600, 20.5 * 3600, chance)
        tally = Partner(assumed, None, chance).run(list(made), 2.0 * DAY)
        print(f"  size rank {place + 1:4}: {len(made):8,} messages  {_quantiles(tally.ages)}")
        yield tally


def _failing(
    assumed: Assumptions, share: np.ndarray, chance: np.random.Generator
) -> tuple[list[Drain], list[Tally]]:
    print("\nfailing partners, two days from midnight: seconds from made to delivered")
    drains, tallies = [], []
    places = chance.choice(len(share), round(assumed.failing * len(share)), replace=False)
    for number, place in enumerate(sorted(places)):
        start = chance.uniform(0, 16) * 3600
        length = chance.uniform(assumed.shortest, assumed.longest) * 3600
        outage = Outage(start, start + length, KINDS[number % len(KINDS)])
        made = arrivals(assumed, share[place], 0, DAY, chance)
        tally = Partner(assumed, outage, chance).run(list(made), 9.0 * DAY)
        drained = drain(tally, outage, share[place], assumed)
        _lost(made, tally)
        print(
            f"  size rank {place + 1:4}: {outage.kind:7} {length / 3600:4.1f} h  {len(made):8,} "
            f"messages  {_quantiles(tally.ages)}  retries {tally.happened['tried again later']:6,}"
            f"  put back {tally.happened['put back']:9,}  given up {tally.given_up}\n"
            f"      {drained.waited:,} had waited; 99% of them out {drained.took:,.0f} s after the "
            f"end (least possible {drained.least:,.0f})"
        )
        drains.append(drained)
        tallies.append(tally)
    return drains, tallies


def _lost(made: np.ndarray, tally: Tally) -> None:
    if len(made) != len(tally.ages) + tally.given_up:
        raise AssertionError("a message was neither delivered nor given up")


def _quantiles(ages: Sequence[float]) -> str:
    low, high = np.quantile(ages, [0.5, 0.99])
    return f"p50 {low:8.2f}  p99 {high:10.2f}"


def _heat(assumed: Assumptions, share: np.ndarray, badly: Sequence[Tally]) -> None:
    """Writes to the due index: 1,000 a second is what one partition of DynamoDB bears."""
    minutes: dict[int, float] = defaultdict(float)
    for tally in badly:
        for minute, writes in tally.index_writes.items():
            minutes[minute] += writes
    per_day = assumed.reports * assumed.items * share.sum()
    well = ("made", "taken up", "delivered")
    usual = _peak(assumed, per_day) * sum(COSTS[what].due_index for what in well)
    worst = max(minutes.values()) / 60
    print(
        f"\ndue index, writes a second: busiest hour {usual:,.0f}; the failing partners add at "
        f"most {worst:,.0f}; of {assumed.shards:.0f} shards each bears "
        f"{(usual + worst) / assumed.shards:,.0f} (a partition: 1,000)"
    )


def _bill(per_day: float, well: Sequence[Tally], badly: Sequence[Tally]) -> None:
    """DynamoDB writes and queue requests only: docs/CAPACITY.md has the whole bill."""
    smooth = _cost(sum((tally.happened for tally in well), Counter()))
    messages = sum(tally.happened["made"] for tally in well)
    rough = _cost(sum((tally.happened for tally in badly), Counter()))
    failing = sum(tally.happened["made"] for tally in badly)
    extra = rough - smooth / messages * failing
    million = smooth / messages * 1e6
    print(
        f"cost of writes and queues, US dollars: {million:,.2f} a million messages that go well; "
        f"{million / 1e6 * per_day:,.0f} a day; the failing partners add {extra:,.0f}"
    )


def _cost(happened: Counter[str]) -> float:
    return sum(
        times * (COSTS[what].units * UNIT + COSTS[what].queue * REQUEST)
        for what, times in happened.items()
    )


if __name__ == "__main__":
    sys.exit(main())
