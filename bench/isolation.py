"""What one hanging partner costs the other 31.

The service as in production, in two folders and in turns: one posts to 31 healthy partners, the
other to the same 31 and to one that takes the request and never answers, with as many messages for
it as for each other. Compared is the rate at which the healthy ones get theirs, durably noted,
until each has all of its own. The engines live through all rounds, so that time-outs, the opened
breaker and its trials fall into them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from bench import backlog  # noqa: E402
from bench.receiver import receiving  # noqa: E402
from partners.model import Attempt, EndpointId, Message, PartnerId  # noqa: E402
from partners.ports import DeliveryObserver  # noqa: E402

HEALTHY = 31
LIMIT = 0.95


@dataclass(slots=True)
class Counting:
    """An observer that counts what healthy partners accepted; the rest it passes on."""

    observer: DeliveryObserver
    healthy: frozenset[PartnerId]
    accepted: int = 0
    timed_out: int = 0

    def attempted(self, message: Message, attempt: Attempt) -> None:
        """Told after it was stored."""
        self.accepted += message.partner_id in self.healthy and attempt.status == 204
        self.timed_out += attempt.error == "timeout"
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
    """A service and the count of what its healthy partners accepted."""

    service: backlog.Backlog
    count: Counting

    @classmethod
    def open(cls, folder: Path, ports: list[int]) -> Side:
        """With a partner at each port; one beyond the healthy ones hangs."""
        service = backlog.Backlog.open(folder)
        partners = [service.enrol(port) for port in ports]
        engine = service.runtime.worker.engine
        healthy = frozenset(partner.id for partner in partners[:HEALTHY])
        count = Counting(engine._observer, healthy)  # noqa: SLF001 - watched, not changed
        engine._observer = count  # noqa: SLF001
        return cls(service, count)

    def rate(self, reports: int) -> float:
        """Messages per second to healthy partners, until each of them has its own."""
        self.service.report(reports)
        engine = self.service.runtime.worker.engine
        enough = self.count.accepted + reports * HEALTHY
        began = time.perf_counter()
        engine.wake()
        while self.count.accepted < enough:
            engine.step(1.0)
        return reports * HEALTHY / (time.perf_counter() - began)


def measure(folder: Path, options: argparse.Namespace) -> tuple[list[float], list[float], int]:
    """The rates without the hanging partner and with it, and how often it was waited for."""
    without: list[float] = []
    beside: list[float] = []
    certificate = backlog.certificate(folder)
    with receiving(certificate, HEALTHY + 1, hanging=1) as ports:
        alone = Side.open(folder / "alone", ports[:HEALTHY])
        mixed = Side.open(folder / "mixed", ports)
        for side in (alone, mixed):
            side.rate(20)
        for turn in range(options.rounds):
            # Whoever goes second finds a warmer or a busier machine: each does so every other time.
            for side in (alone, mixed) if turn % 2 else (mixed, alone):
                (without if side is alone else beside).append(side.rate(options.reports))
        timed_out = mixed.count.timed_out
        for side in (alone, mixed):
            side.service.close()
    return without, beside, timed_out


def main() -> int:
    """Run the rounds and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="%(default)s")
    parser.add_argument("--reports", type=int, default=60, help="in each round (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-isolation-") as name:
        without, beside, timed_out = measure(Path(name), options)
    pairs = [b / w for w, b in zip(without, beside, strict=True)]
    ratio = statistics.median(pairs)
    print(f"{options.rounds} rounds of {options.reports} reports, medians; {timed_out} time-outs")
    print(f"healthy messages per second, nobody hangs {statistics.median(without):9.0f}")
    print(f"the same beside one that hangs            {statistics.median(beside):9.0f}")
    print(f"ratio {ratio:.3f} (aim {LIMIT}); rounds {', '.join(f'{p:.2f}' for p in pairs)}")
    figure = "healthy throughput beside one hanging partner, of that without"
    value = round(statistics.median(beside))
    print(json.dumps({"figure": figure, "value": value, "limit": LIMIT, "ratio": round(ratio, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
