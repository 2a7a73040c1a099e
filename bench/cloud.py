"""How many calls to AWS a report and a delivered message take, beside the least the design needs.

The functions run as in the cloud (table, counters, queues and KMS keys), but in this process and
over an emulator, so that every request that leaves botocore is counted, tries again included. The
sender's partners are real: TLS on loopback, bench/receiver.py. For each of some reports of one
photo to ten platforms: the report, its event expanded, its ten messages sent, a platform's answer,
the young person opening the case. Then what a busy service does: ten events expanded at once, and
batches of ten messages of ten reports. CPU is this process's, medians. docs/CAPACITY.md derives the
least, and says the same as LEAST below.

Then the sender's rate, by itself: the same engine given the same messages in tens, over the
emulator and over SQLite. The emulator is a Python program on the same two cores (ministack): its
rate says how much this process does beside waiting, not what DynamoDB would do.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.session import Session
from joserfc import jwk

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from app.adapters import aws  # noqa: E402
from app.adapters.dynamodb.schema import create_table  # noqa: E402
from app.adapters.dynamodb_limits import TABLE as COUNTERS  # noqa: E402
from app.bootstrap import foundation  # noqa: E402
from app.functions import api, relay, sender  # noqa: E402
from app.root_keys import make_root_keys  # noqa: E402
from app.settings import PREFIX, Settings  # noqa: E402
from bench import backlog  # noqa: E402
from bench.intake import report as report_body  # noqa: E402
from bench.photos import hash_value  # noqa: E402
from bench.receiver import receiving  # noqa: E402
from infra.cloud.emulator import REGION, emulator  # noqa: E402
from infra.cloud.emulator import ROOT as ACCOUNT  # noqa: E402
from partners.model import CaseId, PartnerId  # noqa: E402
from partners.ports import Purpose  # noqa: E402
from tests.app.services.world import trust  # noqa: E402

T = TypeVar("T")
Calls = Counter[str]
Record = dict[str, str]

LIMIT = 1.1  # times the least
PARTNERS = 10  # one batch of SQS
HASHES = 8

# docs/CAPACITY.md derives each of these; tests/rules/test_docs_calls.py compares the two.
LEAST: dict[str, Calls] = {
    "report": Calls({"UpdateItem": 2, "TransactWriteItems": 1}),
    "relay, one event": Calls(
        {"BatchGetItem": 3, "GetItem": 1, "TransactWriteItems": 1, "SendMessageBatch": 1}
    ),
    "relay, ten events": Calls(
        {"BatchGetItem": 3, "GetItem": 1, "TransactWriteItems": 3, "SendMessageBatch": 10}
    ),
    "sender, one report": Calls({"BatchGetItem": 4, "TransactWriteItems": 2, "Query": 1}),
    "sender, ten reports": Calls({"BatchGetItem": 4, "TransactWriteItems": 2, "Query": 10}),
    "feedback": Calls({"GetItem": 3, "UpdateItem": 1, "TransactWriteItems": 1}),
    "opening": Calls({"GetItem": 2, "UpdateItem": 1, "Query": 1, "BatchGetItem": 1}),
}


@dataclass
class Meter:
    """Counts what leaves botocore while a phase runs, and the processor time of this process."""

    calls: dict[str, list[Calls]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    _now: Calls = field(default_factory=Calls)

    def listen(self, session: Session) -> None:
        """Hear of every request of the clients that the session makes from now on."""
        session.register("before-send", self._sent)

    def _sent(self, **sent: Any) -> None:
        self._now[sent["event_name"].rpartition(".")[2]] += 1

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One time that this is done."""
        self._now = counted = Calls()
        began = time.process_time()
        yield
        self.cpu.setdefault(name, []).append(time.process_time() - began)
        self.calls.setdefault(name, []).append(counted)
        self._now = Calls()  # what is asked between phases is nobody's

    def each(self, name: str) -> dict[str, float]:
        """Calls by operation, the mean of the times it was done."""
        counted = self.calls[name]
        everything = sum(counted, Calls())
        return {operation: n / len(counted) for operation, n in sorted(everything.items())}

    def total(self, name: str) -> float:
        """Calls in all, the mean."""
        return sum(self.each(name).values())

    def cpu_ms(self, name: str) -> float:
        """Milliseconds of the processor, the median."""
        return 1000 * statistics.median(self.cpu[name])


