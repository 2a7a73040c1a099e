"""Nothing that a person brings is written down: not in a log, not in the file of the day."""

from __future__ import annotations

import base64
import json
import re
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from infra.broker.journal import FIELDS, Event
from infra.broker.web import REQUEST_TYPE
from tests.infra.broker.devices import listed_key
from tests.infra.broker.oidc_provider import CLIENT_ID, CLIENT_SECRET, ENTRY, provider
from tests.infra.broker.running import process, write

AGENT = "Agent-of-a-young-person/4711"


def forms(value: bytes) -> set[bytes]:
    """A value as it may be written down."""
    return {
        value,
        value.hex().encode(),
        value.hex().upper().encode(),
        base64.b64encode(value).rstrip(b"="),
        base64.urlsafe_b64encode(value).rstrip(b"="),
    }


@pytest.mark.parametrize("verbose", [False, True])
def test_nothing_a_person_brings_is_written_down(tmp_path: Path, keys: Path, verbose: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CLIENT_SECRET)
    secret.chmod(0o600)
    values: dict[str, bytes] = {"agent": AGENT.encode(), "address": b"127.0.0.1"}
    env = {"PYTHONWARNINGS": "always", "PYTHONDEVMODE": "1"} if verbose else {}
    with provider() as wallet:
        wallet.subject = "subject-of-somebody-0815"
        entry = ENTRY.format(issuer=wallet.url, client=CLIENT_ID)
        path = write(tmp_path, keys, providers=entry)
        path.write_text(path.read_text().replace("under18-estimate", "under18-document", 2))
        with process(path, env=env) as broker:
            session = requests.Session()
            session.headers.update({"User-Agent": AGENT, "X-Forwarded-For": "192.0.2.77"})
            values["forwarded"] = b"192.0.2.77"
            started = session.post(
                f"{broker.url}/providers/wallet/start", allow_redirects=False, timeout=60
            )
            values |= cookies(session, "visit")
            away = started.headers["Location"]
            query = parse_qs(urlsplit(away).query)
            values |= {name: query[name][0].encode() for name in ("state", "nonce")}
            values["challenge"] = query["code_challenge"][0].encode()
            back = session.get(away, allow_redirects=False, timeout=60).headers["Location"]
            values["code"] = parse_qs(urlsplit(back).query)["code"][0].encode()
            session.get(back, timeout=60)
            values |= cookies(session, "pass")
            url = f"{broker.url}/.well-known/private-token-issuer-directory"
            key = listed_key(requests.get(url, timeout=60).json()["token-keys"][0]["token-key"])
            bodies = [b"\x00\x02" + bytes([key.id_byte]) + b"\x01" + secrets.token_bytes(255)
                      for _ in range(4)]  # fmt: skip
            for number, body in enumerate([*bodies, bodies[0][:-1], b"\xff" * 259]):
                answer = session.post(
                    f"{broker.url}/token-request",
                    data=body,
                    headers={"Content-Type": REQUEST_TYPE},
                    timeout=60,
                )
                values[f"blinded {number}"] = body[3:]
                if answer.status_code == 200:
                    values[f"signature {number}"] = answer.content
            assert sum(name.startswith("signature") for name in values) == 3
            # Faults, and what does not exist.
            for path_asked in ("/pass?Secret-Query-1", "/Secret-Path-2", "/grant?Secret-Query-1"):
                session.get(broker.url + path_asked, timeout=60)
            values |= {"query": b"Secret-Query-1", "path": b"Secret-Path-2"}
            form = {"age": "Secret-Age-3", "person": "Secret-Person-4"}
            session.post(f"{broker.url}/providers/development/start", data=form, timeout=60)
            values |= {"age": b"Secret-Age-3", "person": b"Secret-Person-4"}
            wallet.description = {"issuer": "https://another.example"}
            wallet.token_answer = lambda: wallet.app().make_response(("Secret-Answer-5", 500))
            again = session.post(
                f"{broker.url}/providers/wallet/start", allow_redirects=False, timeout=60
            ).headers["Location"]
            back = session.get(again, allow_redirects=False, timeout=60).headers["Location"]
            session.get(back, timeout=60)
            values |= {"answer": b"Secret-Answer-5", "client secret": CLIENT_SECRET.encode()}
            written = b"".join(
                file.read_bytes()
                for file in tmp_path.iterdir()
                if file.name.startswith("day.sqlite")
            )
            _, said = broker.stop()
    values["subject"] = wallet.subject.encode()
    assert b"granted" in written
    assert "provider.failed" in said
    log = said.partition("\n")[2]  # after the line that says where it listens
    kept = written + log.encode()
    assert [name for name, value in values.items() if any(f in kept for f in forms(value))] == []
    for line in log.splitlines():
        told = json.loads(line)
        assert told.keys() - {"at", "event"} <= FIELDS[Event(told["event"])]
        assert len(told["at"]) == len("2026-11-22T03:54Z")


def cookies(session: requests.Session, name: str) -> dict[str, bytes]:
    (value,) = [
        cookie.value
        for cookie in session.cookies
        if re.fullmatch(f"{name}(-[0-9a-f]+)?", cookie.name)
    ]
    assert value
    return {f"cookie {name}": value.encode()}
