"""Many messages, partners that fail at random, and a worker that is killed again and again.

Reports are stored; then the service's whole worker (relay, sender, sweeper) runs in a process that
is killed (-9) at random moments and started again. 5% of the posts fail: 500, 503 or a connection
cut instead of an answer. In the end every message must be delivered, and its receipt in the
partners' log, or pending with a time in the due index; nothing may have come that is no message.

The worker's clock runs `--pace` times as fast as the real one, so that leases and retries, whose
schedule stays what production has, come round within the run.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from app.bootstrap import DATABASE  # noqa: E402
from bench import backlog  # noqa: E402
from bench.receiver import receiving  # noqa: E402

PARTNERS = 32
FAILING = 0.05
ACCEPTED = "204"
STUCK = 900.0  # seconds
QUIET = 400.0  # seconds of the fast clock: by then a second retry has come


@dataclass(frozen=True, slots=True)
class FastClock:
    """Time that runs `pace` times as fast since `began`."""

    began: datetime
    pace: float

    def now(self) -> datetime:
        """The present of this clock, aware, UTC."""
        return self.began + (datetime.now(UTC) - self.began) * self.pace


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands in the store and in the partners' log when it is over."""

    expected: int
    kills: int
    seconds: float
    delivered: frozenset[str]
    due: frozenset[str]
    other: frozenset[str]
    posts: Counter[str]
    receipts: Counter[str]  # how often each webhook-id was accepted

    @property
    def lost(self) -> int:
        """Messages that are neither delivered nor due, or delivered without a receipt."""
        missing = self.expected - len(self.delivered) - len(self.due)
        return missing + len(self.delivered - self.receipts.keys())

    @property
    def unknown(self) -> int:
        """Webhook-ids that came and are no message of ours: a repeat under another name."""
        return len(self.posts.keys() - self.delivered - self.due - self.other)

    @property
    def repeats(self) -> int:
        """Receipts beyond the first of each message."""
        return self.receipts.total() - len(self.receipts)


class Worker:
    """The worker's process."""

    def __init__(self, folder: Path, clock: FastClock) -> None:
        command = [sys.executable, str(ROOT / "bench/soak.py"), "--work-in", str(folder)]
        command += ["--began", clock.began.isoformat(), "--pace", str(clock.pace)]
        with (folder.parent / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        with cast(IO[bytes], self._process.stdout) as pipe:
            if not pipe.readline():
                raise RuntimeError("the worker did not start")

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()
        self._process.wait(30)

    def stop(self) -> None:
        """As an operator would: it gives back what it holds."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def work(folder: Path, clock: FastClock) -> None:
    """The worker's process: everything but the web server, until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    runtime = backlog.Backlog.open(folder, clock).runtime
    runtime.start()
    print("working", flush=True)
    stopping.wait()
    runtime.close()


def soak(folder: Path, messages: int, kills: int, pace: float) -> Outcome:
    """Run it all in that folder. Raises TimeoutError if deliveries stop coming."""
    certificate = backlog.certificate(folder)
    log, data = folder / "receipts.log", folder / "data"
    reports = messages // PARTNERS
    with receiving(certificate, PARTNERS, failing=FAILING, log=log) as ports:
        service = backlog.Backlog.open(data)
        for port in ports:
            service.enrol(port)
        service.submit(reports)
        service.close()
        began = time.monotonic()
        clock = FastClock(datetime.now(UTC), pace)
        _kill_again_and_again(data, clock, log, reports * PARTNERS, kills)
        worker = Worker(data, clock)
        _until_quiet(log, reports * PARTNERS, QUIET / pace)
        worker.stop()
        seconds = time.monotonic() - began
    return _outcome(data / DATABASE, log, reports * PARTNERS, kills, seconds)


def _kill_again_and_again(
    data: Path, clock: FastClock, log: Path, messages: int, kills: int
) -> None:
    """Each time somewhere in the next share of the posts, the first one early in the relay."""
    share = messages // (kills + 1)
    for kill in range(kills):
        worker = Worker(data, clock)
        enough = kill * share + random.randint(share // 4, share)  # noqa: S311
        _until(lambda enough=enough: _lines(log) >= enough)  # type: ignore[misc]
        worker.kill()


def _until_quiet(log: Path, messages: int, patience: float) -> None:
    """Until every message was accepted, or for `patience` seconds none more was."""
    give_up_at = time.monotonic() + patience
    seen, accepted = 0, 0
    while accepted < messages and time.monotonic() < give_up_at:
        time.sleep(0.5)
        if (lines := _lines(log)) == seen:
            continue
        seen, before = lines, accepted
        accepted = len(_receipts(log)[1])
        if accepted > before:
            give_up_at = time.monotonic() + patience


def _until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + STUCK
    while not holds():
        if time.monotonic() > give_up_at:
            raise TimeoutError("deliveries stopped coming")
        time.sleep(0.05)


def _lines(log: Path) -> int:
    """How many posts came. Lines are nearly of one length, which is near enough to choose by."""
    return log.stat().st_size // 62


def _receipts(log: Path) -> tuple[Counter[str], Counter[str]]:
    """How often each webhook-id came, and how often it was accepted."""
    posts: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        name, status, _ = line.split()
        posts[name] += 1
        accepted[name] += status == ACCEPTED
    return posts, +accepted


def _outcome(database: Path, log: Path, expected: int, kills: int, seconds: float) -> Outcome:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT id, state, due_at IS NOT NULL FROM messages").fetchall()
    posts, receipts = _receipts(log)
    delivered = frozenset(name for name, state, _ in rows if state == "delivered")
    due = frozenset(name for name, state, is_due in rows if state == "pending" and is_due)
    other = frozenset(name for name, _, _ in rows) - delivered - due
    return Outcome(expected, kills, seconds, delivered, due, other, posts, receipts)


def show(found: Outcome) -> int:
    """Print what was found; the last line is JSON."""
    failed = found.posts.total() - found.receipts.total()
    print(f"{found.expected} messages, {found.kills} kills, {found.seconds:.0f} s")
    print(f"posts {found.posts.total()}, of which failed {failed}")
    print(f"delivered {len(found.delivered)}, in the due index {len(found.due)}")
    print(f"neither {len(found.other)}, lost {found.lost}, unknown webhook-ids {found.unknown}")
    print(f"accepted more than once, under the same webhook-id: {found.repeats}")
    wrong = found.lost + found.unknown + len(found.other)
    safe = 1 - wrong / found.expected
    figure = "messages delivered or due after ten kills, of all"
    print(
        json.dumps(
            {
                "figure": figure,
                "value": len(found.delivered) + len(found.due),
                "limit": 1.0,
                "ratio": safe,
                "repeats": found.repeats,
            }
        )
    )
    return 0 if wrong == 0 else 1


def main() -> int:
    """Soak, or be the worker of a soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="%(default)s")
    parser.add_argument("--kills", type=int, default=10, help="%(default)s")
    parser.add_argument("--pace", type=float, default=20.0, help="of the clock (%(default)s)")
    parser.add_argument("--work-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=datetime.fromisoformat, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work_in:
        work(options.work_in, FastClock(options.began, options.pace))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-soak-") as name:
        return show(soak(Path(name), options.messages, options.kills, options.pace))


if __name__ == "__main__":
    sys.exit(main())