class _Lambda:
    """What Lambda hands to a function beside the event."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass(frozen=True)
class Handed:
    """What a platform was handed when it was enrolled."""

    id: PartnerId
    api_key: str


class Cloud:
    """The stack on an emulator, and Lambda's part: events are brought to the functions."""

    def __init__(self, ports: list[int], first: str, sqs: Any) -> None:
        self.base = foundation(Settings.from_env(os.environ))
        self.platforms = [self._enrol(port) for port in ports]
        self._first = first
        self._sqs = sqs

    def _enrol(self, port: int) -> Handed:
        public = jwk.ECKey.generate_key("P-256").as_dict(private=False)
        keys = json.dumps({"keys": [{n: public[n] for n in ("kty", "crv", "x", "y")}]})
        url = f"https://localhost:{port}/hook"
        add = self.base.services.manage_partners.add
        made = add(f"Platform {port}", url, "v1a", backlog.POLICY, keys, takes_location=False)
        handed = Handed(PartnerId(str(made["partner_id"])), str(made["api_key"]))
        trust(self.base.store, handed.id)
        return handed

    def report(self, pool: list[str]) -> str:
        """A report of one photo; its case key."""
        body = report_body(HASHES, pool)
        _ask("POST", "/v1/reports", body)
        return str(json.loads(body)["case_key"])

    def events(self) -> list[dict[str, Any]]:
        """What the stream's filter lets through: a record for each open event."""
        keys = [f"event#{event.id}" for event in self.base.store.open_events(1000)]
        return [
            {
                "eventName": "INSERT",
                "dynamodb": {"Keys": {"pk": {"S": key}}, "SequenceNumber": "1"},
            }
            for key in keys
        ]

    def batch(self) -> list[Record]:
        """Ten messages from the queue, as Lambda brings them."""
        found: list[Record] = []
        while len(found) < PARTNERS:
            most = {"QueueUrl": self._first, "MaxNumberOfMessages": PARTNERS - len(found)}
            for message in self._sqs.receive_message(**most, WaitTimeSeconds=2)["Messages"]:
                found.append({"messageId": message["MessageId"], "body": message["Body"]})
                self._sqs.delete_message(
                    QueueUrl=self._first, ReceiptHandle=message["ReceiptHandle"]
                )
        return found

    def backlog(self, batches: int, pool: list[str]) -> list[list[Record]]:
        """That many reports, expanded: the messages of each."""
        for _ in range(batches):
            self.report(pool)
        for event in self.events():
            _relay(event)  # alone: so the queue has each report's messages together
        return [self.batch() for _ in range(batches)]

    def item_of(self, case_key: str, platform: Handed) -> str:
        """The name by which the platform knows the case's photo."""
        house = self.base.services.house
        case = house.store.case_by_key(house.keys.tag(Purpose.CASE_KEY, bytes.fromhex(case_key)))
        notices = house.store.notices_of(case.id if case else CaseId(""))
        return next(notice.id for notice in notices if notice.partner_id == platform.id)


def _ask(method: str, path: str, body: bytes, **headers: str) -> None:
    """A request by a function URL (payload format 2.0). RuntimeError unless it is taken."""
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9"}
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "host": "remove.example.org",
            "content-type": "application/json",
            "idempotency-key": secrets.token_urlsafe(24),
            **headers,
        },
        "requestContext": {"http": http, "domainName": "remove.example.org"},
        "body": body.decode(),
        "isBase64Encoded": False,
    }
    status = api.handler(event, _Lambda())["statusCode"]
    if status not in (200, 201):
        raise RuntimeError(f"{path} answers {status}")


def _relay(*events: dict[str, Any]) -> None:
    if relay.handler({"Records": list(events)}, _Lambda())["batchItemFailures"]:
        raise RuntimeError("the relay failed")


def _send(batch: Iterable[Record]) -> None:
    if sender.handler({"Records": list(batch)}, _Lambda())["batchItemFailures"]:
        raise RuntimeError("the sender failed")


