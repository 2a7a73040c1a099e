"""How fast reports are taken in, durably, with everything on.

Everything: sealing, the blind index, limits, the audit chain, the outbox, security headers and
metrics, over HTTP at 16 connections, with a declared age and with a signed token. Beside it, in the
same run and in turns: a hello world of the same framework on the same server; the bare design (a
body through marshmallow, one row committed); raw grouped commits of the same rows; and the bare
verification of a token's two signatures. No partner is registered: see bench/delivery.py.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import load  # noqa: E402
from bench.photos import VARIANTS, hash_value, photo  # noqa: E402

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

# The design without any of what a report needs: a body through marshmallow, one row committed.
BARE = """
import pathlib, secrets, sys
from datetime import UTC, datetime
from flask import Flask, request
from marshmallow import Schema, fields
from waitress.server import create_server
from app.adapters.sqlite.store import SqliteStore
from app.ports import SpendToken
class Hash(Schema):
    value, quality = fields.String(), fields.Integer()
class Item(Schema):
    kind = fields.String()
    hashes = fields.Dict(fields.String(), fields.Dict(fields.String(), fields.Nested(Hash)))
class Age(Schema):
    profile, band = fields.String(), fields.String()
class Report(Schema):
    case_key, age = fields.String(required=True), fields.Nested(Age)
    items = fields.List(fields.Nested(Item))
store, report = SqliteStore(pathlib.Path(sys.argv[1])), Report()
def take():
    report.load(request.get_json())
    store.commit(SpendToken(secrets.token_bytes(32), datetime.now(UTC)))
    return {"received": True}, 201
app = Flask("bare")
app.add_url_rule("/v1/reports", view_func=take, methods=["POST"])
server = create_server(app, host="127.0.0.1", port=0, threads=16, connection_limit=4000,
                       asyncore_use_poll=True, ident=None)
print('{"url": "http://127.0.0.1:%s"}' % server.effective_port, flush=True)
server.run()
"""


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


def report(hashes: int, pool: list[str]) -> bytes:
    """A report of one photo with that many hashes, as a device sends it."""
    copies = {
        VARIANTS[n] if n < len(VARIANTS) else f"crop-{n}": {
            "quality": 100,
            "value": pool[secrets.randbelow(len(pool))],
        }
        for n in range(hashes)
    }
    return json.dumps(
        {
            "case_key": secrets.token_hex(32),
            "age": {"profile": "declared-v1", "band": "13_15"},
            "items": [{"kind": "photo", "hashes": {"pdq": copies}}],
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
    from app.domain.report import Intake
    from app.domain.retention import Retention
    from app.ports import Remember, Remembered
    from app.services.house import House
    from app.services.submit_report import SubmitReport
    from hashing.denylist import Denylist

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
    draft = photo()
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


def signed_reports(port: int, issuer: Any, hashes: int, count: int) -> Iterator[bytes]:
    """Ready requests, each with an age token of its own and a proof by a key of its own."""
    from app.client.age import Device
    from app.client.service import Service
    from infra.sandbox.issuer import TokenRequest

    asked = next(
        profile
        for profile in Service(f"http://127.0.0.1:{port}").challenge()["profiles"]
        if profile["profile"] == "jwt-age-v1"
    )
    audience, pool, made = asked["issuers"][0]["audience"], [hash_value() for _ in range(500)], []
    for _ in range(count):
        device, now = Device(), int(time.time())
        wish = TokenRequest(device.thumbprint(), asked["nonce"], audience, "age_under_18")
        token = issuer.token(wish, now)
        body = report(hashes, pool).replace(b"declared-v1", b"jwt-age-v1")
        headers = {
            "Idempotency-Key": secrets.token_urlsafe(24),
            "Authorization": f"DPoP {token}",
            "DPoP": device.proof(token, "POST", f"http://127.0.0.1:{port}/v1/reports", body, now),
        }
        made.append(load.request("POST", "/v1/reports", body, headers))
    return iter(made)


def bare_verifications(seconds: float) -> float:
    """Pairs of signatures (Ed25519 of a token, ECDSA P-256 of its proof) verified per second."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    signer, device = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    text, how = b"x" * 600, ec.ECDSA(hashes.SHA256())
    token, proof = signer.sign(text), device.sign(text, how)
    public, devices = signer.public_key(), device.public_key()
    done, began = 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        public.verify(token, text)
        devices.verify(proof, text, how)
        done += 1
    return done / (time.perf_counter() - began)


