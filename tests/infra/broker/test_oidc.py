"""OpenID Connect, with a provider that really runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from infra.broker.desk import Sent
from infra.broker.errors import NoPass, Word
from infra.broker.providers.fetching import MOST_BYTES
from infra.broker.web import MOST_VISITS
from tests.infra.broker.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    ENTRY,
    Provider,
    b64,
    by_hmac,
    provider,
    text,
)
from tests.infra.broker.running import FUZZ, Here, here, request_bytes, write


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


def visits(broker: Here) -> dict[str, str]:
    """The visits' cookies of that browser."""
    jar = broker.client._cookies or {}
    cookies = {cookie.key: cookie.value for cookie in jar.values()}
    return {name: value for name, value in cookies.items() if name.startswith("visit")}


def bring(broker: Here, cookies: dict[str, str]) -> None:
    for name, value in cookies.items():
        broker.client.set_cookie(name, value)


def forget(broker: Here) -> None:
    """As another browser, which has none of its cookies."""
    for name in visits(broker):
        broker.client.delete_cookie(name)


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


def test_an_algorithm_that_is_not_pinned_signs_nothing(
    tmp_path: Path, keys: Path, broker: Here, wallet: Provider
) -> None:
    """Though the provider publishes the key, and the library knows the algorithm."""
    wallet.key, wallet.algorithm = RSAKey.generate_key(2048, {"kid": "one"}), "RS256"
    assert through(broker) == "/pass"
    entry = ENTRY.format(issuer=wallet.url, client=CLIENT_ID).replace(', "RS256"', "")
    strict = here(write(tmp_path, keys, providers=entry))
    assert through(strict) == "/pass?problem=unavailable"
    strict.days.close()


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
    kept = visits(broker)
    assert come_back(broker, query) == "/pass"
    assert visits(broker) == {}
    bring(broker, kept)
    assert come_back(broker, query) == "/pass?problem=ended"


@pytest.mark.parametrize("state", ["", "another", "x" * 64, "ä" * 64, None])
def test_another_state_counts_nothing(broker: Here, wallet: Provider, state: str | None) -> None:
    query = visit(leave(broker))
    asked = wallet.asked.count("token")
    changed = {k: v for k, v in (query | {"state": state}).items() if v is not None}
    assert come_back(broker, changed) == "/pass?problem=ended"
    assert wallet.asked.count("token") == asked
    assert come_back(broker, query) == "/pass"  # a stranger's link has not ended it


@pytest.mark.parametrize("state", ["", "another", None])
def test_a_visit_is_found_by_its_name_but_counts_by_its_state(
    broker: Here, wallet: Provider, state: str | None
) -> None:
    """Under the name that another state leads to, it is looked at, and ends."""
    query = visit(leave(broker))
    ((name, value),) = visits(broker).items()
    other = "visit-" + sha256(state.encode()).hexdigest()[:16] if state else "visit"
    bring(broker, {other: value})
    asked = wallet.asked.count("token")
    changed = {k: v for k, v in (query | {"state": state}).items() if v is not None}
    assert come_back(broker, changed) == "/pass?problem=ended"
    assert wallet.asked.count("token") == asked
    assert name in visits(broker)
    assert come_back(broker, query) == "/pass?problem=ended"


def test_a_link_from_somebody_else_is_worth_nothing(broker: Here) -> None:
    """Their state and code in my browser: I would be counted as them, or they as me."""
    mine = visit(leave(broker))
    forget(broker)
    assert come_back(broker, mine) == "/pass?problem=ended"
    leave(broker)
    assert come_back(broker, mine) == "/pass?problem=ended"


def test_two_tabs_both_finish_whoever_is_first(broker: Here) -> None:
    for order in ((0, 1), (1, 0)):
        tabs = [visit(leave(broker)) for _ in range(2)]
        assert len(visits(broker)) == 2
        assert [come_back(broker, tabs[place]) for place in order] == ["/pass", "/pass"]
        assert visits(broker) == {}


def test_a_tab_that_fails_ends_no_other(broker: Here, wallet: Provider) -> None:
    first, second, third = (visit(leave(broker)) for _ in range(3))
    stopped = {"error": "access_denied", "state": first["state"]}
    assert come_back(broker, stopped) == "/pass?problem=cancelled"
    wallet.claims = {"age_under_18": False}
    assert come_back(broker, second) == "/pass?problem=refused"
    wallet.claims = {"age_under_18": True}
    broker.passed()
    assert len(visits(broker)) == 1
    assert come_back(broker, third) == "/pass"


def test_tabs_that_are_mixed_up_count_nothing(broker: Here) -> None:
    """The code of one tab with the state of another: PKCE and nonce are the other's."""
    first, second = (visit(leave(broker)) for _ in range(2))
    mixed = second | {"state": first["state"]}
    assert come_back(broker, mixed) == "/pass?problem=unavailable"
    assert broker.client.get_cookie("pass") is None
    assert come_back(broker, first) == "/pass?problem=ended"


