"""OpenID Connect, with a provider that really runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from infra.broker.providers.fetching import MOST_BYTES
from tests.infra.broker.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    Provider,
    b64,
    by_hmac,
    provider,
    text,
)
from tests.infra.broker.running import FUZZ, Here, here, request_bytes, write

ENTRY = """
[[provider]]
name = "wallet"
kind = "oidc"
predicate = "under18-estimate"
title = "Use your wallet"
learns = "The wallet learns that you asked for a pass, and when."
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "secret"
claim = "age_under_18"
algorithms = ["ES256", "RS256"]
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with provider() as serving:
        yield serving


@pytest.fixture
def wallet(running: Provider) -> Provider:
    """The provider, well-behaved again."""
    fresh = Provider(url=running.url, key=running.key)
    running.__dict__.update(fresh.__dict__)
    return running


@pytest.fixture
def broker(tmp_path: Path, keys: Path, wallet: Provider) -> Iterator[Here]:
    secret = tmp_path / "secret"
    secret.write_text(CLIENT_SECRET)
    secret.chmod(0o600)
    entry = ENTRY.format(issuer=wallet.url, client=CLIENT_ID)
    made = here(write(tmp_path, keys, providers=entry))
    yield made
    made.days.close()


def leave(broker: Here) -> str:
    """Start at the wallet; where the browser is sent."""
    answer = broker.client.post("/providers/wallet/start")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def visit(url: str) -> dict[str, str]:
    """Be at the wallet; the query with which it sends the browser back."""
    answer = requests.get(url, allow_redirects=False, timeout=60)
    back = urlsplit(answer.headers["Location"])
    assert back.path == "/providers/wallet/return"
    return {name: values[0] for name, values in parse_qs(back.query).items()}


def come_back(broker: Here, query: dict[str, str]) -> str:
    answer = broker.client.get("/providers/wallet/return", query_string=query)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def through(broker: Here) -> str:
    return come_back(broker, visit(leave(broker)))


def test_who_is_found_under_18_gets_a_pass_of_that_predicate(broker: Here) -> None:
    assert through(broker) == "/pass"
    assert json.loads(broker.client.get("/grant").data) == {
        "predicate": "under18-estimate",
        "left": 3,
    }
    assert broker.ask(request_bytes(broker.key(1))).status_code == 200
    assert broker.ask(request_bytes(broker.key(0))).status_code == 403


def test_the_way_there_carries_pkce_state_and_nonce(broker: Here, wallet: Provider) -> None:
    url = urlsplit(leave(broker))
    query = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{wallet.url}/authorize"
    assert query["code_challenge_method"] == ["S256"]
    assert {len(query[name][0]) for name in ("state", "nonce")} == {64}
    assert query["redirect_uri"] == [f"{broker.configuration.public_url}/providers/wallet/return"]
    assert parse_qs(urlsplit(leave(broker)).query)["state"] != query["state"]


def test_the_same_person_has_one_limit(broker: Here, wallet: Provider) -> None:
    for _ in range(2):
        assert through(broker) == "/pass"
        for _ in range(3):
            assert broker.ask(request_bytes(broker.key(1))).status_code == 200
    assert through(broker) == "/pass?problem=limit"
    wallet.subject = "somebody-else"
    assert through(broker) == "/pass"


@pytest.mark.parametrize(
    "value", [False, None, ..., 1, "true", "True", [True], {"value": True}, 0, "", "yes", 15]
)
def test_nothing_but_true_is_under_18(broker: Here, wallet: Provider, value: object) -> None:
    wallet.claims = {"age_under_18": value}
    assert through(broker) == "/pass?problem=refused"
    assert broker.client.get_cookie("pass") is None
    assert broker.log.getvalue() == ""


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": ...},
        {"nonce": None},
        {"aud": "another"},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": []},
        {"aud": ...},
        {"azp": "another"},
        {"iss": "https://another.example"},
        {"iss": ...},
        {"exp": NOW - 120},
        {"exp": ...},
        {"exp": "4000000000"},
        {"exp": True},
        {"iat": NOW - 3600},
        {"iat": NOW + 86_400},
        {"iat": ...},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_question_counts_nothing(
    broker: Here, wallet: Provider, claims: dict[str, Any]
) -> None:
    wallet.claims |= claims
    assert through(broker) == "/pass?problem=unavailable"
    assert broker.client.get_cookie("pass") is None
    line = json.loads(broker.log.getvalue())
    assert (line["event"], line["provider"]) == ("provider.failed", "wallet")


