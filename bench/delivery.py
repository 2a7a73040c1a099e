"""How many messages a second reach 32 partners, signed, sealed and durably kept account of.

Everything is real and runs as in production: claims and outcomes in SQLite with synchronous=FULL,
payloads built from sealed cases, Ed25519 signatures, nested JWS in JWE to P-256 keys, one libcurl
thread, TLS verified, HTTP/1.1 connections kept. The partners are one process of ours
(bench/receiver.py: one epoll, Python's ssl), so that they take as little of the two cores as can
be. In the same run and in turns: the bare sender posting ready requests of the same size, each
part that cannot be done without, measured alone (sign, seal, post, batched commits of the same
rows), whose times add up to the rate that they allow; and then a Celery task with `requests` on
Debian's redis-server.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from joserfc import jwk  # noqa: E402

from app.adapters.rows import message_of  # noqa: E402
from app.adapters.sqlite import delivery as sql  # noqa: E402
from app.adapters.sqlite.connections import open_writer  # noqa: E402
from app.adapters.sqlite.statements import MESSAGE_COLUMNS  # noqa: E402
from app.bootstrap import DATABASE  # noqa: E402
from bench import backlog  # noqa: E402
from bench.photos import photo  # noqa: E402
from bench.receiver import receiving  # noqa: E402
from partners.delivery import DeliverySettings  # noqa: E402
from partners.egress import EgressGuard  # noqa: E402
from partners.gate import GateSettings  # noqa: E402
from partners.model import (  # noqa: E402
    Attempt,
    Delivered,
    DeliveryResult,
    Message,
    MessageState,
    Partner,
)
from partners.outbox import moved  # noqa: E402
from partners.ports import Post  # noqa: E402
from partners.sealing import Addressed, Signer, seal  # noqa: E402
from partners.sender import CurlSender  # noqa: E402
from partners.signing import PrivateKey, sign  # noqa: E402

T = TypeVar("T")

PARTNERS = 32
LIMIT = 0.70  # of the rate that the unavoidable parts allow
LIMIT_CELERY = 20.0  # times
PARTS = ("sign", "seal", "post", "commit")


def _there(value: T | None) -> T:
    """The value, which is there."""
    if value is None:
        raise RuntimeError("a sample has nothing to tell")
    return value


def timed(act: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


class Samples:
    """Ready values of the same kind and size as the engine's own, for the parts alone."""

    def __init__(self, service: backlog.Backlog, partners: list[Partner]) -> None:
        store = service.runtime.store
        page, _ = store.messages(limit=PARTNERS)
        self.messages = page
        self.partners = {partner.id: partner for partner in partners}
        self.key = PrivateKey.generate()
        self.signer = Signer(PrivateKey.generate())
        build = service.runtime.services.build_payload.together()
        now = datetime.now(UTC)
        self.inner = []
        for message in page:
            made = build.build(message, self.partners[message.partner_id], now)
            self.inner.append(_there(_there(made).inner))
        composer = service.runtime.worker.engine._composer  # noqa: SLF001 - the very same bytes
        self.posts: list[Post] = []
        for message in page:
            partner = self.partners[message.partner_id]
            endpoint = partner.endpoints[0]
            post = composer.compose(message, partner, endpoint, endpoint.url or "", now)
            self.posts.append(_there(post))

    def sign(self, count: int) -> None:
        """The webhook signatures of that many messages."""
        now = datetime.now(UTC)
        for n in range(count):
            sign([self.key], self.posts[n % PARTNERS].key[:36], now, self.posts[n % PARTNERS].body)

    def seal(self, count: int) -> None:
        """That many sealed parts."""
        for n in range(count):
            message = self.messages[n % PARTNERS]
            address = Addressed("http://127.0.0.1", message.partner_id, message.id, 1_700_000_000)
            jwks = self.partners[message.partner_id].jwks
            seal(self.inner[n % PARTNERS], address, self.signer, jwks or "")

    def post(self, sender: CurlSender, count: int) -> None:
        """Post ready requests, as many to each partner at once as the gate lets through."""
        at_once = PARTNERS * GateSettings().at_once
        left, under_way = count, 0
        while left or under_way:
            while left and under_way < at_once:
                sender.submit(self.posts[left % PARTNERS])
                left, under_way = left - 1, under_way + 1
            answers = sender.collect(1.0)
            if any(answer.status != 204 for answer in answers):
                raise RuntimeError("a bare post failed")
            under_way -= len(answers)


