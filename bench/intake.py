"""How fast reports are taken in, durably, with everything on.

Everything: sealing, the blind index, limits, the audit chain, the outbox, security headers and
metrics, over HTTP at 16 connections. Beside it, in the same run and in turns: a hello world of the
same framework on the same server, and raw grouped commits of the same rows. With --signed also a
signed age token, beside the bare verification of its two signatures.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import load  # noqa: E402

CONNECTIONS = 16
LIMIT_RATIO = 0.40  # of hello world
LIMIT_TAIL = 3.0  # times the p99 of hello world

HELLO = """
import sys
from flask import Flask
from waitress.server import create_server
app = Flask("hello")
app.add_url_rule("/", view_func=lambda: "Hello, World!")
server = create_server(app, host="127.0.0.1", port=0, threads=16, connection_limit=4000,
                       asyncore_use_poll=True, ident=None)
print('{"url": "http://127.0.0.1:%s"}' % server.effective_port, flush=True)
server.run()
"""

VARIANTS = (
    "original",
    "rotate90",
    "rotate180",
    "rotate270",
    "flipx",
    "flipy",
    "flipplus1",
    "flipminus1",
)


def start(folder: Path, *command: str, **env: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and wait for the JSON line that names its address."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr.log").open("ab"),
        cwd=ROOT,
        env={**os.environ, **env},
    )
    url = json.loads(process.stdout.readline() if process.stdout else b"")["url"]
    return process, int(url.rsplit(":", 1)[1])


def service_env(folder: Path) -> dict[str, str]:
    """Production settings; only the rates are raised, so that the limits are counted, not hit."""
    often = "100000000 per hour"
    return {
        "REPORT_REMOVE_DATA_DIR": str(folder),
        "REPORT_REMOVE_PORT": "0",
        "REPORT_REMOVE_METRICS_PORT": "0",
        "REPORT_REMOVE_LIMIT_REPORTS": often,
        "REPORT_REMOVE_LIMIT_DECLARED": often,
        "REPORT_REMOVE_LIMIT_OVERALL": often,
    }


def hash_value() -> str:
    """A random hash with exactly half its bits set, as real ones have."""
    bits = 0
    for bit in secrets.SystemRandom().sample(range(256), 128):
        bits |= 1 << bit
    return f"{bits:064x}"


def report(hashes: int, pool: list[str]) -> bytes:
    """A report of one photo with that many hashes, as a device sends it."""
    entries = [
        {
            "type": "pdq",
            "value": pool[secrets.randbelow(len(pool))],
            "quality": 100,
            "variant": VARIANTS[n] if n < len(VARIANTS) else f"crop-{n}",
        }
        for n in range(hashes)
    ]
    return json.dumps(
        {
            "case_key": secrets.token_hex(32),
            "age": {"profile": "declared-v1", "band": "13_15"},
            "items": [{"kind": "photo", "hashes": entries}],
        },
        separators=(",", ":"),
    ).encode()


def reports(hashes: int, count: int) -> Iterator[bytes]:
    """Ready requests, each its own case."""
    pool = [hash_value() for _ in range(500)]
    made = []
    for _ in range(count):
        headers = {"Idempotency-Key": secrets.token_urlsafe(24)}
        made.append(load.request("POST", "/v1/reports", report(hashes, pool), headers))
    return iter(made)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that a process has used, all threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(process: subprocess.Popen[bytes], *arguments: Any) -> load.Result:
    """A load, and the processor time that the server took for each request of it."""
    before = cpu_seconds(process)
    result = load.run(*arguments)
    result.cpu = (cpu_seconds(process) - before) / len(result.latencies)
    return result


def hellos() -> Iterator[bytes]:
    """The same small request for ever."""
    made = load.request("GET", "/")
    while True:
        yield made


def raw_commits(folder: Path, seconds: float) -> float:
    """Units per second of the same rows, straight into the store from 16 threads."""
    from datetime import timedelta

    from app.adapters.file_keys import FileKeyRing, create_root_key
    from app.adapters.sqlite.store import SqliteStore
    from app.adapters.system import RandomIds, SystemClock
    from app.domain.age import AgeBand, AgeBasis, AgeClaim, Presentation
    from app.domain.case import MediaKind
    from app.domain.report import Intake, ItemDraft
    from app.domain.retention import Retention
    from app.ports import Remember, Remembered
    from app.services.house import House
    from app.services.submit_report import SubmitReport
    from hashing.denylist import Denylist
    from hashing.values import HashEntry, HashType, Pdq

    create_root_key(folder / "raw.key")
    keys, store = FileKeyRing(folder / "raw.key"), SqliteStore(folder / "raw.db")
    day = timedelta(days=1)
    house = House(
        store,
        keys,
        SystemClock(),
        RandomIds(),
        Intake(Denylist(), 50, 128, take_locations=False),
        Retention(day, day, day),
    )
    submit = SubmitReport(house, None, {})  # type: ignore[arg-type]
    draft = ItemDraft(
        MediaKind.PHOTO,
        tuple(HashEntry(HashType.PDQ, Pdq.parse(hash_value()), 100, v) for v in VARIANTS),
    )
    presentation = Presentation("declared-v1", AgeBand.FROM_13_TO_15, b"", "POST", "")
    claim = AgeClaim(AgeBasis.DECLARED)
    # The units are made before the clock starts: only commits are measured.
    units: list[list[Any]] = []
    for _ in range(int(seconds * 6000)):
        changes = submit.changes(secrets.token_bytes(32), [draft], presentation, claim)
        kept = Remembered(secrets.token_bytes(32), b"f" * 32, b"{}", SystemClock().now())
        units.append([*changes, Remember(kept)])
    done = [0] * CONNECTIONS
    until = time.perf_counter() + seconds

    def commit(which: int) -> None:
        while time.perf_counter() < until and units:
            store.commit(*units.pop())
            done[which] += 1

    threads = [threading.Thread(target=commit, args=(n,)) for n in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(done) / (time.perf_counter() - began)
    store.close()
    return rate


def main() -> int:
    """Run the rounds and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--hashes", type=int, default=8, help="in each report (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-intake-") as name:
        figures = measure(Path(name), options)
    return show(figures, options)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, list[Any]]:
    """Hello world and reports in turns, then the raw commits."""
    hello, hello_port = start(folder, "-c", HELLO)
    service, service_port = start(
        folder, "-m", "app.cli", "serve", "--json", **service_env(folder / "data")
    )
    figures: dict[str, list[Any]] = {"hello": [], "reports": [], "raw": []}
    try:
        load.run(hello_port, hellos(), CONNECTIONS, 1.0)
        load.run(service_port, reports(options.hashes, 300), CONNECTIONS, 10.0)
        for _ in range(options.rounds):
            ready = reports(options.hashes, int(3000 * options.seconds))
            figures["hello"].append(
                timed(hello, hello_port, hellos(), CONNECTIONS, options.seconds)
            )
            figures["reports"].append(
                timed(service, service_port, ready, CONNECTIONS, options.seconds)
            )
    finally:
        for process in (hello, service):
            process.terminate()
            process.wait(20)
    figures["raw"] = [raw_commits(folder, options.seconds)]
    return figures