def test_a_cookie_under_the_name_of_another_visit_counts_nothing(
    broker: Here, wallet: Provider
) -> None:
    first, second = (visit(leave(broker)) for _ in range(2))
    (one, its), (other, others) = visits(broker).items()
    bring(broker, {one: others, other: its})
    asked = wallet.asked.count("token")
    assert come_back(broker, first) == "/pass?problem=ended"
    assert come_back(broker, second) == "/pass?problem=ended"
    assert wallet.asked.count("token") == asked


def test_a_state_of_another_browser_counts_nothing(broker: Here, wallet: Provider) -> None:
    """Though the state is one that the broker knows, and this browser is at the provider too."""
    theirs = visit(leave(broker))
    kept = visits(broker)
    forget(broker)
    mine = visit(leave(broker))
    asked = wallet.asked.count("token")
    assert come_back(broker, theirs) == "/pass?problem=ended"
    assert wallet.asked.count("token") == asked
    assert come_back(broker, mine) == "/pass"
    forget(broker)
    bring(broker, kept)
    assert come_back(broker, theirs) == "/pass"


def test_of_a_fifth_tab_the_oldest_ends(broker: Here) -> None:
    tabs: list[dict[str, str]] = []
    kept: dict[str, str] = {}
    for _ in range(MOST_VISITS + 1):
        tabs.append(visit(leave(broker)))
        kept |= visits(broker)
        assert len(visits(broker)) == min(len(tabs), MOST_VISITS)
    bring(broker, kept)  # the broker has forgotten it, too
    assert len(broker.desk._visits) == MOST_VISITS
    assert come_back(broker, tabs[0]) == "/pass?problem=ended"
    assert [come_back(broker, tab) for tab in tabs[1:]] == ["/pass"] * MOST_VISITS


@pytest.mark.parametrize(
    "name",
    [
        "visits{}",
        "visit-{}",
        "visit-{:015x}",
        "visit-{:017x}",
        "visit-{:015x}X",
        "my-visit-{:016x}",
    ],
)
def test_a_cookie_that_is_no_visit_is_left_alone(broker: Here, name: str) -> None:
    bring(broker, {name.format(number): "x" for number in range(9)})
    answer = broker.client.post("/providers/wallet/start")
    assert len(answer.headers.getlist("Set-Cookie")) == 1


def test_what_is_brought_as_a_visit_is_never_given_back(broker: Here) -> None:
    planted = {f"visit-{number:016x}": f"planted-{number}" for number in range(40)}
    bring(broker, planted)
    answer = broker.client.post("/providers/wallet/start")
    cookies = answer.headers.getlist("Set-Cookie")
    assert "planted" not in "".join(cookies)
    assert len(cookies) == 40 - (MOST_VISITS - 1) + 1
    assert len(visits(broker)) == MOST_VISITS


def test_one_return_at_once_counts_once(broker: Here) -> None:
    query, kept = visit(leave(broker)), visits(broker)
    cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
    app = broker.client.application

    def finish(_: int) -> str:
        client = app.test_client(use_cookies=False)
        answer = client.get(
            "/providers/wallet/return", query_string=query, headers={"Cookie": cookie}
        )
        return str(answer.headers["Location"])

    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(finish, range(16)))
    assert sorted(ends) == ["/pass", *["/pass?problem=ended"] * 15]


def test_with_tls_no_neighbour_can_plant_a_visit(tmp_path: Path, keys: Path, broker: Here) -> None:
    path = broker.configuration.database.parent / "broker.toml"
    path.write_text(path.read_text().replace('public_url = "http:', 'public_url = "https:'))
    running = here(path)
    url = "https://localhost"
    started = running.client.post("/providers/wallet/start", base_url=url)
    query = visit(str(started.headers["Location"]))
    (given,) = started.headers.getlist("Set-Cookie")
    back = running.client.get("/providers/wallet/return", query_string=query, base_url=url)
    assert back.headers["Location"] == "/pass"
    (_, taken) = back.headers.getlist("Set-Cookie")
    assert re.match(r"__Host-visit-[0-9a-f]{16}=[\w-]{43};", given)
    assert taken.startswith(given.partition("=")[0] + "=;")
    for cookie in (given, taken):
        parts = cookie.split("; ")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(parts)
        assert not [part for part in parts if part.startswith("Domain")]
    running.days.close()


def test_a_visit_ends_after_ten_minutes(broker: Here) -> None:
    query = visit(leave(broker))
    broker.clock.forward(minutes=10)
    assert come_back(broker, query) == "/pass?problem=ended"


def test_a_visit_to_another_provider_counts_nothing(broker: Here) -> None:
    query = visit(leave(broker))
    answer = broker.client.get("/providers/development/return", query_string=query)
    assert answer.headers["Location"] == "/pass?problem=ended"


def test_a_visit_counts_only_at_the_provider_that_it_was_to(broker: Here) -> None:
    """Also where that one would take it: what was kept of a visit is one provider's."""
    desk = broker.desk
    desk.providers = {**desk.providers, "other": desk.providers["wallet"]}
    sent = desk.start("wallet", {})
    assert isinstance(sent, Sent)
    with pytest.raises(NoPass) as refused:
        desk.finish("other", sent.visit, visit(sent.url))
    assert refused.value.word is Word.ENDED


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