def test_an_audience_in_a_list_of_one_is_ours(broker: Here, wallet: Provider) -> None:
    wallet.claims |= {"aud": [CLIENT_ID], "azp": CLIENT_ID}
    assert through(broker) == "/pass"


def test_an_unsigned_token_counts_nothing(broker: Here, wallet: Provider) -> None:
    wallet.sign = lambda claims: f"{text({'alg': 'none'})}.{text(claims)}."
    assert through(broker) == "/pass?problem=unavailable"


def test_the_public_key_is_no_shared_secret(broker: Here, wallet: Provider) -> None:
    wallet.sign = by_hmac(wallet, wallet.key.as_pem(private=False))
    assert through(broker) == "/pass?problem=unavailable"


def test_a_published_shared_secret_verifies_nothing(broker: Here, wallet: Provider) -> None:
    from joserfc.jwk import OctKey

    shared = OctKey.import_key(b"x" * 32, {"kid": wallet.key.kid})
    wallet.published = [shared]
    wallet.sign = by_hmac(wallet, b"x" * 32)
    assert leave_fails_or_return_does(broker) == "/pass?problem=unavailable"


def leave_fails_or_return_does(broker: Here) -> str:
    answer = broker.client.post("/providers/wallet/start")
    location = str(answer.headers["Location"])
    return location if location.startswith("/pass") else come_back(broker, visit(location))


def test_another_key_signs_nothing(broker: Here, wallet: Provider) -> None:
    wallet.published = [wallet.key]
    wallet.key = ECKey.generate_key("P-256", {"kid": "one"})
    assert through(broker) == "/pass?problem=unavailable"


def test_a_changed_key_is_found_but_not_asked_for_at_will(
    broker: Here, wallet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert through(broker) == "/pass"
    wallet.key = ECKey.generate_key("P-256", {"kid": "two"})
    before = wallet.asked.count("keys")
    assert through(broker) == "/pass?problem=unavailable"
    assert wallet.asked.count("keys") == before
    began = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: began + 61)
    assert through(broker) == "/pass"
    assert wallet.asked.count("keys") == before + 1


def test_a_return_counts_once(broker: Here) -> None:
    query = visit(leave(broker))
    cookie = broker.client.get_cookie("visit")
    assert cookie is not None
    assert come_back(broker, query) == "/pass"
    broker.client.set_cookie("visit", cookie.value)
    assert come_back(broker, query) == "/pass?problem=ended"


@pytest.mark.parametrize("state", ["", "another", "x" * 64, "ä" * 64, None])
def test_another_state_counts_nothing(broker: Here, wallet: Provider, state: str | None) -> None:
    query = visit(leave(broker))
    asked = wallet.asked.count("token")
    changed = {k: v for k, v in (query | {"state": state}).items() if v is not None}
    assert come_back(broker, changed) == "/pass?problem=ended"
    assert come_back(broker, query) == "/pass?problem=ended"
    assert wallet.asked.count("token") == asked


def test_a_link_from_somebody_else_is_worth_nothing(broker: Here) -> None:
    """Their state and code in my browser: I would be counted as them, or they as me."""
    mine = visit(leave(broker))
    broker.client.delete_cookie("visit")
    assert come_back(broker, mine) == "/pass?problem=ended"
    leave(broker)
    assert come_back(broker, mine) == "/pass?problem=ended"


def test_a_visit_ends_after_ten_minutes(broker: Here) -> None:
    query = visit(leave(broker))
    broker.clock.forward(minutes=10)
    assert come_back(broker, query) == "/pass?problem=ended"


def test_a_visit_to_another_provider_counts_nothing(broker: Here) -> None:
    query = visit(leave(broker))
    answer = broker.client.get("/providers/development/return", query_string=query)
    assert answer.headers["Location"] == "/pass?problem=ended"


