"""What is secret stands in no log, no metric, no thin webhook and not in the database file.

The whole journey is made, and much goes wrong on the way; then the real values are searched for,
in every spelling in which they might have been written down.
"""

from __future__ import annotations

import base64
import json
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.client.case_code import case_key, new_code
from app.client.service import Service, encode, report_body
from tests.journeys.calls import Caller, Said, a_key, a_pdq, calling
from tests.journeys.processes import Installation, Processes, Running, until
from tests.journeys.receiver import Receiver
from tests.journeys.sandbox import (
    PHOTOS,
    Platform,
    enrol,
    hashed,
    proof,
    start_issuer,
    start_platform,
)

ADDRESS = "203.0.113.177"
ADDRESS_6 = "2001:db8:4711:17::99"
PLACE = "https://picnic.test/u/leak-probe-4711"
USER_AGENT = "leak-probe-browser/47.11"


@dataclass
class Secrets:
    """What must not be found, by what it is."""

    texts: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, text: str) -> str:
        self.texts[f"{what} {len(self.texts)}"] = text
        return text

    def add_token(self, what: str, text: str) -> None:
        """A compact JWS: each of its parts alone would be too much."""
        for number, part in enumerate(text.split(".")):
            self.add(f"{what}, part {number}", part)

    def found_in(self, text: bytes) -> list[str]:
        """Which of them stand there, in any spelling."""
        return sorted(
            what
            for what, secret in self.texts.items()
            if any(spelling in text for spelling in _spellings(secret))
        )


def _spellings(text: str) -> set[bytes]:
    """The text itself, in capitals, percent-encoded; bytes written in hexadecimal also raw and in
    base64, wherever they stand in a longer value."""
    found = {text, text.upper(), text.lower(), quote(text, safe=""), json.dumps(text)[1:-1]}
    spellings = {spelling.encode() for spelling in found}
    raws = [text.encode()]
    if len(text) % 2 == 0 and set(text) <= set("0123456789abcdef"):
        raws.append(bytes.fromhex(text))
        spellings |= {raws[-1], repr(raws[-1])[2:-1].encode()}
    for raw in raws:
        for lead in range(3):  # base64 writes three bytes at a time
            inner = base64.b64encode(bytes(lead) + raw)[4 if lead else 0 :]
            core = inner[: len(inner) - 4]
            spellings |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return {spelling for spelling in spellings if len(spelling) >= 8}


@pytest.mark.parametrize("lead", range(6))
def test_the_search_finds_what_is_there_in_any_spelling(lead: int) -> None:
    secrets, value = Secrets(), a_pdq()
    secrets.add("hash", value)
    raw = bytes.fromhex(value)
    for written in (
        value.encode(),
        value.upper().encode(),
        raw,
        base64.b64encode(raw),
        base64.urlsafe_b64encode(b"x" * lead + raw + b"tail"),
        base64.b64encode(b"x" * lead + value.encode() + b"tail"),
        f"error: {raw!r}".encode(),
    ):
        assert secrets.found_in(b"a" * lead + written + b"end") == ["hash 0"], written
    assert secrets.found_in(a_pdq().encode()) == []


@dataclass
class Journey:
    """Everything that runs, and what must not leak from it."""

    installation: Installation
    running: Running
    issuer: Running
    platforms: list[Platform]
    receiver: Receiver
    secrets: Secrets = field(default_factory=Secrets)
    planted: Secrets = field(default_factory=Secrets)  # in the file, because we put them there

    def __post_init__(self) -> None:
        for what, text in {
            "address": ADDRESS,
            "IPv6 address": ADDRESS_6,
            "where seen": PLACE,
            "user agent": USER_AGENT,
        }.items():
            self.secrets.add(what, text)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        address: str = ADDRESS,
    ) -> Said:
        """A request as a proxy passes it on."""
        sent = {"X-Forwarded-For": address, "User-Agent": USER_AGENT, **(headers or {})}
        with calling(self.installation.port) as caller:
            return caller.call(method, path, body, sent)

    def key(self) -> str:
        return self.secrets.add("idempotency key", a_key())

    def hashes(self, photo: str) -> dict[str, Any]:
        hashes = hashed(PHOTOS / photo)
        for kind, of in hashes.items():
            values = [one["value"] for one in of.values()] if isinstance(of, dict) else [of]
            for value in values:
                self.secrets.add(f"hash {kind}", value)
        return hashes

    def partner_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.platforms[1].handed_over['api_key']}"}

    def metrics(self) -> bytes:
        with urllib.request.urlopen(self.running.facts["metrics"], timeout=60) as answer:
            return bytes(answer.read())

    def write(self, statement: str, *values: object) -> None:
        """Damage the database as no code of ours would."""
        with closing(sqlite3.connect(self.installation.database, timeout=60)) as connection:
            connection.execute(statement, values)
            connection.commit()

    def read(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.installation.database, timeout=60)) as connection:
            return connection.execute(query).fetchall()

    def logged(self) -> set[str]:
        """The events that the service has logged."""
        return {json.loads(line)["event"] for line in self.running.err.read_text().splitlines()}