class RawCommits:
    """The SQL of claims and outcomes alone, in a copy of the database, with ready rows."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name("raw.db")
        with sqlite3.connect(database) as source, sqlite3.connect(self.path) as copy:
            source.backup(copy)
        self.connection = open_writer(self.path, 10.0)

    def run(self, batches: list[list[sql.Outcome]]) -> None:
        """One commit to take up each batch and one to finish it."""
        now = int(time.time() * 1_000_000)
        until = now + 60_000_000
        for batch in batches:
            self.connection.execute("BEGIN IMMEDIATE")
            sql.claim(self.connection, now, len(batch), until)
            self.connection.execute("COMMIT")
            self.connection.execute("BEGIN IMMEDIATE")
            sql.finish(self.connection, batch)
            self.connection.execute("COMMIT")

    def batches(self, count: int) -> list[list[sql.Outcome]]:
        """The outcomes of that many messages that are due now, in the engine's batches."""
        query = (
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE state = 'pending'"  # noqa: S608
            " ORDER BY due_at, seq LIMIT ?"
        )
        rows = self.connection.execute(query, (count,)).fetchall()
        outcomes = [_outcome(row) for row in rows]
        if len(outcomes) != count:
            raise RuntimeError("not as many messages are due")
        size = DeliverySettings().batch
        return [outcomes[at : at + size] for at in range(0, count, size)]


def _outcome(row: Any) -> sql.Outcome:
    message: Message = message_of(row)
    message = replace(message, claim=message.claim + 1)
    now = datetime.now(UTC)
    attempt = Attempt(message.id, message.claim, now, 5, 204, None, 60, "closed")
    delivered = Delivered(_there(message.notice_id), now, now + timedelta(hours=48))
    done = moved(message, MessageState.DELIVERED)
    return sql.outcome(DeliveryResult(done, attempt, delivered))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds for each message, by kind and round."""
    certificate = backlog.certificate(folder)
    seconds: dict[str, list[float]] = {kind: [] for kind in ("full", *PARTS)}
    count = options.reports * PARTNERS
    service = backlog.Backlog.open(folder / "data")
    with receiving(certificate, PARTNERS) as ports, backlog.as_served(service.runtime.processor):
        partners = [service.enrol(port) for port in ports]
        service.report(20)
        samples = Samples(service, partners)
        sender = CurlSender(EgressGuard(allow_loopback=True))
        service.deliver(20 * PARTNERS)
        samples.post(sender, 2 * PARTNERS * GateSettings().at_once)
        for _ in range(options.rounds):
            service.report(options.reports)
            raw = RawCommits(folder / "data" / DATABASE)
            batches = raw.batches(count)
            parts: dict[str, Callable[[], object]] = {
                "full": lambda: service.deliver(count),
                "sign": lambda: samples.sign(count),
                "seal": lambda: samples.seal(count),
                "post": lambda: samples.post(sender, count),
                "commit": lambda raw=raw, batches=batches: raw.run(batches),  # type: ignore[misc]
            }
            for kind, act in parts.items():
                seconds[kind].append(timed(act) / count)
            raw.connection.close()
            raw.path.unlink()
        sender.close()
        service.close()
    return seconds


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The address of a Redis of this run's own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def celery_jobs(ports: list[int], count: int) -> list[dict[str, Any]]:
    """Jobs with what the task needs, of the same size as our payloads."""
    our_key = jwk.OKPKey.generate_key("Ed25519").as_dict(private=True)
    their_key = jwk.ECKey.generate_key("P-256").as_dict(private=False)
    entries = [
        {"type": e.type, "value": str(e.value), "quality": e.quality, "variant": e.variant}
        for e in photo().entries
    ]
    payload = {"item_id": "itm_" + "0" * 32, "hashes": entries, "age_basis": "declared"}
    return [
        {
            "id": f"msg_{n:032d}",
            "url": f"https://localhost:{ports[n % len(ports)]}/hook",
            "payload": payload,
            "our_key": our_key,
            "their_key": their_key,
            "secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        }
        for n in range(count)
    ]


def celery_rates(folder: Path, count: int) -> dict[str, float]:
    """Deliveries per second of the task, and of the one that keeps its connections."""
    with redis(folder) as broker:
        os.environ["BENCH_BROKER"] = broker
        return {task: celery_rate(folder, task, count) for task in ("post", "post_kept")}


def celery_rate(folder: Path, task: str, count: int) -> float:
    """Deliveries per second between the first receipt and the last.

    All tasks are queued before the worker starts, so that queueing costs it nothing.
    """
    from bench import celery_task

    log = folder / f"{task}.log"
    certificate = backlog.certificate(folder)
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": os.environ["SSL_CERT_FILE"]}
    command = [sys.executable, "-m", "celery", "-A", "bench.celery_task", "worker"]
    command += ["--concurrency", "2", "--loglevel", "ERROR"]
    with receiving(certificate, PARTNERS, log=log) as ports:
        for job in celery_jobs(ports, count):
            getattr(celery_task, task).delay(job)
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            receipts = _receipts(log, count)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(30)
    return (len(receipts) - 1) / (receipts[-1] - receipts[0])


def _receipts(log: Path, count: int) -> list[float]:
    """When each message came, in seconds, once all have."""
    give_up_at = time.monotonic() + 300
    while True:
        lines = log.read_text().splitlines()
        if len(lines) >= count:
            return [int(line.split()[2]) / 1e9 for line in lines]
        if time.monotonic() > give_up_at:
            raise TimeoutError("the Celery worker did not post everything")
        time.sleep(0.2)


def main() -> int:
    """Run the rounds and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="%(default)s")
    parser.add_argument("--reports", type=int, default=60, help="in each round (%(default)s)")
    parser.add_argument("--celery", type=int, default=600, help="tasks (%(default)s); 0 for none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-delivery-") as name:
        seconds = measure(Path(name), options)
        rates = celery_rates(Path(name), options.celery) if options.celery else {}
    return show(seconds, rates, options)