def main() -> int:
    """Run the rounds and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--hashes", type=int, default=8, help="in each report (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-intake-") as name:
        folder = Path(name)
        rounds = measure(folder, options)
        raw, verified = raw_commits(folder, options.seconds), bare_verifications(options.seconds)
    return show(rounds, raw, verified, options)


Rounds = dict[str, list[load.Result]]


def measure(folder: Path, options: argparse.Namespace) -> Rounds:
    """Each kind of load in turns, so that what disturbs the machine disturbs them alike."""
    from app.demo.processes import free_port
    from infra.sandbox.issuer import Issuer, load_key

    issuer = Issuer("https://bench.invalid", load_key(None))
    (folder / "issuers.toml").write_text(issuer.issuers_file("bench"))
    port = free_port()
    env = {
        **service_env(folder / "data"),
        "REPORT_REMOVE_PORT": str(port),
        "REPORT_REMOVE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "REPORT_REMOVE_AGE_ISSUERS_FILE": str(folder / "issuers.toml"),
    }
    hello, hello_port = start(folder, "-c", HELLO)
    bare, bare_port = start(folder, "-c", BARE, str(folder / "bare.db"))
    service, _ = start(folder, "-m", "app.cli", "serve", "--json", **env)
    everywhere = {**service_env(folder / "other"), "REPORT_REMOVE_PROCESSORS": "all"}
    other, other_port = start(folder, "-m", "app.cli", "serve", "--json", **everywhere)
    rounds: Rounds = {kind: [] for kind in KINDS}

    def one_round(seconds: float) -> Iterator[tuple[str, load.Result]]:
        most = int(3000 * seconds)
        ready = {
            "hello": (hello, hello_port, hellos()),
            "bare": (bare, bare_port, reports(options.hashes, most)),
            "declared": (service, port, reports(options.hashes, most)),
            "everywhere": (other, other_port, reports(options.hashes, most)),
            "signed": (service, port, signed_reports(port, issuer, options.hashes, most // 3)),
        }
        for kind, (process, at, requests) in ready.items():
            yield kind, timed(process, at, requests, CONNECTIONS, seconds)

    try:
        list(one_round(0.5))
        for _ in range(options.rounds):
            for kind, result in one_round(options.seconds):
                rounds[kind].append(result)
    finally:
        for process in (hello, bare, service, other):
            process.terminate()
            process.wait(20)
    return rounds


KINDS = {
    "hello": "hello world",
    "bare": "bare: schema, one row",
    "declared": "reports, age declared",
    "everywhere": "the same, any processor",
    "signed": "reports, signed token",
}


def median_ratio(rounds: Rounds, kind: str, of: str, what: Callable[[load.Result], float]) -> float:
    """Of each round by itself: its halves ran one after the other, so the ratio is steadier."""
    pairs = zip(rounds[kind], rounds[of], strict=True)
    return statistics.median(what(one) / what(other) for one, other in pairs)


def show(rounds: Rounds, raw: float, verified: float, options: argparse.Namespace) -> int:
    """Print medians over the rounds."""
    answers = [r for kind in ("declared", "everywhere", "signed") for r in rounds[kind]]
    refused = sum(n for r in answers for status, n in r.statuses.items() if status != 201)
    print(f"{CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s, medians;")
    print(f"a report of one photo with {options.hashes} hashes; refused: {refused}")
    print(f"{'':24}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms each':>13}{'of hello':>10}")
    for kind, label in KINDS.items():
        results = rounds[kind]
        rate = statistics.median(r.rate for r in results)
        half, tail = (statistics.median(r.percentile(p) for r in results) for p in (0.5, 0.99))
        cpu = statistics.median(r.cpu * 1000 for r in results)
        share = median_ratio(rounds, kind, "hello", lambda r: r.rate)
        print(f"{label:24}{rate:12.0f}{half:9.1f}{tail:9.1f}{cpu:13.3f}{share:10.2f}")
    print(f"{'raw grouped commits':24}{raw:12.0f}")
    print(f"{'bare: two signatures':24}{verified:12.0f}")
    ratio = median_ratio(rounds, "declared", "hello", lambda r: r.rate)
    tail = median_ratio(rounds, "declared", "hello", lambda r: r.percentile(0.99))
    floor = median_ratio(rounds, "declared", "bare", lambda r: r.rate)
    print(f"declared: {ratio:.2f} of hello world (aim {LIMIT_RATIO}), p99 {tail:.1f} times its")
    print(f"p99 (aim at most {LIMIT_TAIL}); {floor:.2f} of the bare design's rate")
    figure = {
        "figure": "durable reports per second, of hello world's",
        "value": round(statistics.median(r.rate for r in rounds["declared"])),
        "limit": LIMIT_RATIO,
        "ratio": round(ratio, 3),
        "p99_ratio": round(tail, 2),
    }
    print(json.dumps(figure))
    return 0 if refused == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