@pytest.fixture
def journey(tmp_path: Path) -> Iterator[Journey]:
    with Receiver("down", status=500) as receiver, Processes(tmp_path) as processes:
        picnic = start_platform(processes, "Picnic", {"a.jpg": PHOTOS / "chelsea.jpg"}, sealed=True)
        postcard = start_platform(
            processes, "Postcard", {"b.jpg": PHOTOS / "rocket.jpg"}, sealed=False
        )
        issuer, trust = start_issuer(processes)
        settings = {"AGE_ISSUERS_FILE": str(trust), "TAKE_LOCATIONS": "yes", "TRUSTED_PROXIES": "1"}
        installation = Installation(processes, settings)
        running = installation.start()
        journey = Journey(installation, running, issuer, [picnic, postcard], receiver)
        for platform in journey.platforms:
            enrol(installation, platform, takes_location=True)
        made = installation.add_platform("Down", receiver.url("down"))
        receiver.told["down"].key = made["webhook_key"]
        for handed_over in (*(p.handed_over for p in journey.platforms), made):
            journey.secrets.add("API key", handed_over["api_key"])
            if handed_over["webhook_key"].startswith("whsec_"):
                secret = handed_over["webhook_key"].removeprefix("whsec_")
                journey.secrets.add("webhook secret", secret)
                journey.secrets.add("webhook secret raw", base64.b64decode(secret).hex())
        yield journey


def test_nothing_secret_is_written_down(journey: Journey) -> None:
    key = _the_journey(journey)
    _refused(journey, key)
    _cut_short(journey)
    _a_platform_is_gone(journey)
    _the_worker_stumbles(journey)
    _it_breaks(journey, key)
    _check_the_files(journey)
    _taken_back(journey, key)
    metrics = journey.metrics()
    assert journey.running.stop() == 0
    _check_the_output(journey, metrics)
    _check_the_files(journey)


def _the_journey(journey: Journey) -> str:
    """A report with a token and a place, more photos, and everybody answers."""
    service, secrets = Service(journey.installation.url), journey.secrets
    code = new_code()
    secrets.add("case code", code.replace(" ", ""))
    secrets.add("case code in groups", code)
    key = secrets.add("case key", case_key(code, service.challenge()["case_key"]))
    place = {"platform": journey.platforms[0].partner_id, "where_seen": PLACE}
    items = [{"kind": "photo", "hashes": journey.hashes("chelsea.jpg"), "locations": [place]}]
    body = report_body(key, "jwt-age-v1", "13_15", items)
    headers = proof(journey.issuer, service, body)
    secrets.add_token("age token", headers["Authorization"].removeprefix("DPoP "))
    secrets.add_token("age proof", headers["DPoP"])
    sent = {**headers, "Idempotency-Key": journey.key()}
    assert journey.call("POST", "/v1/reports", body, sent).status == 201
    assert journey.call("POST", "/v1/reports", body, sent, ADDRESS_6).status == 201
    again = {**headers, "Idempotency-Key": journey.key()}
    assert journey.call("POST", "/v1/reports", body, again).status in (401, 409)
    added = {"kind": "photo", "hashes": journey.hashes("coffee.jpg")}
    body = encode({"case_key": key, "items": [added]})
    sent = {"Idempotency-Key": journey.key()}
    assert journey.call("POST", "/v1/case/items", body, sent).status == 201
    until(lambda: _words(journey, key) == ["Taken down", "Not found so far"] * 2, "all answered")
    return key


