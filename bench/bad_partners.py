"""What each kind of bad partner does to how soon the others are told.

Two services as in production, each a process of its own with its relay and sender on their threads.
Both have eight healthy partners and a ninth, which is as healthy in the one and bad in the other:
it misbehaves over TLS in a third process (tests/partners/bad.py); the healthy ones answer from a
fourth. Reports come at a steady pace, to one and the other in turns and never at once, so that
whatever else the machine does falls on both alike. The time-out is three seconds instead of
fifteen, so that time-outs, the opened breaker and its trials fall into the run.

Compared is the time from a report to the stored receipt: its 99th percentile, over the eight, in
each of five stretches of the run, and of these the median, so that one hiccup of the machine counts
for nothing. A kind beyond the limit is measured once more, and its stretches are put together. The
first line compares two healthy sides: how far it is from 1 is what this machine adds by itself.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

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
PACE = 0.05  # seconds between two reports to each side
WARM = 20  # reports before anything is compared
STRETCHES = 5
TIMEOUT = 3.0  # seconds that a post may take
NOBODY = "nobody (two healthy sides)"
END = "end\n"


@dataclass(slots=True)
class Watching:
    """An observer that takes the healthy partners' times and the bad one's results."""

    observer: DeliveryObserver
    healthy: frozenset[PartnerId]
    took: dict[datetime, list[float]] = field(default_factory=dict)  # by report, seconds
    results: Counter[str] = field(default_factory=Counter)
    breaker: str = "closed"

    def attempted(self, message: Message, attempt: Attempt) -> None:
        """Told after it was stored."""
        if message.partner_id in self.healthy:
            took = time.time() - message.event_at.timestamp()
            self.took.setdefault(message.event_at, []).append(took)
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

    def told(self, reports: int) -> bool:
        """Whether each healthy partner has got that many."""
        return sum(map(len, self.took.values())) >= reports * HEALTHY


# ---- a side: one service in a process of its own ----


def be_a_side(folder: Path, ports: list[int]) -> None:
    """Take one report for each line that is read; at the end, say what became of them."""
    random.seed(0)  # both sides draw the same processor
    with redirect_stderr(io.StringIO()):  # where its log goes
        service = backlog.Backlog.open(folder)
    partners = [service.enrol(port) for port in ports]
    engine = service.runtime.worker.engine
    healthy = frozenset(partner.id for partner in partners[:HEALTHY])
    watching = Watching(engine._observer, healthy)  # noqa: SLF001 - watched, not changed
    engine._observer = watching  # noqa: SLF001
    sender: Any = engine._sender  # noqa: SLF001 - see the first lines
    sender._settings = replace(sender._settings, total_timeout=TIMEOUT)  # noqa: SLF001
    service.runtime.start()
    print(flush=True)
    reports = 0
    for line in iter(sys.stdin.readline, END):
        if not line:
            return
        service.submit(1)
        reports += 1
    give_up_at = time.monotonic() + 30
    while not watching.told(reports) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    print(json.dumps(_said(service, watching, partners[-1].id)), flush=True)
    service.runtime.close()


def _said(service: backlog.Backlog, watching: Watching, ninth: PartnerId) -> dict[str, object]:
    store = service.runtime.store
    states = {
        str(state): len(store.messages(partner_id=ninth, states=(state,), limit=10_000)[0])
        for state in MessageState
    }
    results = ", ".join(f"{n} {r}" for r, n in watching.results.most_common())
    ended = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    return {
        "took": [watching.took[at] for at in sorted(watching.took)],
        "outcome": f"{results}; breaker {watching.breaker}; {ended}",
    }


@dataclass(frozen=True, slots=True)
class Side:
    """Such a process, from outside."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path, ports: list[int]) -> Side:
        """Not ready yet."""
        command = [sys.executable, str(Path(__file__)), "--side", str(folder)]
        command += ["--ports", *map(str, ports)]
        pipe = subprocess.PIPE
        return cls(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT))

    def wait(self) -> None:
        """Until it takes reports."""
        if not self._out.readline():
            raise RuntimeError("a service did not start")

    def report(self, line: str = "\n") -> None:
        """One more report."""
        self._in.write(line)
        self._in.flush()

    def end(self) -> dict[str, Any]:
        """What it says, once all healthy partners have all of it."""
        self.report(END)
        said: dict[str, Any] = json.loads(self._out.readline())
        return said

    def close(self) -> None:
        """End it, however far it is."""
        self.process.kill()
        self.process.wait(10)
        self._in.close()
        self._out.close()

    @property
    def _in(self) -> IO[str]:
        return cast(IO[str], self.process.stdin)

    @property
    def _out(self) -> IO[str]:
        return cast(IO[str], self.process.stdout)