@contextmanager
def stack(folder: Path, ports: list[int]) -> Iterator[Cloud]:
    """Tables, queues and root keys on an emulator of its own, and the settings of functions."""
    with emulator() as endpoint:
        session = boto3.session.Session(
            aws_access_key_id=ACCOUNT, aws_secret_access_key=ACCOUNT, region_name=REGION
        )
        dynamodb = session.client("dynamodb", endpoint_url=endpoint)
        sqs = session.client("sqs", endpoint_url=endpoint)
        create_table(dynamodb, "bench", ttl=False)
        dynamodb.create_table(TableName="bench-limits", **COUNTERS)
        first, retry = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("1st", "2nd"))
        kms = session.client("kms", endpoint_url=endpoint)
        kms_key = kms.create_key()["KeyMetadata"]["KeyId"]
        os.environ.update(_environment(endpoint, folder, kms_key, first, retry))
        make_root_keys(Settings.from_env(os.environ))
        yield Cloud(ports, first, sqs)


def _environment(
    endpoint: str, folder: Path, kms_key: str, first: str, retry: str
) -> dict[str, str]:
    often = "100000000 per hour"
    chosen = {
        "ENVIRONMENT": "development",
        "ALLOW_LOOPBACK_PARTNERS": "yes",
        "AGE_PROFILES": "declared-v1",
        "PUBLIC_URL": "https://remove.example.org",
        "DATA_DIR": str(folder / "functions"),
        "STORE": "dynamodb",
        "KEYS": "kms",
        "LIMITS": "dynamodb",
        "TABLE": "bench",
        "LIMITS_TABLE": "bench-limits",
        "KMS_KEY": kms_key,
        "FIRST_QUEUE": first,
        "RETRY_QUEUE": retry,
        "LIMIT_REPORTS": often,
        "LIMIT_DECLARED": often,
        "LIMIT_CASE": often,
    }
    return {
        **{PREFIX + name: value for name, value in chosen.items()},
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": ACCOUNT,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def count(cloud: Cloud, meter: Meter, reports: int, pool: list[str]) -> None:
    """Everything that LEAST names, some times, and each function's start."""
    starts: dict[str, Callable[[], object]] = {
        "start of the API": api._application,  # noqa: SLF001 - what a first event does
        "start of the relay": relay._relay,  # noqa: SLF001
        "start of the sender": sender._sending,  # noqa: SLF001
    }
    for name, start in starts.items():
        with meter.phase(name):
            start()
    _once(cloud, Meter(), pool)  # connections, a partner's first message: they come once
    for _ in range(reports):
        _once(cloud, meter, pool)
    for _ in range(PARTNERS):
        cloud.report(pool)
    events = cloud.events()
    with meter.phase("relay, ten events"):
        _relay(*events)
    # One message of each report, as they lie in the queue while much is reported.
    for batch in zip(*(cloud.batch() for _ in range(PARTNERS)), strict=True):
        with meter.phase("sender, ten reports"):
            _send(batch)


def _once(cloud: Cloud, meter: Meter, pool: list[str]) -> None:
    with meter.phase("report"):
        case_key = cloud.report(pool)
    (event,) = cloud.events()
    with meter.phase("relay, one event"):
        _relay(event)
    batch = cloud.batch()
    with meter.phase("sender, one report"):
        _send(batch)
    platform = cloud.platforms[0]
    path = f"/v1/partner/items/{cloud.item_of(case_key, platform)}/feedback"
    said = json.dumps({"feedback": "removed"}).encode()
    with meter.phase("feedback"):
        _ask("POST", path, said, authorization=f"Bearer {platform.api_key}")
    with meter.phase("opening"):
        _ask("POST", "/v1/case/open", json.dumps({"case_key": case_key}).encode())


def bare_call_ms(calls: int = 200) -> float:
    """Processor time of one GetItem by boto3 and nothing else, the median in milliseconds."""
    client, taken = aws.client("dynamodb", tries=1), []
    for _ in range(calls):
        began = time.process_time()
        client.get_item(TableName="bench", Key={"pk": {"S": "nobody"}, "sk": {"S": "nobody"}})
        taken.append(time.process_time() - began)
    return 1000 * statistics.median(taken)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast messages went out. `cpu` is in seconds of this process's processor for each."""

    per_second: float
    cpu: float


def rate(batches: list[T], send: Callable[[T], object]) -> Rate:
    """Send all of them, one batch after the other."""
    messages = len(batches) * PARTNERS
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        send(batch)
    return Rate(messages / (time.perf_counter() - began), (time.process_time() - cpu) / messages)


def sqlite_rate(folder: Path, ports: list[int], reports: int) -> Rate:
    """The same engine and messages over SQLite, told of ten at a time."""
    service = backlog.Backlog.open(folder)
    engine, store = service.runtime.worker.engine, service.runtime.store
    for port in ports:
        service.enrol(port)
    service.report(1 + reports)
    page, _ = store.messages(limit=(1 + reports) * PARTNERS)
    ids = [message.id for message in page]
    batches = [ids[at : at + PARTNERS] for at in range(0, len(ids), PARTNERS)]
    until = datetime.now(UTC) + timedelta(hours=1)
    engine.deliver(batches[0], until)  # connections
    found = rate(batches[1:], lambda batch: engine.deliver(batch, until))
    service.close()
    return found


def main() -> int:
    """Count, send, and print the tables; the last line is JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reports", type=int, default=20, help="counted (%(default)s)")
    parser.add_argument(
        "--backlog", type=int, default=40, help="reports whose messages are timed (%(default)s)"
    )
    options = parser.parse_args()
    pool = [hash_value() for _ in range(500)]
    meter = Meter()
    meter.listen(aws._session())  # noqa: SLF001 - the one that makes every client of the service
    with tempfile.TemporaryDirectory(prefix="bench-cloud-") as name:
        folder = Path(name)
        with receiving(backlog.certificate(folder), PARTNERS) as ports:
            with stack(folder, ports) as cloud:
                count(cloud, meter, options.reports, pool)
                bare = bare_call_ms()
                dynamodb = rate(cloud.backlog(options.backlog, pool), _send)
            sqlite = sqlite_rate(folder / "sqlite", ports, options.backlog)
    return show(meter, bare, dynamodb, sqlite)


def show(meter: Meter, bare: float, dynamodb: Rate, sqlite: Rate) -> int:
    """Print what was counted."""
    print(f"{'':22}{'calls':>7}{'least':>7}{'ratio':>7}{'CPU ms':>8}   counted")
    for name in meter.calls:
        least = LEAST[name].total() if name in LEAST else 0
        total, said = meter.total(name), _said(meter.each(name))
        beside = f"{least:7d}{total / least:7.2f}" if least else f"{'':14}"
        print(f"{name:22}{total:7.2f}{beside}{meter.cpu_ms(name):8.2f}   {said}")
    print(f"one GetItem by boto3 alone takes {bare:.2f} ms of CPU")
    report = meter.total("report") + meter.total("relay, one event")
    message = meter.total("sender, one report") / PARTNERS
    print(f"a report: {report:.2f} calls; a message: {message:.2f}, in a batch of one report's")
    for name, found in (("the emulator", dynamodb), ("SQLite", sqlite)):
        print(
            f"sender over {name:14}{found.per_second:7.0f} messages/s"
            f"{1000 * found.cpu:7.2f} ms of CPU each"
        )
    print(f"the emulator, a Python program: {dynamodb.per_second / sqlite.per_second:.2f} of that")
    counted, least = sum(map(meter.total, LEAST)), sum(each.total() for each in LEAST.values())
    figure = {
        "figure": "calls to AWS, all phases, of the least the design needs",
        "value": round(counted, 2),
        "limit": LIMIT,
        "ratio": round(counted / least, 3),
        "worst_ratio": round(max(meter.total(n) / LEAST[n].total() for n in LEAST), 3),
        "sender_per_second": round(dynamodb.per_second),
        "sender_of_sqlite": round(dynamodb.per_second / sqlite.per_second, 3),
    }
    print(json.dumps(figure))
    return 0 if counted / least <= LIMIT else 1


def _said(calls: dict[str, float]) -> str:
    return " · ".join(f"{operation} {n:.4g}" for operation, n in calls.items())


if __name__ == "__main__":
    sys.exit(main())