def _words(journey: Journey, key: str) -> list[str]:
    """What the first two platforms are said to have done: Picnic found both, Postcard neither."""
    case = journey.call("POST", "/v1/case/open", {"case_key": key}).json
    rows = {
        (row["name"], item["number"]): row for item in case["items"] for row in item["platforms"]
    }
    first = [rows[name, 1]["words"] for name in ("Picnic", "Postcard")]
    second = [rows[name, 2]["words"] for name in ("Picnic", "Postcard")]
    return first * 2 if second == ["Not found so far"] * 2 else []


def _refused(journey: Journey, key: str) -> None:
    """Real values, in all the wrong places."""
    value = journey.secrets.add("hash", a_pdq())
    photo = {"value": value, "quality": 90}
    api_key = journey.platforms[1].handed_over["api_key"]
    report = "/v1/reports"

    def body(**changes: Any) -> dict[str, Any]:
        item = {"kind": "photo", "hashes": {"pdq": {"original": {**photo, **changes}}}}
        age = {"profile": "declared-v1", "band": "13_15"}
        return {"case_key": key, "age": age, "items": [item]}

    wrong: list[tuple[str, str, Any, dict[str, str]]] = [
        ("POST", report, body(value=value.upper()), {}),
        ("POST", report, body(value=value[:-1]), {}),
        ("POST", report, body(type=value), {}),
        ("POST", report, body(variant=value), {}),
        ("POST", report, body(**{value: key}), {}),
        ("POST", report, {**body(), key: value}, {}),
        ("POST", report, {**body(), "case_key": key.upper()}, {}),
        ("POST", report, body(quality=12), {}),
        ("POST", report, body(), {"Authorization": f"DPoP {value}", "DPoP": key}),
        ("POST", report, body(), {"Idempotency-Key": f"{value}{value}"}),
        ("POST", report, f'{{"case_key": "{key}", "hash": {value}'.encode(), {}),
        ("POST", report, b"\xff\xd8\xff" + bytes.fromhex(value), {}),
        ("POST", report, f"{key} {value} ".encode() * 9000, {}),
        ("POST", report, f"{key} {value}".encode(), {"Content-Type": f"text/{value}"}),
        ("POST", f"/v1/case/open?case_key={key}", {"case_key": value}, {}),
        ("POST", f"/v1/case/{key}", {"case_key": key}, {}),
        ("GET", f"/v1/partner/items/{value}", None, journey.partner_headers()),
        ("GET", f"/v1/partner/items/{key}", None, {"Authorization": f"Bearer {api_key}x"}),
        ("GET", f"/v1/partner/messages?after={value}", None, journey.partner_headers()),
        ("GET", f"/v1/partner/messages?{value}={api_key}", None, journey.partner_headers()),
        ("GET", f"/{value}?{key}", None, {"Referer": f"https://{value}.test/{key}"}),
        (value.upper().translate(dict.fromkeys(range(48, 58), "G")), report, None, {}),
        ("PROPFIND", report, None, {}),
    ]
    journey.secrets.add("made-up method", wrong[-2][0])
    for method, path, sent, headers in wrong:
        full = {"Idempotency-Key": journey.key(), **headers} if method == "POST" else headers
        answer = journey.call(method, path, sent, full)
        assert 400 <= answer.status < 500, (method, path[:12], answer.status)
        said = answer.body + repr(answer.headers).encode()
        assert journey.secrets.found_in(said) == [], (method, path[:12])


def _cut_short(journey: Journey) -> None:
    """Requests that are none, straight into the socket."""
    value = journey.secrets.add("hash", a_pdq())
    for raw in (
        f"{value} {value}\r\n\r\n",
        f"GET /{value} HTTP/9.{value}\r\n\r\n",
        f"POST /v1/reports HTTP/1.1\r\nHost: {value}\r\nContent-Length: {value}\r\n\r\n",
        f"POST /v1/reports HTTP/1.1\r\nTransfer-Encoding: {value}\r\n\r\n{value}",
        f"POST /v1/reports HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{value}\r\n{value}",
        f"GET http://{value}:{value}/ HTTP/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\n{value}: {value * 300}\r\n\r\n",
        f"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{value}",
    ):
        with socket.create_connection(("127.0.0.1", journey.installation.port), 5) as connection:
            connection.sendall(raw.encode())
            connection.settimeout(1)
            with suppress(TimeoutError):
                assert value.encode() not in connection.recv(4000)


