"""What each kind of bad partner does to how soon the others are told.

The service as in production, its relay and sender on their threads, in two folders: each has eight
healthy partners and a ninth, which is as healthy in the one and bad in the other: it misbehaves
over TLS in a process of its own (tests/partners/bad.py). Reports come at a steady pace, one to each
at the same moments, so that whatever else the machine does falls on both alike. Compared is the
99th percentile, over the eight, of the time from an accepted report to the stored receipt. Beside
it: what became of the bad partner.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from bench import backlog  # noqa: E402
from bench.receiver import receiving  # noqa: E402
from partners.model import Attempt, EndpointId, Message, MessageState, PartnerId  # noqa: E402
from partners.ports import DeliveryObserver  # noqa: E402
from tests.partners.bad import BAD, certificates  # noqa: E402
from tests.partners.platforms import Authority  # noqa: E402

HEALTHY = 8
LIMIT = 1.2
PACE = 0.1  # seconds between two reports to each
WARM = 20  # reports before anything is compared


@dataclass(slots=True)
class Watching:
    """An observer that takes the healthy partners' times and the bad one's results."""

    observer: DeliveryObserver
    healthy: frozenset[PartnerId]
    seconds: list[float] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    breaker: str = "closed"

    def attempted(self, message: Message, attempt: Attempt) -> None:
        """Told after it was stored."""
        if message.partner_id in self.healthy:
            self.seconds.append(time.time() - message.event_at.timestamp())
        else:
            self.results[attempt.error or f"{(attempt.status or 0) // 100}xx"] += 1
            self.breaker = attempt.breaker or ""
        self.observer.attempted(message, attempt)

    def message_failed(self, message: Message, reason: str) -> None:
        """Passed on."""
        self.observer.message_failed(message, reason)

    def endpoint_disabled(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        """Passed on."""
        self.observer.endpoint_disabled(partner_id, endpoint_id)

    def stumbled(self, error: str) -> None:
        """Passed on."""
        self.observer.stumbled(error)


@dataclass(frozen=True, slots=True)
class Side:
    """A service that runs, and who watches it."""

    service: backlog.Backlog
    watching: Watching
    bad: PartnerId

    @classmethod
    def open(cls, folder: Path, ports: list[int], ninth: int) -> Side:
        """With a healthy partner at each port, and the one that it is about."""
        with redirect_stderr(io.StringIO()):  # where its log goes
            service = backlog.Backlog.open(folder)
        healthy = frozenset(service.enrol(port).id for port in ports)
        bad = service.enrol(ninth).id
        engine = service.runtime.worker.engine
        watching = Watching(engine._observer, healthy)  # noqa: SLF001 - watched, not changed
        engine._observer = watching  # noqa: SLF001
        service.runtime.worker.start()
        return cls(service, watching, bad)

    def told(self, reports: int) -> bool:
        """Whether each healthy partner has got that many."""
        return len(self.watching.seconds) >= reports * HEALTHY

    def p99(self) -> float:
        """Milliseconds, of what was reported once it was warm."""
        ordered = sorted(self.watching.seconds[WARM * HEALTHY :])
        return 1000 * ordered[math.ceil(0.99 * len(ordered)) - 1]

    def states(self) -> str:
        """What became of the bad partner's messages."""
        store = self.service.runtime.store
        counts = {
            state: len(store.messages(partner_id=self.bad, states=(state,), limit=10_000)[0])
            for state in MessageState
        }
        return ", ".join(f"{count} {state}" for state, count in counts.items() if count)

    def close(self) -> None:
        """Stop it."""
        self.service.runtime.close()


@dataclass(frozen=True, slots=True)
class Found:
    """What one kind did: the p99s in milliseconds."""

    name: str
    without: float
    beside: float
    outcome: str

    @property
    def ratio(self) -> float:
        """How much longer it takes beside the bad one."""
        return self.beside / self.without


@contextmanager
def misbehaving(name: str, certificate: Path, folder: Path) -> Iterator[int]:
    """The port of a partner of that kind, in its own process."""
    command = [sys.executable, "-m", "tests.partners.bad", name]
    command += ["--certificate", str(certificate), "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        line = process.stdout.readline() if process.stdout else b""
        yield int(json.loads(line)["port"])
    finally:
        process.kill()
        process.wait(10)


def measure(
    name: str, folder: Path, ports: list[int], bad_port: int, options: argparse.Namespace
) -> Found:
    """Both at once, with it and without."""
    alone = Side.open(folder / "alone", ports[:HEALTHY], ports[HEALTHY])
    mixed = Side.open(folder / "mixed", ports[:HEALTHY], bad_port)
    try:
        _report(alone, mixed, WARM + options.reports)
        results = ", ".join(f"{n} {r}" for r, n in mixed.watching.results.most_common())
        outcome = f"{results}; breaker {mixed.watching.breaker}; {mixed.states()}"
    finally:
        for side in (alone, mixed):
            side.close()
    return Found(name, alone.p99(), mixed.p99(), outcome)


def _report(alone: Side, mixed: Side, reports: int) -> None:
    """So many reports to each, until all healthy partners have them."""
    began = time.monotonic()
    for place in range(reports):
        time.sleep(max(0.0, began + place * PACE - time.monotonic()))
        # Whoever is first has the machine to itself: each is, every other time.
        for side in (alone, mixed) if place % 2 else (mixed, alone):
            side.service.submit(1)
    give_up_at = time.monotonic() + 30
    while not (alone.told(reports) and mixed.told(reports)):
        if time.monotonic() > give_up_at:
            raise TimeoutError("the healthy partners were not told")
        time.sleep(0.01)


def main() -> int:
    """Measure every kind and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=200, help="to each (%(default)s)")
    parser.add_argument("--only", action="append", choices=list(BAD), help="a kind; repeatable")
    options = parser.parse_args()
    found = []
    print(f"{'':28}{'p99 ms':>8}{'beside':>8}{'ratio':>7}  what became of the bad one")
    with tempfile.TemporaryDirectory(prefix="bench-bad-") as text:
        folder = Path(text)
        certificate = backlog.certificate(folder)
        others = folder / "others"
        others.mkdir()
        strange = certificates(Authority(others))
        with receiving(certificate, HEALTHY + 1) as ports:
            for name in options.only or BAD:
                place = folder / name.replace(" ", "-").replace("/", "")
                with misbehaving(name, certificate, strange) as port:
                    row = measure(name, place, ports, port, options)
                found.append(row)
                print(
                    f"{name:28}{row.without:8.1f}{row.beside:8.1f}{row.ratio:7.2f}  {row.outcome}",
                    flush=True,
                )
    worst = max(found, key=lambda row: row.ratio)
    middle = statistics.median(row.ratio for row in found)
    print(f"median of the kinds {middle:.2f}, worst {worst.ratio:.2f} ({worst.name}), aim {LIMIT}")
    figure = "p99 of healthy partners beside the worst bad one, of that without"
    value = round(worst.beside, 1)
    ratio = round(worst.ratio, 3)
    print(json.dumps({"figure": figure, "value": value, "limit": LIMIT, "ratio": ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
