"""The broker as these tests meet it: in this process with a clock of their own, or as a process."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import requests
from flask.testing import FlaskClient

from app.demo.processes import free_port
from infra.broker.assembly import load_key, make_providers, open_signer
from infra.broker.configuration import Configuration, KeyEntry, SignerEntry, load
from infra.broker.days import DayBook
from infra.broker.desk import Desk
from infra.broker.issuance import IssuerKey, KeyRing
from infra.broker.journal import Journal
from infra.broker.signers.port import BlindSigner
from infra.broker.web import REQUEST_TYPE, create_app
from tests.app.web.running import ROOT

NODE = Path(__file__).parent / "node"
EXPONENT = 65537
# Examples of each fuzz test. For long: BROKER_FUZZ=1000000 ./test tests/infra/broker -k fuzz
# --timeout 0, which takes hours; what it finds becomes a case.
FUZZ = int(os.environ.get("BROKER_FUZZ", "200"))
CONFIGURATION = """
format = 1
public_url = "http://127.0.0.1:{port}"
port = {port}
database = "day.sqlite"
returns = ["https://young.example"]
{more}

[signer]
kind = "development"
folder = "{keys}"

[[key]]
label = "document"
predicate = "under18-document"

[[key]]
label = "estimate"
predicate = "under18-estimate"

[[provider]]
name = "development"
kind = "development"
predicate = "under18-document"
title = "Choose an age"
learns = "Nobody learns anything."
{providers}
"""


@dataclass
class Hands:
    """A clock that stands until it is moved."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 20, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Here:
    """A broker in this process."""

    configuration: Configuration
    desk: Desk
    days: DayBook
    clock: Hands
    log: StringIO
    client: FlaskClient

    def key(self, place: int = 0) -> IssuerKey:
        return self.desk.keys.keys[place]

    def passed(self, **form: str) -> None:
        """Give the client a grant."""
        answer = self.client.post("/providers/development/start", data={"age": "15"} | form)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/pass")

    def ask(self, body: bytes, **options: Any) -> Any:
        return self.client.post("/token-request", data=body, content_type=REQUEST_TYPE, **options)


def write(folder: Path, keys: Path, more: str = "", providers: str = "", port: int = 0) -> Path:
    """A configuration file in that folder, with a free port unless one is given."""
    path = folder / "broker.toml"
    port = port or free_port()
    path.write_text(CONFIGURATION.format(port=port, keys=keys, more=more, providers=providers))
    return path


def here(path: Path, clock: Hands | None = None) -> Here:
    """The broker of that file, in this process."""
    clock, log = clock or Hands(), StringIO()
    configuration = load(path, development=True)
    journal = Journal(log)
    signer, keys = _loaded(configuration.signer, configuration.keys)
    days = DayBook(configuration.database)
    providers = make_providers(configuration)
    desk = Desk(keys, signer, providers, days, configuration.limits, journal, clock)
    client = create_app(configuration, desk, journal).test_client()
    return Here(configuration, desk, days, clock, log, client)


@lru_cache(maxsize=8)
def _loaded(entry: SignerEntry, keys: tuple[KeyEntry, ...]) -> tuple[BlindSigner, KeyRing]:
    """Once for all tests: reading an RSA key from a file takes a third of a second."""
    signer = open_signer(entry)
    return signer, KeyRing(load_key(signer, key) for key in keys)


def request_bytes(key: IssuerKey, blinded: int | None = None) -> bytes:
    """A token request; without a message, for a random one."""
    message = blinded if blinded is not None else 2 + secrets.randbelow(key.modulus - 4)
    return b"\x00\x02" + bytes([key.id_byte]) + message.to_bytes(256, "big")


def is_signed(key: IssuerKey, request: bytes, signature: bytes) -> bool:
    value = pow(int.from_bytes(signature, "big"), EXPONENT, key.modulus)
    return len(signature) == 256 and value == int.from_bytes(request[3:], "big")


class Process:
    """A broker's process, and everything that it says."""

    def __init__(self, *command: str, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=os.environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.first = self._process.stdout.readline()
        assert self.first, self._process.communicate()[1]
        self.url: str = json.loads(self.first)["url"]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and everything that it wrote."""
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, self.first + out + err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def process(path: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Process]:
    """`serve --development`, killed at the end if it is still there."""
    command = ("infra.broker", "serve", "--config", str(path), "--development")
    with killed(Process(*command, *options, env=env)) as running:
        yield running


@contextmanager
def process_at(path: Path, now: datetime) -> Iterator[Process]:
    """The same, but at that moment: for tests of a day's limit, which the real clock may end."""
    with killed(Process("tests.infra.broker.at", now.isoformat(), str(path))) as running:
        yield running


@contextmanager
def killed(running: Process) -> Iterator[Process]:
    try:
        yield running
    finally:
        running.kill()


def passed(url: str, person: str = "", provider: str = "development") -> requests.Session:
    """A client with a grant of that broker's."""
    session = requests.Session()
    form = {"age": "15"} | ({"person": person} if person else {})
    answer = session.post(f"{url}/providers/{provider}/start", data=form, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pass")
    return session


def ask(session: requests.Session, url: str, body: bytes) -> requests.Response:
    return session.post(f"{url}/token-request", data=body, headers={"Content-Type": REQUEST_TYPE})


def command(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Its exit code, what it printed and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.broker", *arguments],
        cwd=ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