def _a_platform_is_gone(journey: Journey) -> None:
    """It answered 500 so far and says 410 from now on."""
    journey.receiver.status = 410
    journey.write("UPDATE messages SET due_at = 0 WHERE state = 'pending'")
    with calling(journey.installation.port) as caller:
        _report(journey, caller)
    until(lambda: "endpoint.disabled" in journey.logged(), "the endpoint is disabled")
    until(lambda: "message.failed" in journey.logged(), "its messages are given up")


def _report(journey: Journey, caller: Caller) -> tuple[str, str]:
    """A report without a token: its case key and its hash."""
    key = journey.secrets.add("case key", a_pdq())
    value = journey.secrets.add("hash", a_pdq())
    photo = {"value": value, "quality": 90}
    items = [{"kind": "photo", "hashes": {"pdq": {"original": photo}}}]
    body = report_body(key, "declared-v1", "13_15", items)
    sent = {"Idempotency-Key": journey.key(), "X-Forwarded-For": ADDRESS}
    assert caller.call("POST", "/v1/reports", body, sent).status == 201
    return key, value


def _the_worker_stumbles(journey: Journey) -> None:
    """An event that makes no sense, with a hash in it: the error's own words would repeat it."""
    value = journey.planted.add("planted hash", a_pdq())
    journey.write(
        "INSERT INTO events (id, type, case_id, items, at) VALUES ('evt_x', ?, 'case_x', ?, 0)",
        value,
        value,
    )
    until(lambda: "event.stuck" in journey.logged(), "the relay cannot read it")
    journey.write("DELETE FROM events WHERE id = 'evt_x'")
    journey.write("ALTER TABLE events RENAME TO elsewhere")
    until(lambda: "worker.failed" in journey.logged(), "the worker stumbles")
    journey.write("ALTER TABLE elsewhere RENAME TO events")
    until(lambda: "worker.recovered" in journey.logged(), "the worker goes on")


def _it_breaks(journey: Journey, key: str) -> None:
    """Answers 500 and 503: a seal that does not open, and a table that is not there."""
    (sealed,) = journey.read("SELECT sealed_hashes FROM items WHERE number = 2")[0]
    notices = dict(journey.read("SELECT partner_id, id FROM notices WHERE item_number = 2"))
    item_id = notices[journey.platforms[1].partner_id]
    journey.write("UPDATE items SET sealed_hashes = x'010001' WHERE number = 2")
    path = f"/v1/partner/items/{item_id}"
    assert journey.call("GET", path, headers=journey.partner_headers()).status == 500
    journey.write("UPDATE items SET sealed_hashes = ? WHERE number = 2", sealed)
    assert journey.call("GET", path, headers=journey.partner_headers()).status == 200
    journey.write("ALTER TABLE cases RENAME TO elsewhere")
    assert journey.call("POST", "/v1/case/open", {"case_key": key}).status == 503
    journey.write("ALTER TABLE elsewhere RENAME TO cases")
    assert journey.call("POST", "/v1/case/open", {"case_key": key}).status == 200
    assert "request.failed" in journey.logged()


def _taken_back(journey: Journey, key: str) -> None:
    assert journey.call("POST", "/v1/case/withdraw", {"case_key": key}).status == 200
    until(
        lambda: (
            journey.read("SELECT count(*) FROM notices WHERE word = 'withdrawn_done'")[0][0] == 4
        ),
        "both platforms forgot both photos",
    )


def _check_the_output(journey: Journey, metrics: bytes) -> None:
    """Everything that any process printed, and every metric."""
    output = journey.installation.processes.output()
    for seen in (b"service.started", b"service.stopped", b"SealBroken", b"webhooks/report-remove"):
        assert seen in output
    assert b"report_remove_requests_total" in metrics
    assert b"report_remove_log_fields_dropped_total 0.0" in metrics
    assert journey.secrets.found_in(output) == []
    assert journey.planted.found_in(output + metrics) == []
    assert journey.secrets.found_in(metrics) == []
    bodies = b"".join(journey.receiver.told["down"].bodies)
    assert b"itm_" in bodies
    assert journey.secrets.found_in(bodies) == []


def _check_the_files(journey: Journey) -> None:
    """The database and its log, as a thief of the disk finds them."""
    files = [path for path in journey.installation.data.iterdir() if path.name != "root.key"]
    raw = b"".join(path.read_bytes() for path in files)
    assert journey.platforms[0].partner_id.encode() in raw
    assert journey.secrets.found_in(raw) == []
