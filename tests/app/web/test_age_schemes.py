"""How a proof of age is asked for and where it stands in a request (RFC 9110, RFC 9577)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.web.application import create_app
from tests.adapters.age.blinding import DOCUMENT, ESTIMATE, Signer, entry
from tests.app.web.running import in_process

TRUSTED = {"verified_document": DOCUMENT, "verified_estimate": ESTIMATE}
CHALLENGE = re.compile(r'PrivateToken challenge="([^"]+)", token-key="([^"]+)"')


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    path = tmp_path / "issuers.toml"
    path.write_text("format = 1\n" + "".join(entry(key, basis) for basis, key in TRUSTED.items()))
    settings = {"AGE_ISSUERS_FILE": str(path), "AGE_PROFILES": "pp-under18-v1,declared-v1"}
    with in_process(tmp_path / "house", **settings) as (runtime, _):
        yield create_app(runtime.context).test_client()


def report(client: FlaskClient, authorization: str | None, key: str = "00") -> TestResponse:
    headers = {"Idempotency-Key": f"a-key-of-sixteen-octets-{key}"}
    if authorization is not None:
        headers["Authorization"] = authorization
    body = {
        "case_key": key * 32,
        "age": {"profile": "pp-under18-v1", "band": "13_15"},
        "items": [{"kind": "photo", "hashes": {"sha256": sha256(key.encode()).hexdigest()}}],
    }
    return client.post("/v1/reports", json=body, headers=headers)


def asked(client: FlaskClient) -> dict[bytes, bytes]:
    """The challenges of a refusal, by the key that is to answer each."""
    found = CHALLENGE.findall(report(client, None).headers["WWW-Authenticate"])
    decode = base64.urlsafe_b64decode
    return {decode(key): decode(challenge) for challenge, key in found}


def test_a_device_that_knows_only_the_refusal_can_answer_it(client: FlaskClient) -> None:
    """For each issuer, and no key stands there that is not one's own."""
    challenges = asked(client)
    assert set(challenges) == {signer.spki for signer in TRUSTED.values()}
    for number, signer in enumerate(TRUSTED.values()):
        token = signer.token(sha256(challenges[signer.spki]).digest())
        answer = report(client, f'PrivateToken token="{token}"', f"0{number}")
        assert (answer.status_code, answer.json) == (201, {"received": True, "items": 1})


@pytest.mark.parametrize(
    "authorization",
    [
        'PrivateToken token="{}"',
        "PrivateToken token={}",
        'privatetoken  token="{}"',
        'PrivateToken token="{}", more="x"',
        "PrivateToken {}",  # as no RFC says, but early clients of ours
    ],
)
def test_a_token_is_read_as_other_libraries_write_it(
    client: FlaskClient, authorization: str
) -> None:
    assert report(client, authorization.format(token(client))).status_code == 201


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("Basic {}", "token-missing"),  # what werkzeug does not take for one is none
        ("DPoP {}", "scheme"),
        ('Bearer token="{}"', "scheme"),
        ("{}", "token-missing"),
        ("", "token-missing"),
        ('PrivateToken other="{}"', "token-missing"),
        ('PrivateToken token="{}x"', "token-malformed"),
    ],
)
def test_a_token_elsewhere_is_none(client: FlaskClient, authorization: str, reason: str) -> None:
    answer: Any = report(client, authorization.format(token(client)))
    assert (answer.status_code, answer.json["reason"]) == (401, reason)


def test_where_no_profile_takes_a_token_a_refusal_names_a_scheme_nonetheless(
    tmp_path: Path,
) -> None:
    with in_process(tmp_path, AGE_PROFILES="declared-v1") as (runtime, _):
        answer = report(create_app(runtime.context).test_client(), None)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Declared")


def token(client: FlaskClient, signer: Signer = DOCUMENT) -> str:
    return signer.token(sha256(asked(client)[signer.spki]).digest())