def test_an_answer_of_another_issuer_counts_nothing(broker: Here) -> None:
    query = visit(leave(broker)) | {"iss": "https://another.example"}
    assert come_back(broker, query) == "/pass?problem=ended"


def test_who_stops_there_is_told_kindly(broker: Here) -> None:
    query = visit(leave(broker))
    stopped = {"error": "access_denied", "state": query["state"]}
    assert come_back(broker, stopped) == "/pass?problem=cancelled"


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://another.example"},
        {"issuer": None},
        {"token_endpoint": 7},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_a_wrong_description_is_not_used(
    broker: Here, wallet: Provider, description: dict[str, Any]
) -> None:
    wallet.description = description
    answer = broker.client.post("/providers/wallet/start")
    assert answer.headers["Location"] == "/pass?problem=unavailable"


@pytest.mark.parametrize(
    "answer",
    [
        (b"not json", 200, "text/plain"),
        (b"[]", 200, "application/json"),
        (b'{"id_token": 7}', 200, "application/json"),
        (b'{"access_token": "x"}', 200, "application/json"),
        (b'{"id_token": "a.b.c"}', 200, "application/json"),
        (b'{"id_token": "' + b64(b"[" * 40_000).encode() + b'.e30.e30"}', 200, "application/json"),
        (b'"text"', 200, "application/json"),
        (b"7", 200, "application/json"),
        (b'{"error": "invalid_grant"}', 400, "application/json"),
        (b"{}", 500, "application/json"),
        (b"[" * 50_000, 200, "application/json"),
        (b'"' + b"x" * MOST_BYTES + b'"', 200, "application/json"),
    ],
    ids=lambda answer: str(answer)[:40],
)
def test_a_wrong_answer_of_the_token_endpoint_counts_nothing(
    broker: Here, wallet: Provider, answer: tuple[bytes, int, str]
) -> None:
    body, status, kind = answer
    wallet.token_answer = lambda: Response(body, status, content_type=kind)
    assert through(broker) == "/pass?problem=unavailable"


def test_no_redirect_is_followed(broker: Here, wallet: Provider) -> None:
    """Where it leads the very same token would be waiting."""
    wallet.description = {"token_endpoint": f"{wallet.url}/moved"}
    assert through(broker) == "/pass?problem=unavailable"
    assert "token" not in wallet.asked


def test_a_description_without_end_is_not_read(broker: Here, wallet: Provider) -> None:
    wallet.description = {"padding": "x" * MOST_BYTES}
    answer = broker.client.post("/providers/wallet/start")
    assert answer.headers["Location"] == "/pass?problem=unavailable"


def test_a_provider_that_is_down_is_said(tmp_path: Path, keys: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CLIENT_SECRET)
    secret.chmod(0o600)
    entry = ENTRY.format(issuer="http://127.0.0.1:9", client=CLIENT_ID)
    broker = here(write(tmp_path, keys, providers=entry))
    answer = broker.client.post("/providers/wallet/start")
    assert answer.headers["Location"] == "/pass?problem=unavailable"
    assert CLIENT_SECRET not in broker.log.getvalue()
    broker.days.close()


def test_the_page_may_send_the_browser_there(broker: Here, wallet: Provider) -> None:
    policy = broker.client.get("/pass").headers["Content-Security-Policy"]
    assert f"form-action 'self' https: {wallet.url};" in policy


@settings(max_examples=max(1, FUZZ // 4), suppress_health_check=list(HealthCheck), deadline=None)
@given(
    extra=st.dictionaries(
        st.sampled_from(["code", "iss", "error", "session_state", "x"]), st.text(max_size=30)
    ),
    state=st.booleans(),
)
def test_whatever_comes_back_fuzz(broker: Here, extra: dict[str, str], state: bool) -> None:
    url = urlsplit(leave(broker))
    good = parse_qs(url.query)["state"][0]
    query = extra | ({"state": good} if state else {})
    assert come_back(broker, query).startswith("/pass?problem=")
    assert broker.client.get_cookie("pass") is None