# ---- one kind ----


@dataclass(slots=True)
class Found:
    """What one kind did: p99s in milliseconds, one for each stretch of the run."""

    name: str
    without: list[float]
    beside: list[float]
    outcome: str

    @property
    def ratio(self) -> float:
        """How much longer it takes beside the bad one."""
        return statistics.median(self.beside) / statistics.median(self.without)

    def __str__(self) -> str:
        without, beside = (statistics.median(p) for p in (self.without, self.beside))
        return f"{self.name:28}{without:8.1f}{beside:8.1f}{self.ratio:7.2f}  {self.outcome}"


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


def measure(name: str, ports: list[int], bad_port: int, reports: int) -> Found:
    """One run of both sides."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-bad-")))
        alone = Side.start(folder / "alone", ports)
        stack.callback(alone.close)
        mixed = Side.start(folder / "mixed", [*ports[:HEALTHY], bad_port])
        stack.callback(mixed.close)
        for side in (alone, mixed):
            side.wait()
        _report(alone, mixed, WARM + reports)
        without, beside = alone.end(), mixed.end()
    return Found(name, _p99s(without["took"]), _p99s(beside["took"]), beside["outcome"])


def _report(alone: Side, mixed: Side, reports: int) -> None:
    """So many reports to each, in turns: neither is disturbed by the other's."""
    began = time.monotonic()
    for place in range(2 * reports):
        time.sleep(max(0.0, began + place * PACE / 2 - time.monotonic()))
        (mixed if place % 2 else alone).report()


def _p99s(took: list[list[float]]) -> list[float]:
    """Milliseconds, of each stretch of what was reported once it was warm."""
    warm = took[WARM:]
    size = math.ceil(len(warm) / STRETCHES)
    return [_p99(warm[place : place + size]) for place in range(0, len(warm), size)]


def _p99(took: list[list[float]]) -> float:
    ordered = sorted(seconds for each in took for seconds in each)
    return 1000 * ordered[math.ceil(0.99 * len(ordered)) - 1]


def rows(options: argparse.Namespace) -> Iterator[Found]:
    """Every kind, the two healthy sides first."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-bad-")))
        certificate = backlog.certificate(folder)
        others = folder / "others"
        others.mkdir()
        strange = certificates(Authority(others))
        ports = stack.enter_context(receiving(certificate, HEALTHY + 1))
        yield measure(NOBODY, ports, ports[HEALTHY], options.reports)
        for name in options.only or BAD:
            found = _of_kind(name, certificate, strange, ports, options.reports)
            if found.ratio > LIMIT:
                again = _of_kind(name, certificate, strange, ports, options.reports)
                found.without += again.without
                found.beside += again.beside
            yield found


def _of_kind(name: str, certificate: Path, strange: Path, ports: list[int], reports: int) -> Found:
    with misbehaving(name, certificate, strange) as port:
        return measure(name, ports, port, reports)


def main() -> int:
    """Measure every kind and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=200, help="to each side (%(default)s)")
    parser.add_argument("--only", action="append", choices=list(BAD), help="a kind; repeatable")
    parser.add_argument("--side", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ports", type=int, nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side is not None:
        be_a_side(options.side, options.ports)
        return 0
    began = time.monotonic()
    print(f"{'':28}{'p99 ms':>8}{'beside':>8}{'ratio':>7}  what became of the bad one")
    found = []
    for row in rows(options):
        found.append(row)
        print(row, flush=True)
    nobody, *kinds = found
    worst = max(kinds, key=lambda row: row.ratio)
    middle = statistics.median(row.ratio for row in kinds)
    print(
        f"median of the kinds {middle:.2f}, worst {worst.ratio:.2f} ({worst.name}), aim {LIMIT};"
        f" {time.monotonic() - began:.0f} s"
    )
    last = {
        "figure": "p99 of healthy partners beside the worst bad one, of that without",
        "value": round(statistics.median(worst.beside), 1),
        "limit": LIMIT,
        "ratio": round(worst.ratio, 3),
        "ratio_of_two_healthy": round(nobody.ratio, 3),
    }
    print(json.dumps(last))
    return 0


if __name__ == "__main__":
    sys.exit(main())