def show(figures: dict[str, list[Any]], options: argparse.Namespace) -> int:
    """Print medians over the rounds."""
    refused = sum(n for r in figures["reports"] for s, n in r.statuses.items() if s != 201)
    rates = {
        kind: statistics.median(r.rate for r in figures[kind]) for kind in ("hello", "reports")
    }
    tails = {
        kind: statistics.median(r.percentile(0.99) for r in figures[kind])
        for kind in ("hello", "reports")
    }
    middles = {
        kind: statistics.median(r.percentile(0.5) for r in figures[kind])
        for kind in ("hello", "reports")
    }
    # Each round's two halves ran one after the other, so their ratio is the steadier figure.
    ratio = statistics.median(
        r.rate / h.rate for r, h in zip(figures["reports"], figures["hello"], strict=True)
    )
    tail = statistics.median(
        r.percentile(0.99) / h.percentile(0.99)
        for r, h in zip(figures["reports"], figures["hello"], strict=True)
    )
    print(f"{CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s, medians;")
    print(f"a report of one photo with {options.hashes} hashes; refused: {refused}")
    cpu = {
        kind: statistics.median(r.cpu * 1000 for r in figures[kind])
        for kind in ("hello", "reports")
    }
    print(f"{'':24}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms each':>13}")
    for kind, label in (("hello", "hello world"), ("reports", "durable reports")):
        print(
            f"{label:24}{rates[kind]:12.0f}{middles[kind]:9.1f}{tails[kind]:9.1f}{cpu[kind]:13.3f}"
        )
    print(f"{'raw grouped commits':24}{figures['raw'][0]:12.0f}")
    print(
        f"of hello world {ratio:.2f} (aim {LIMIT_RATIO}), p99 {tail:.1f} times (aim {LIMIT_TAIL})"
    )
    print(
        json.dumps(
            {
                "figure": "durable reports per second, of hello world's",
                "value": round(rates["reports"]),
                "limit": LIMIT_RATIO,
                "ratio": round(ratio, 3),
                "p99_ratio": round(tail, 2),
            }
        )
    )
    return 0 if refused == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