def show(
    seconds: dict[str, list[float]], celery: dict[str, float], options: argparse.Namespace
) -> int:
    """Print medians over the rounds."""
    full = 1 / statistics.median(seconds["full"])
    print(f"{PARTNERS} partners, {options.rounds} rounds of {options.reports} reports, medians")
    print(f"{'':34}{'µs each':>10}{'per second':>12}")
    labels = {
        "full": "delivered, all of it",
        "sign": "alone: sign",
        "seal": "alone: seal",
        "post": "alone: post (the bare sender)",
        "commit": "alone: commits of 200, claim+finish",
    }
    for kind, label in labels.items():
        each = statistics.median(seconds[kind])
        print(f"{label:34}{each * 1e6:10.0f}{1 / each:12.0f}")
    # The parts of one round ran after one another, so their ratio is the steadier figure.
    sums = [sum(seconds[part][n] for part in PARTS) for n in range(options.rounds)]
    each = statistics.median(sums)
    print(f"{'what the four parts allow':34}{each * 1e6:10.0f}{1 / each:12.0f}")
    ratios = [allowed / took for allowed, took in zip(sums, seconds["full"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"of what the parts allow: {ratio:.2f} (aim {LIMIT}); rounds {_rounded(ratios)}")
    for task, rate in celery.items():
        times = f"{full / rate:.1f} times slower (aim {LIMIT_CELERY:.0f})"
        print(f"Celery, requests, {task:16}{1e6 / rate:10.0f}{rate:12.0f}   {times}")
    figure: dict[str, object] = {
        "figure": "deliveries per second, of what the unavoidable parts allow",
        "value": round(full),
        "limit": LIMIT,
        "ratio": round(ratio, 3),
    }
    if celery:
        figure["times_celery"] = round(full / celery["post"], 1)
    print(json.dumps(figure))
    return 0


def _rounded(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
