"""How soon after a report is accepted a partner has it, on an idle system.

The real service in a process of its own; a report over HTTP, then the wait until the partner's TLS
server has read the whole webhook. The time runs from the moment the reporting client has its 201
to that receipt (both on the machine's monotonic clock). In turns with it: a bare POST of the same
size to the same endpoint over a connection that is kept, from sending it to its receipt.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from bench import backlog, intake  # noqa: E402
from bench.photos import hash_value  # noqa: E402
from bench.receiver import receiving  # noqa: E402

LIMIT_P50 = 5.0  # milliseconds above the bare POST
LIMIT_P99 = 25.0
PAUSE = (0.02, 0.06)  # seconds before each, so that the system is idle
FIRST = 20  # of each, not counted: they open connections and load code
BODY = b"x" * 3_000  # as a sealed request of eight hashes has


class Receipts:
    """What the receiver has logged, one line at a time."""

    def __init__(self, log: Path) -> None:
        self._file = log.open()

    def next(self, within: float = 30.0) -> float:
        """When the next one came, in seconds."""
        give_up_at = time.monotonic() + within
        while not (line := self._file.readline()).endswith("\n"):
            if line:
                self._file.seek(self._file.tell() - len(line))
            if time.monotonic() > give_up_at:
                raise TimeoutError("nothing arrived")
            time.sleep(0.002)
        return int(line.split()[2]) / 1e9


def reporting(port: int, receipts: Receipts) -> Iterator[float]:
    """Milliseconds from each accepted report to its receipt."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    pool = [hash_value() for _ in range(200)]
    while True:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": os.urandom(18).hex(),
        }
        connection.request("POST", "/v1/reports", intake.report(8, pool), headers)
        answer = connection.getresponse()
        answer.read()
        accepted_at = time.monotonic()
        if answer.status != 201:
            raise RuntimeError(f"a report was answered {answer.status}")
        yield (receipts.next() - accepted_at) * 1000


def posting(port: int, receipts: Receipts) -> Iterator[float]:
    """Milliseconds from sending each bare POST to its receipt."""
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connection = http.client.HTTPSConnection("localhost", port, context=context)
    while True:
        began = time.monotonic()
        connection.request("POST", "/hook", BODY, {"webhook-id": "bare"})
        connection.getresponse().read()
        yield (receipts.next() - began) * 1000


def measure(folder: Path, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """The times of reports and of bare POSTs, in milliseconds."""
    certificate = backlog.certificate(folder)
    log = folder / "receipts.log"
    with receiving(certificate, 1, log=log) as ports:
        made = backlog.Backlog.open(folder / "data")
        made.enrol(ports[0])
        made.close()
        env = {**intake.service_env(folder / "data"), **backlog.settings_env(folder / "data")}
        service, port = intake.start(folder, "-m", "app.cli", "serve", "--json", **env)
        try:
            receipts = Receipts(log)
            kinds = reporting(port, receipts), posting(ports[0], receipts)
            times: tuple[list[float], list[float]] = [], []
            for place in range(-FIRST, options.reports):
                for kind, kept in zip(kinds, times, strict=True):
                    time.sleep(random.uniform(*PAUSE))  # noqa: S311 - no secret
                    took = next(kind)
                    if place >= 0:
                        kept.append(took)
                if place > 0 and place % 100 == 0:
                    print(f"{place} of {options.reports}", file=sys.stderr, flush=True)
        finally:
            service.terminate()
            service.wait(20)
    return times


def main() -> int:
    """Measure and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=1000, help="%(default)s")
    options = parser.parse_args()
    # Ended early, as by timeout(1): what was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seconds = (options.reports + FIRST) * sum(PAUSE)  # two pauses, of half that on average
    print(f"{options.reports} of each: {seconds:.0f} s of pauses alone", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-latency-") as name:
        reports, bare = measure(Path(name), options)
    rows = {"report to receipt": reports, "bare POST": bare}
    found = {label: (statistics.median(t), _p99(t)) for label, t in rows.items()}
    print(f"{options.reports} of each, in turns{'':16}{'p50 ms':>9}{'p99 ms':>9}{'max':>9}")
    for label, (p50, p99) in found.items():
        print(f"{label:38}{p50:9.2f}{p99:9.2f}{max(rows[label]):9.2f}")
    p50, p99 = (found["report to receipt"][n] - found["bare POST"][n] for n in (0, 1))
    print(f"above the bare POST: {p50:.2f} (aim {LIMIT_P50}), {p99:.2f} (aim {LIMIT_P99})")
    figure = {
        "figure": "milliseconds from accepted report to receipt, above a bare POST, p50",
        "value": round(p50, 2),
        "limit": LIMIT_P50,
        "ratio": round(p50 / LIMIT_P50, 3),
        "p99": round(p99, 2),
        "p99_limit": LIMIT_P99,
    }
    print(json.dumps(figure))
    return 0


def _p99(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(0.99 * len(times)))]


if __name__ == "__main__":
    sys.exit(main())
